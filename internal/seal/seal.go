// Package seal has one envelope for everything secret that is written to disk: AES-256-GCM under a key derived from the
// master key, with a format number and a key id in front and associated data that ties the envelope to its place. It
// also derives sub-keys, for what must not be forged or must be compared without being kept. Start with New, with the
// master key from File or Parse. What it leaves out: rotation of the master key, which the key id makes possible.
package seal

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
)

const (
	// KeyOctets is the length of a master key and of every derived key.
	KeyOctets int = 32

	formatOctets = 1
	keyIDOctets  = 8
	prefixOctets = formatOctets + keyIDOctets
	nonceOctets  = 12 // NIST SP 800-38D, section 8.2.2: random, good for 2^32 envelopes under a key
	tagOctets    = 16

	// Overhead is how many octets an envelope is longer than what is in it.
	Overhead int = prefixOctets + nonceOctets + tagOctets
)

// format1 is version, key id (8), nonce (12), ciphertext and tag (16).
const format1 byte = 1

// Errors of Open.
var (
	// ErrMalformed says that the octets are not an envelope, or one of a later format.
	ErrMalformed = errors.New("not a sealed envelope of a format this program knows")
	// ErrWrongKey says that the envelope was sealed under another master key.
	ErrWrongKey = errors.New("sealed under another master key")
	// ErrForged says that the envelope, or the place it was found in, is not what was sealed.
	ErrForged = errors.New("sealed envelope does not match its place or was altered")
)

// Keys seals and opens envelopes under one master key. It is safe for concurrent use.
type Keys struct {
	master []byte
	prefix [prefixOctets]byte
	aead   cipher.AEAD
}

// New returns the Keys of a master key of KeyOctets random octets.
func New(master []byte) (*Keys, error) {
	if len(master) != KeyOctets {
		return nil, fmt.Errorf("the master key has %d octets, want %d", len(master), KeyOctets)
	}
	k := &Keys{master: bytes.Clone(master)}
	block, err := aes.NewCipher(k.Derive("seal: envelope"))
	if err != nil {
		return nil, fmt.Errorf("make the cipher: %w", err)
	}
	if k.aead, err = cipher.NewGCMWithRandomNonce(block); err != nil {
		return nil, fmt.Errorf("make the cipher: %w", err)
	}
	k.prefix[0] = format1
	copy(k.prefix[formatOctets:], k.Derive("seal: key id"))
	return k, nil
}

// Seal returns plain in an envelope that opens only with the same associated data. Each call gives another envelope.
func (k *Keys) Seal(plain, associated []byte) []byte {
	sealed := make([]byte, prefixOctets, Overhead+len(plain))
	copy(sealed, k.prefix[:])
	return k.aead.Seal(sealed, nil, plain, k.bind(associated))
}

// Open returns what is in an envelope. The error is ErrMalformed, ErrWrongKey or ErrForged.
func (k *Keys) Open(sealed, associated []byte) ([]byte, error) {
	if len(sealed) < Overhead || sealed[0] != format1 {
		return nil, ErrMalformed
	}
	if !bytes.Equal(sealed[:prefixOctets], k.prefix[:]) { // the key id is public: no need for constant time
		return nil, ErrWrongKey
	}
	plain, err := k.aead.Open(nil, nil, sealed[prefixOctets:], k.bind(associated))
	if err != nil {
		return nil, ErrForged
	}
	return plain, nil
}

// bind puts the envelope's prefix before the associated data, so that the tag covers it too.
func (k *Keys) bind(associated []byte) []byte {
	return append(bytes.Clone(k.prefix[:]), associated...)
}

// Derive returns the sub-key of KeyOctets for a purpose: the same for the same master key, and telling nothing of it
// nor of the sub-keys of other purposes. RFC 5869, section 2.
func (k *Keys) Derive(purpose string) []byte {
	key, err := hkdf.Key(sha256.New, k.master, nil, "sluice "+purpose, KeyOctets)
	if err != nil {
		panic("seal: HKDF refuses a fixed length that it allows: " + err.Error())
	}
	return key
}

// MAC returns the HMAC-SHA-256 of data under a sub-key from Derive. Compare two with Equal.
func MAC(key, data []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write(data)
	return mac.Sum(nil)
}

// Equal compares two values in time that depends on their length only.
func Equal(a, b []byte) bool { return hmac.Equal(a, b) }
