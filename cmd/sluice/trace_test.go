package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/admin/client"
	"sluice/internal/message"
	"sluice/internal/trace"
)

func TestTraceUsage(t *testing.T) {
	tests := [][]string{
		{}, {"--limit", "3"}, {"--limit", "0", "--refused"}, {"--since", "yesterday"}, {"--since", "-1h"}, {"--until", "2026-13-01"},
		{"--ip", "example.com"}, {"--ip", "192.0.2.0/24"}, {"0123", "--sender", "a@example.com"}, {"0123", "--refused"}, {"0123", "4567"},
	}
	for _, args := range tests {
		code, out, err := sluice(t, append([]string{"trace"}, args...)...)
		if code != exitUsage || out != "" || !strings.HasSuffix(err, "hint: run sluice trace --help\n") {
			t.Errorf("%q: got code %d, %q and %q", args, code, out, err)
		}
	}
}

func TestParseWhen(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"": {}, "36h": now.Add(-36 * time.Hour), "0s": now, "2026-02-03": time.Date(2026, 2, 3, 0, 0, 0, 0, time.UTC),
		"2026-02-03 04:05:06": time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC), "2026-02-03T04:05:06+02:00": time.Date(2026, 2, 3, 2, 5, 6, 0, time.UTC),
	} {
		if got, err := parseWhen(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%q: got %v, %v; want %v", text, got, err, want)
		}
	}
}

// TestTraceLists asks page after page, and stops at the limit.
func TestTraceLists(t *testing.T) {
	var asked []client.FindTracesInput
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in client.FindTracesInput
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			t.Errorf("input: %v", err)
		}
		asked = append(asked, in)
		out := client.FindTracesOutput{NextToken: "on", Traces: []trace.Summary{{ID: message.ID{1}, Kind: trace.KindRefused, Outcome: "550 no"}}}
		if len(asked)%2 == 1 {
			out.Traces = nil // so much was read, and nothing found
		}
		_ = json.NewEncoder(w).Encode(out)
	}))
	defer server.Close()
	t.Setenv("AWS_ACCESS_KEY_ID", "AKEXAMPLE")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	args := []string{"trace", "--endpoint", server.URL, "--recipient", "a@example.com", "--refused", "--ip", "192.0.2.1", "--limit", "2"}
	code, out, err := sluice(t, args...)
	if lines := strings.Count(out, "\n"); code != exitOK || err != "" || lines != 2 || !strings.Contains(out, message.ID{1}.String()+"  refused") {
		t.Errorf("got code %d, %q and %q", code, out, err)
	}
	query := client.FindTracesInput{Recipient: "a@example.com", Refused: true, Client: "192.0.2.1", Limit: 2}
	on, last := query, query
	on.NextToken, last.NextToken, last.Limit = "on", "on", 1
	if d := cmp.Diff([]client.FindTracesInput{query, on, last, last}, asked); d != "" {
		t.Error(d)
	}
	code, out, _ = sluice(t, append(args, "--json")...)
	var found []trace.Summary
	if err := json.Unmarshal([]byte(out), &found); code != exitOK || err != nil || len(found) != 2 {
		t.Errorf("got code %d, %q, %v", code, out, err)
	}
}
