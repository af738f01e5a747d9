package addresslist

import (
	"bytes"
	"hash/maphash"
	"math/bits"
)

// parts is a key in two pieces, for an address whose beginning and end they would be: what stands before the asterisk and
// what after it. Without an asterisk all of it is right.
type parts struct {
	left, right []byte
	asterisk    bool
}

// cut cuts a key at its asterisk.
func cut(key []byte) parts {
	left, right, found := bytes.Cut(key, []byte{asterisk})
	if !found {
		return parts{right: key}
	}
	return parts{left: left, right: right, asterisk: true}
}

// hash of two keys that differ is hardly ever the same; which ones share it nobody outside can know.
func (p parts) hash(seed maphash.Seed) uint64 {
	right := maphash.Bytes(seed, p.right)
	if !p.asterisk {
		return right
	}
	return mix(maphash.Bytes(seed, p.left), right)
}

// are reports whether the key is made of these parts.
func (p parts) are(key []byte) bool {
	if !p.asterisk {
		return string(key) == string(p.right)
	}
	n := len(p.left)
	return len(key) == n+1+len(p.right) && key[n] == asterisk && string(key[:n]) == string(p.left) && string(key[n+1:]) == string(p.right)
}

// mix makes one hash of two, so that an address which is asked about in many parts is hashed once for each part.
func mix(a, b uint64) uint64 {
	const odd, other = 0x9e3779b97f4a7c15, 0xd6e8feb86659fd93
	hi, lo := bits.Mul64(a^odd, b^other)
	return hi ^ lo
}
