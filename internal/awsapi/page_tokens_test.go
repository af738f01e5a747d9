package awsapi

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"sluice/internal/conform"
	"sluice/internal/mailmanager"
)

func newTokens(t testing.TB, key byte, now *time.Time) *PageTokens {
	t.Helper()
	p, err := NewPageTokens(bytes.Repeat([]byte{key}, 32), func() time.Time { return *now })
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPageTokensA2(t *testing.T) {
	t.Parallel()
	conform.Check(t, "A2")
	now := testTime
	tokens := newTokens(t, 1, &now)
	scope := []string{"000000000000", "eu-central-1", "ListRelays"}
	token := tokens.Seal([]byte("r-17"), scope...)
	flipped := []byte(token)
	flipped[len(flipped)/2] ^= 1
	tests := []struct {
		name   string
		tokens *PageTokens
		token  string
		scope  []string
		after  time.Duration
		ok     bool
	}{
		{"same list", tokens, token, scope, 0, true},
		{"within a day", tokens, token, scope, pageTokenLifetime, true},
		{"another server with the key", newTokens(t, 1, &now), token, scope, 0, true},
		{"stale", tokens, token, scope, pageTokenLifetime + time.Second, false},
		{"another account", tokens, token, []string{"000000000001", "eu-central-1", "ListRelays"}, 0, false},
		{"another region", tokens, token, []string{"000000000000", "us-east-1", "ListRelays"}, 0, false},
		{"another operation", tokens, token, []string{"000000000000", "eu-central-1", "ListRuleSets"}, 0, false},
		{"scope cut elsewhere", tokens, token, []string{"000000000000e", "u-central-1", "ListRelays"}, 0, false},
		{"less scope", tokens, token, scope[:2], 0, false},
		{"another key", newTokens(t, 2, &now), token, scope, 0, false},
		{"altered", tokens, string(flipped), scope, 0, false},
		{"cut", tokens, token[:len(token)-4], scope, 0, false},
		{"longer", tokens, token + "AAAA", scope, 0, false},
		{"with a line end", tokens, token + "\n", scope, 0, false},
		{"padded", tokens, token + "=", scope, 0, false},
		{"another format", tokens, "B" + token[1:], scope, 0, false},
		{"empty", tokens, "", scope, 0, false},
		{"made up", tokens, "r-17", scope, 0, false},
	}
	for _, tt := range tests {
		now = testTime.Add(tt.after)
		got, err := tt.tokens.Open(tt.token, tt.scope...)
		if tt.ok && (err != nil || string(got) != "r-17") {
			t.Errorf("%s: got %q, %v, want r-17", tt.name, got, err)
		}
		var e *mailmanager.Error
		if !tt.ok && (!errors.As(err, &e) || e.Code != mailmanager.CodeValidation) {
			t.Errorf("%s: got %q, %v, want a ValidationException", tt.name, got, err)
		}
	}
	if strings.Contains(token, "r-17") || token == tokens.Seal([]byte("r-17"), scope...) {
		t.Errorf("token %s can be read or guessed", token)
	}
}

func TestPageTokensFitTheModel(t *testing.T) {
	t.Parallel()
	now := testTime
	tokens := newTokens(t, 1, &now)
	if got := len(tokens.Seal(make([]byte, 1400))); got > maxPageTokenCharacters {
		t.Errorf("got %d characters, want at most %d", got, maxPageTokenCharacters)
	}
	if _, err := NewPageTokens(make([]byte, 7), nil); err == nil {
		t.Error("a key of 7 octets: got nil, want an error")
	}
	defer func() {
		if recover() == nil {
			t.Error("a position of 2000 octets: got no panic")
		}
	}()
	tokens.Seal(make([]byte, 2000))
}
