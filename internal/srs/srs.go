package srs

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"sluice/internal/smtp"
)

// KeyOctets is the size of a key.
const KeyOctets = sha256.Size

// MaxAge is how long after its making a path is still taken. Mail Manager, E19.
const MaxAge time.Duration = maxAgeDays * 24 * time.Hour

const (
	maxAgeDays    = 21
	maxAheadDays  = 1    // between instances whose clocks differ, at midnight
	dayCycle      = 1024 // days until a stamp comes again: two characters of base32
	secondsPerDay = 24 * 60 * 60

	hashOctets = 5 // of the HMAC: eight characters of base32
	stampSize  = 2

	maxLocalPartOctets = 64  // quotes included; RFC 5321, section 4.5.3.1.1
	maxPathOctets      = 254 // without the angle brackets; RFC 5321, section 4.5.3.1.3
)

// Why a path cannot be rewritten, or is not taken back.
var (
	ErrTooLong = errors.New("rewritten path would be too long")
	ErrNotOurs = errors.New("not a rewritten path of ours")
	ErrForged  = errors.New("rewritten path has a wrong hash")
	ErrExpired = errors.New("rewritten path has expired")
)

// Rewriter makes paths in one domain, and takes them back. It never changes and is safe for concurrent use.
type Rewriter struct {
	domain string
	key    []byte
}

// New returns the Rewriter of a domain. The key has KeyOctets octets and is used for nothing else; New panics at any other, for
// everybody could make paths with a key that is missing.
func New(domain string, key []byte) *Rewriter {
	if len(key) != KeyOctets {
		panic(fmt.Sprintf("srs: key of %d octets, want %d", len(key), KeyOctets))
	}
	return &Rewriter{domain: domain, key: slices.Clone(key)}
}

// IsOurs reports whether the path looks like one that Forward made: in our domain, SRS0 or SRS1 with a separator. It is either
// that or forged; see Reverse.
func (r *Rewriter) IsOurs(path smtp.Path) bool {
	return r.inOurDomain(path) && (isTagged(path.Local, tag0) || isTagged(path.Local, tag1))
}

// Forward returns the path to put in place of a reverse-path. The null path stays as it is (Mail Manager, E3), and so does any
// path of our domain, for which we may send already. The error is ErrTooLong when the result would not be a valid path by its
// length, and says what is malformed when the path is not one that package smtp parsed.
func (r *Rewriter) Forward(path smtp.Path, now time.Time) (smtp.Path, error) {
	if path.IsNull() || r.inOurDomain(path) {
		return path, nil
	}
	if inner, ok := innerPath(path); ok {
		if r.inOurDomain(inner) { // it has come round to us: one of ours is all it needs
			return inner, nil
		}
		return r.seal(tag1, inner.Domain+separator+inner.Local[len(tag0):])
	}
	return r.seal(tag0, stamp(now)+separator+path.Domain+separator+path.Local)
}

// Reverse returns the path that Forward was given, or for SRS1 the path at the host that will know it. The case of letters is
// that of the path at hand. The error is ErrNotOurs, ErrForged or ErrExpired; an expired path is authentic.
func (r *Rewriter) Reverse(path smtp.Path, now time.Time) (smtp.Path, error) {
	if !r.IsOurs(path) {
		return smtp.Path{}, ErrNotOurs
	}
	tag, sealed, ok := r.open(path.Local)
	if !ok {
		return smtp.Path{}, ErrForged
	}
	if tag == tag1 {
		host, rest, _ := strings.Cut(sealed, separator)
		return sealedPath(tag0+rest, host)
	}
	day, rest, _ := strings.Cut(sealed, separator)
	if expired(day, now) {
		return smtp.Path{}, ErrExpired
	}
	host, local, _ := strings.Cut(rest, separator)
	return sealedPath(local, host)
}

// sealedPath is a path that a hash covered. Only a holder of the key could have covered what is no path.
func sealedPath(local, domain string) (smtp.Path, error) {
	path, err := newPath(local, domain)
	if err != nil {
		return smtp.Path{}, ErrForged
	}
	return path, nil
}

func (r *Rewriter) inOurDomain(path smtp.Path) bool {
	return !path.IsNull() && path.Equal(smtp.Path{Local: path.Local, Domain: r.domain})
}

// seal is the path of ours with a tag and what the hash covers.
func (r *Rewriter) seal(tag, text string) (smtp.Path, error) {
	return newPath(tag+separator+r.hash(tag, text)+separator+text, r.domain)
}

// open returns the tag of a local part and what the hash covers, once it does.
func (r *Rewriter) open(local string) (tag, text string, ok bool) {
	tag = tag0
	if isTagged(local, tag1) {
		tag = tag1
	}
	parts := strings.SplitN(local, separator, 3)
	if len(parts) != 3 || len(parts[0]) != len(tag) {
		return "", "", false
	}
	hash, text := parts[1], parts[2]
	return tag, text, hmac.Equal([]byte(upper(hash)), []byte(r.hash(tag, text))) // S40: in constant time
}

func (r *Rewriter) hash(tag, text string) string {
	mac := hmac.New(sha256.New, r.key)
	mac.Write([]byte(upper(tag + separator + text)))
	return base32.StdEncoding.EncodeToString(mac.Sum(nil)[:hashOctets])
}
