package message

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

func TestAlternativeNames(t *testing.T) {
	t.Parallel()
	all := Certificate{
		CommonNames: []string{"not an alternative"}, SerialNumber: "01", Subject: "CN=no", Issuer: "CN=no",
		RFC822Names: []string{"a@example.org", "b@example.org"}, DNSNames: []string{"a.example"}, DirectoryNames: []string{"CN=a"},
		URIs: []string{"spiffe://a"}, IPAddresses: []string{"192.0.2.1"}, RegisteredIDs: []string{"1.2.3"},
	}
	want := []string{"a@example.org", "b@example.org", "a.example", "CN=a", "spiffe://a", "192.0.2.1", "1.2.3"}
	got := all.AlternativeNames()
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	got[0] = "changed"
	if all.RFC822Names[0] != "a@example.org" {
		t.Error("the list is shared with the certificate")
	}
	if got := new(Certificate).AlternativeNames(); len(got) != 0 {
		t.Errorf("got %q without any", got)
	}
}

// What most sessions do not have takes no room in their records.
func TestSessionWithoutCertificateIsSilent(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		session Session
		want    bool
	}{
		{"without", Session{}, false},
		{"with", Session{Certificate: &Certificate{}, AuthVersion: "1", SecretARN: "arn"}, true},
	} {
		text, err := json.Marshal(tt.session)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"Certificate", "AuthVersion", "SecretARN"} {
			if got := strings.Contains(string(text), name); got != tt.want {
				t.Errorf("%s: got %s in it: %v, want %v", tt.name, name, got, tt.want)
			}
		}
	}
}
