package main

import (
	"path/filepath"
	"strings"
	"testing"

	"sluice/internal/certs/certtest"
	"sluice/internal/smtp"
)

func TestBouncesSettings(t *testing.T) {
	tests := []struct {
		name, file string
		from       string
		always     bool
	}{
		{"none", "", "postmaster@mail.example.org", true},
		{"local part", "[bounces]\nfrom = \"bounces\"\n", "bounces@mail.example.org", true},
		{"address", "[bounces]\nfrom = \"dsn@example.com\"\nalways = true\n", "dsn@example.com", true},
		{"not always", "[bounces]\nalways = false\nroute = \"r-aaaaaaaaaaaaaaaaaaaaaaaa\"\n", "postmaster@mail.example.org", false},
		{"by way of a host", "[bounces]\nroute = \"[2001:db8::1]:25\"\n", "postmaster@mail.example.org", true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			cfg, err := parseServe(t, nil, "--hostname", "mail.example.org", "--config", configFile(t, test.file))
			if err != nil {
				t.Fatal(err)
			}
			if from, err := cfg.bouncesFrom(); err != nil || from.Received != test.from || cfg.alwaysBounces() != test.always {
				t.Errorf("got %s, %v, %v", from, cfg.alwaysBounces(), err)
			}
		})
	}
	cfg, err := parseServe(t, nil, "--hostname", "no_host name")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cfg.bouncesFrom(); err == nil {
		t.Error("a host name that is no domain is told from")
	}
}

func TestSRSDomain(t *testing.T) {
	derived := ""
	derive := func(purpose string) []byte { derived = purpose; return make([]byte, 32) }
	cfg, err := parseServe(t, nil, "--config", configFile(t, "[srs]\ndomain = \"srs.example.org\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	if r := cfg.rewriter(derive); r == nil || !r.IsOurs(smtp.Path{Local: "SRS0=a", Domain: "srs.example.org", Received: "SRS0=a@srs.example.org"}) || derived != "srs" {
		t.Errorf("got %v under the key %q", r, derived)
	}
	if r := new(Config).rewriter(derive); r != nil {
		t.Error("senders are replaced without a domain")
	}
}

func TestAuthorities(t *testing.T) {
	t.Parallel()
	good := configFile(t, certtest.New(t, "inside", nil).PEM())
	cfg := Config{Authorities: map[string]string{"inside": good}}
	if pools, err := cfg.loadAuthorities(); err != nil || pools["inside"] == nil || pools["outside"] != nil {
		t.Errorf("got %v, %v", pools, err)
	}
	for name, file := range map[string]string{
		"missing": filepath.Join(t.TempDir(), "ca.pem"), "empty": configFile(t, ""), "no certificate": configFile(t, "hello"),
	} {
		cfg.Authorities = map[string]string{"inside": good, name: file}
		if _, err := cfg.loadAuthorities(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v, want an error that names it", name, err)
		}
	}
}
