package main

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// S41: what is done by a signed URL is in the audit log, and nothing of the signature. What is not signed is a stranger's.
func TestS41SignedURLsAreAudited(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	s, stop := started(t, cfg)
	u := uploadURL(t, s)
	signed := u.String()
	for _, target := range []string{signed, signed[:len(signed)-4]} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, target, strings.NewReader("a@example.org\n"))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("User-Agent", "the test/1")
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(s.dir.file(auditFile))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(text, []byte(u.Query().Get("signature")[:16])) {
		t.Error("the audit log has a signature")
	}
	type line struct {
		Operation, Account, Region, Principal, Source, Outcome string
		UserAgent                                              string `json:"user_agent"`
		Verified                                               bool
		Status                                                 int
		Resources                                              []string
	}
	var uses []line
	for text := range bytes.Lines(text) {
		var l line
		if err := json.Unmarshal(text, &l); err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(l.Operation, "objects.") {
			uses = append(uses, l)
		}
	}
	if len(uses) != 2 {
		t.Fatalf("got %+v, want two uses", uses)
	}
	good, forged := uses[0], uses[1]
	if good.Operation != "objects.PutObject" || !good.Verified || good.Principal != signedURL || good.Account != defaultAccount || good.Region != defaultRegion ||
		good.Status != 200 || good.Outcome != "OK" || good.Source != "127.0.0.1" || good.UserAgent != "the test/1" ||
		len(good.Resources) != 1 || "/objects/"+good.Resources[0] != u.Path {
		t.Errorf("got %+v", good)
	}
	if forged.Verified || forged.Principal != "" || forged.Account != "" || len(forged.Resources) > 0 || forged.Status != 403 || forged.Outcome != "SignatureDoesNotMatch" {
		t.Errorf("of a signature that is cut short: got %+v", forged)
	}
}

// A server that listens on all addresses cannot know by which of them it is reached.
func TestURLsThatLeadNowhere(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		args []string
		warn bool
	}{
		{[]string{"--api", "0.0.0.0:0", "--api-insecure"}, true},
		{[]string{"--api", ":0", "--api-insecure"}, true},
		{[]string{"--api", ":0", "--api-insecure", "--api-url", "https://mail.example.com"}, false},
		{nil, false},
	} {
		log := &bytes.Buffer{} // a slog.Handler writes a line at a time, and nobody reads before the end
		_, stop := startedAt(t, testConfig(t, test.args...), slog.New(slog.NewTextHandler(log, nil)), time.Now)
		if err := stop(); err != nil {
			t.Error(err)
		}
		if strings.Contains(log.String(), "api_url") != test.warn {
			t.Errorf("%q: got the log %s", test.args, log)
		}
	}
}
