package seal_test

import (
	"bytes"
	"errors"
	"testing"

	"pgregory.net/rapid"

	"sluice/internal/seal"
)

func newKeys(t testing.TB, fill byte) *seal.Keys {
	t.Helper()
	keys, err := seal.New(bytes.Repeat([]byte{fill}, seal.KeyOctets))
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func TestOpenReturnsWhatWasSealed(t *testing.T) {
	t.Parallel()
	keys := newKeys(t, 1)
	rapid.Check(t, func(t *rapid.T) {
		plain := rapid.SliceOf(rapid.Byte()).Draw(t, "plain")
		associated := rapid.SliceOf(rapid.Byte()).Draw(t, "associated")
		sealed := keys.Seal(plain, associated)
		if len(sealed) != len(plain)+seal.Overhead {
			t.Fatalf("got %d octets, want %d", len(sealed), len(plain)+seal.Overhead)
		}
		if bytes.Equal(sealed, keys.Seal(plain, associated)) {
			t.Fatal("two envelopes of the same octets are the same")
		}
		got, err := keys.Open(sealed, associated)
		if err != nil || !bytes.Equal(got, plain) {
			t.Fatalf("got %x, %v, want %x", got, err, plain)
		}
	})
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	keys := newKeys(t, 1)
	place := []byte("relay/1")
	good := keys.Seal([]byte("hunter2-hunter2"), place)
	altered := func(i int) []byte {
		b := bytes.Clone(good)
		b[i] ^= 1
		return b
	}
	tests := []struct {
		name       string
		sealed     []byte
		associated []byte
		want       error
	}{
		{"nothing", nil, place, seal.ErrMalformed},
		{"too short for a tag", good[:seal.Overhead-1], place, seal.ErrMalformed},
		{"format 0", altered(0), place, seal.ErrMalformed},
		{"key id", altered(1), place, seal.ErrWrongKey},
		{"another master key", newKeys(t, 2).Seal(nil, place), place, seal.ErrWrongKey},
		{"nonce", altered(9), place, seal.ErrForged},
		{"ciphertext", altered(22), place, seal.ErrForged},
		{"tag", altered(len(good) - 1), place, seal.ErrForged},
		{"cut", good[:len(good)-1], place, seal.ErrForged},
		{"another place", good, []byte("relay/2"), seal.ErrForged},
		{"no place", good, nil, seal.ErrForged},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got, err := keys.Open(test.sealed, test.associated); !errors.Is(err, test.want) || got != nil {
				t.Errorf("got %x, %v, want %v", got, err, test.want)
			}
		})
	}
}

func TestNewRefusesKeysOfAnotherLength(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 16, 31, 33} {
		if _, err := seal.New(make([]byte, n)); err == nil {
			t.Errorf("a key of %d octets: got no error", n)
		}
	}
}

func TestDeriveSeparatesPurposesAndKeys(t *testing.T) {
	t.Parallel()
	one, two := newKeys(t, 1), newKeys(t, 2)
	if !bytes.Equal(one.Derive("a"), newKeys(t, 1).Derive("a")) {
		t.Error("the same key and purpose give two sub-keys")
	}
	if bytes.Equal(one.Derive("a"), one.Derive("b")) || bytes.Equal(one.Derive("a"), two.Derive("a")) {
		t.Error("two purposes or two keys give one sub-key")
	}
	if got := len(one.Derive("a")); got != seal.KeyOctets {
		t.Errorf("got %d octets, want %d", got, seal.KeyOctets)
	}
}

func TestMACDependsOnKeyAndData(t *testing.T) {
	t.Parallel()
	a := seal.MAC([]byte("k"), []byte("x"))
	if !seal.Equal(a, seal.MAC([]byte("k"), []byte("x"))) {
		t.Error("the same key and data give two values")
	}
	if seal.Equal(a, seal.MAC([]byte("l"), []byte("x"))) || seal.Equal(a, seal.MAC([]byte("k"), []byte("y"))) {
		t.Error("another key or other data give the same value")
	}
}

// FuzzOpen: octets that this key did not seal never open, and never panic.
func FuzzOpen(f *testing.F) {
	keys := newKeys(f, 1)
	good := keys.Seal([]byte("secret"), []byte("place"))
	f.Add(good, []byte("place"))
	f.Add(good[:20], []byte("place"))
	f.Add([]byte{}, []byte{})
	f.Add(append([]byte{2}, good[1:]...), []byte("place"))
	f.Fuzz(func(t *testing.T, sealed, associated []byte) {
		plain, err := keys.Open(sealed, associated)
		if err != nil {
			if plain != nil {
				t.Fatal("octets beside an error")
			}
			return
		}
		// Each worker process has sealed an envelope of its own, all of them with this in it.
		if string(plain) != "secret" || string(associated) != "place" {
			t.Fatalf("opened %x, which was never sealed", sealed)
		}
	})
}
