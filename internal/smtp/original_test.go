package smtp

import (
	"strings"
	"testing"
)

func TestDecodeOriginal(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, in      string
		kind, address string
		ok            bool
	}{
		{"plain", "rfc822;jo@example.com", "rfc822", "jo@example.com", true},
		{"xtext", "RFC822;a+2Bb+3dc+20d@example.com", "RFC822", "a+b=c d@example.com", true},
		{"another type", "x400;/C+3Dde/", "x400", "/C=de/", true},
		{"unitext", "utf-8;jö@müller.example", "utf-8", "jö@müller.example", true},
		{"utf-8 in ASCII", `UTF-8;j\x{F6}\x{1F600}\x{20}\x{5C}\x{2B}@example.com`, "UTF-8", "jö\U0001F600 \\+@example.com", true},
		{"empty", "", "", "", false},
		{"no type", ";jo@example.com", "", "", false},
		{"no address", "rfc822;", "", "", false},
		{"no semicolon", "rfc822", "", "", false},
		{"malformed xtext", "rfc822;a+2@b", "", "", false},
		{"a line end", "rfc822;a+0D+0Ab", "", "", false},
		{"malformed character", `utf-8;\x{110000}`, "", "", false},
		{"a control", `utf-8;\x{0A}`, "", "", false},
		{"not ASCII", "rfc822;jö@example.com", "", "", false},
		{"too long", "rfc822;" + strings.Repeat("a", maxOriginalOctets), "", "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			kind, address, ok := DecodeOriginal(tt.in)
			if kind != tt.kind || address != tt.address || ok != tt.ok {
				t.Errorf("got %q, %q, %v, want %q, %q, %v", kind, address, ok, tt.kind, tt.address, tt.ok)
			}
		})
	}
}
