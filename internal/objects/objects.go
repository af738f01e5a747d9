// Package objects is the contract of the store of objects: files by name, written as a whole, of which whoever holds a signed
// URL may get or put one. objects/files is the implementation on the disk; objectstest is the suite that every implementation
// passes.
package objects

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"
)

// Errors of a Store.
var (
	ErrNotFound = errors.New("no such object")
	ErrKey      = errors.New("not the key of an object")
	ErrSign     = errors.New("no URL can be signed")
)

// Limits of keys. S3 allows keys of 1,024 octets.
const (
	MaxKeyOctets  int = 512
	maxNameOctets int = 200 // between two slashes: file systems have 255
)

// Info is what is known of an object.
type Info struct {
	Key      string
	Octets   int64
	Modified time.Time
}

// Method is what a signed URL is good for.
type Method string

// The methods.
const (
	Get Method = "GET"
	Put Method = "PUT"
)

// Store keeps objects. Its methods may be called at once from many goroutines. Each returns ErrKey for what CheckKey refuses.
type Store interface {
	// Put writes an object, in place of what has its key, and returns its size. It is durable when Put returns; when content or
	// the disk fails, or ctx ends, there is what was there before. No key may be the beginning of another up to a slash.
	Put(ctx context.Context, key string, content io.Reader) (octets int64, err error)
	// Get opens an object for reading from an offset, or returns ErrNotFound. The reader gives what the object was when it was
	// opened. The caller closes it.
	Get(ctx context.Context, key string, from int64) (io.ReadCloser, Info, error)
	// List returns up to n objects whose keys begin with a prefix and come after another key, in the order of their keys.
	List(ctx context.Context, prefix, after string, n int) ([]Info, error)
	// Delete removes an object. That there is none is no error.
	Delete(ctx context.Context, key string) error
	// Sign returns a URL that lets whoever has it get or put an object until it expires. The same arguments give the same URL.
	// The error is ErrSign where URLs lead nowhere.
	Sign(method Method, key string, expires time.Time) (url string, err error)
}

// CheckKey returns ErrKey unless a key is made of names with slashes between them, each of the characters a-z, A-Z, 0-9, hyphen,
// underscore and dot, and none beginning with a dot: no key leads out of where objects are (S39).
func CheckKey(key string) error {
	if len(key) > MaxKeyOctets {
		return ErrKey
	}
	for name := range strings.SplitSeq(key, "/") {
		if !isName(name) {
			return ErrKey
		}
	}
	return nil
}

func isName(name string) bool {
	if name == "" || name[0] == '.' || len(name) > maxNameOctets {
		return false
	}
	for i := range len(name) {
		c := name[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return true
}
