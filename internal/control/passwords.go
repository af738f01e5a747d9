package control

import (
	"bytes"
	"cmp"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"hash"
	"sync"
	"time"

	"sluice/internal/seal"
)

const (
	saltOctets = 16
	// maxPasswordOctets bounds passwords in secrets, and what checking one costs. An SmtpPassword has 64 at most.
	maxPasswordOctets = 1024
)

// password is enough to check a password, in a microsecond, and not enough to tell it: a keyed hash with a salt, whose
// key is derived from the master key.
type password struct {
	Version string
	Salt    []byte
	Hash    []byte
	Expires *time.Time `json:",omitempty"` // of the previous password
}

func (p *password) expired(now time.Time) bool { return p.Expires != nil && !now.Before(*p.Expires) }

// passwords are what a password may be: the current one, and the one before it. nil is none.
type passwords [2]*password

// hasher makes the keyed hashes of passwords. It is safe for concurrent use.
type hasher struct{ idle sync.Pool }

// hashing is what a hash is made with. It holds nothing of a password when it is idle (S40).
type hashing struct {
	mac   hash.Hash
	input []byte
	sum   []byte
}

func newHasher(newMAC func() hash.Hash) *hasher {
	return &hasher{idle: sync.Pool{New: func() any {
		return &hashing{mac: newMAC(), input: make([]byte, 0, saltOctets+maxPasswordOctets)}
	}}}
}

// hashOf returns the hash as long as it is used before the next.
func (w *hashing) hashOf(salt []byte, text string) []byte {
	w.input = append(append(w.input[:0], salt...), text...)
	w.mac.Write(w.input)
	w.sum = w.mac.Sum(w.sum[:0])
	clear(w.input)
	w.mac.Reset()
	return w.sum
}

func (h *hasher) newPassword(version, text string) *password {
	w := h.idle.Get().(*hashing)
	defer h.idle.Put(w)
	p := &password{Version: version, Salt: make([]byte, saltOctets)}
	rand.Read(p.Salt) // never fails: crypto/rand ends the process instead
	p.Hash = bytes.Clone(w.hashOf(p.Salt, text))
	return p
}

// matches takes as long whether it does or not.
func (h *hasher) matches(p *password, text string) bool {
	w := h.idle.Get().(*hashing)
	defer h.idle.Put(w)
	return seal.Equal(w.hashOf(p.Salt, text), p.Hash)
}

// initPasswords makes what passwords are checked with, and the password that stands for all that are not there: it has
// expired, and nobody knows it.
func (c *Control) initPasswords() {
	key := c.cfg.Seal.Derive("control: ingress password")
	c.hasher = newHasher(func() hash.Hash { return hmac.New(sha256.New, key) })
	c.absent = c.hasher.newPassword("", rand.Text())
	c.absent.Expires = &time.Time{}
}

// Login is what became of an attempt to log in.
type Login struct {
	OK        bool
	Version   string // of the password that matched: its SmtpPasswordVersion, or the id of the secret's version; empty unless OK
	SecretARN string // of the secret that the ingress point has its password in, as it was configured; empty: none
}

// CheckPassword reports whether a password is one of an ingress point's: the current one, or the one before it. That is
// accepted for 14 days when the point keeps it, and as long as it is AWSPREVIOUS when a secret does. nil is a point that
// does not exist. The work does not depend on what is wrong, and is bounded for a password of any length: a hash and a
// comparison for each of two passwords, whether they are there or not. It does not wait for a lock or for the store.
// Source: Mail Manager, section 2.2.
func (c *Control) CheckPassword(p *IngressPoint, text string) Login {
	if p == nil {
		p = &c.nobody
	}
	login, now := Login{SecretARN: p.SecretARN}, c.cfg.Now()
	fits := len(text) <= maxPasswordOctets
	text = text[:min(len(text), maxPasswordOctets)]
	fromSecret := c.passwordsAt(p.secret)
	for i := len(p.passwords) - 1; i >= 0; i-- { // the current one last: it counts when both are the same
		candidate := cmp.Or(p.passwords[i], fromSecret[i], c.absent)
		if c.hasher.matches(candidate, text) && fits && !candidate.expired(now) {
			login.OK, login.Version = true, candidate.Version
		}
	}
	return login
}
