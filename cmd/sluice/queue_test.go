package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path"
	"strings"
	"testing"
	"time"

	"sluice/internal/admin/client"
)

// desk answers the admin API with pages of a queue, and remembers what it was asked.
type desk struct {
	lists []client.ListQueueOutput
	acts  []client.SteerOutput // one for each call
	asked []string             // OPERATION INPUT
	code  int                  // of an error instead
}

func (d *desk) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	input, _ := io.ReadAll(r.Body)
	operation := path.Base(r.URL.Path)
	d.asked = append(d.asked, operation+" "+string(input))
	if d.code != 0 {
		w.WriteHeader(d.code)
		fmt.Fprint(w, `{"__type":"SomeException","message":"no"}`)
		return
	}
	var answer any
	switch {
	case operation == client.OpListQueue:
		answer, d.lists = d.lists[0], d.lists[1:]
	case operation == client.OpShowMessage:
		answer = client.ShowMessageOutput{MessageId: "m1", Sender: "a@example.org", Items: items(1)}
	case operation == client.OpListLanes:
		answer = client.ListLanesOutput{Lanes: []client.LaneState{{Name: "process", State: "OPEN", Items: 3}}}
	default:
		answer, d.acts = d.acts[0], d.acts[1:]
	}
	_ = json.NewEncoder(w).Encode(answer)
}

func items(n int) []client.QueueItem {
	list := make([]client.QueueItem, n)
	for i := range list {
		list[i] = client.QueueItem{MessageId: "m1", Seq: uint32(i), Lane: "held/failed", State: "HELD", Recipients: []string{"b@example.com"}}
	}
	return list
}

// steered is a page of an act with an item of each message.
func steered(next string, messages ...string) client.SteerOutput {
	out := client.SteerOutput{NextToken: next, Done: len(messages)}
	for _, id := range messages {
		out.Items = append(out.Items, client.SteeredItem{MessageId: id, Seq: 1, Lane: "held/failed", To: "process", Outcome: "DONE"})
	}
	return out
}

func (d *desk) run(t *testing.T, args ...string) (code int, out, err string) {
	t.Helper()
	server := httptest.NewServer(d)
	defer server.Close()
	return sluice(t, append(append([]string{"queue"}, args...), "--endpoint", server.URL)...)
}

func withKeys(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "AKSLEXAMPLEEXAMPLE")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
}

func TestQueueList(t *testing.T) {
	withKeys(t)
	pages := func() []client.ListQueueOutput {
		return []client.ListQueueOutput{{NextToken: "t1"}, {Items: items(2), NextToken: "t2"}, {Items: items(1)}}
	}
	tests := []struct {
		name  string
		args  []string
		lists []client.ListQueueOutput
		calls int
		want  []string
		never string
	}{
		{"all, after a page of none", []string{"--all"}, pages(), 3, []string{"ITEM ", "m1/0 ", "m1/1 "}, "there are more"},
		{"as many as are wanted", []string{"--limit", "2"}, pages(), 2, []string{"m1/1 ", "there are more: --all"}, "nothing found"},
		{"none", nil, []client.ListQueueOutput{{}}, 1, []string{"nothing found"}, "ITEM"},
		{"as JSON", []string{"--all", "--json"}, pages(), 3, []string{`"Seq": 1`}, "ITEM"},
	}
	for _, test := range tests {
		d := &desk{lists: test.lists}
		code, out, err := d.run(t, append([]string{"list"}, test.args...)...)
		if code != exitOK || err != "" || len(d.asked) != test.calls || strings.Contains(out, test.never) || strings.Count(out, "ITEM ") > 1 {
			t.Errorf("%s: code %d, %s, asked %q\n%s", test.name, code, err, d.asked, out)
		}
		for _, want := range test.want {
			if !strings.Contains(out, want) {
				t.Errorf("%s: lacks %q:\n%s", test.name, want, out)
			}
		}
	}
}

func TestQueueFilter(t *testing.T) {
	withKeys(t)
	d := &desk{lists: []client.ListQueueOutput{{}}}
	if code, _, err := d.run(t, "list", "--lane", "held", "--sender", "<>", "--recipient", "@example.com", "--min-size", "1", "--max-size", "2"); code != exitOK {
		t.Fatal(err)
	}
	if want := `ListQueue {"Filter":{"Lane":"held","Sender":"\u003c\u003e","Recipient":"@example.com","MinSize":1,"MaxSize":2},"MaxResults":100}`; d.asked[0] != want {
		t.Errorf("got  %s\nwant %s", d.asked[0], want)
	}
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	got := filterFlags{OlderThan: Duration(time.Hour), YoungerThan: Duration(2 * time.Hour)}.filter(now)
	if !got.ReceivedBefore.Equal(now.Add(-time.Hour)) || !got.ReceivedAfter.Equal(now.Add(-2*time.Hour)) {
		t.Errorf("got %+v", got)
	}
}

// An act on more than one message wants them named, or --yes; it refuses before it does anything.
func TestQueueActs(t *testing.T) {
	withKeys(t)
	dry := `"DryRun":true`
	busy := client.SteerOutput{Done: 1, Busy: 1, Items: []client.SteeredItem{{MessageId: "m1", Outcome: "BUSY", Reason: "its step runs"}}}
	tests := []struct {
		name string
		args []string
		acts []client.SteerOutput
		code int
		want string   // in what is printed
		asks []string // parts of each call's input; "!" begins what it must not have
	}{
		{"nothing is meant", []string{"discard"}, nil, exitUsage, "nothing says what is meant", nil},
		{"two ways to mean", []string{"discard", "m1", "--all"}, nil, exitUsage, "both ids and flags", nil},
		{"no item", []string{"discard", "m1/x"}, nil, exitUsage, "neither a message nor an item", nil},
		{"number too large", []string{"discard", "m1/4294967296"}, nil, exitUsage, "neither a message nor an item", nil},
		{"by name", []string{"hold", "m1", "m2/3"}, []client.SteerOutput{steered("", "m1", "m2")}, exitOK, "held: 2;",
			[]string{`HoldQueue {"Items":[{"MessageId":"m1"},{"MessageId":"m2","Seq":3}]}`}},
		{"by name, and not there", []string{"hold", "m1"}, []client.SteerOutput{{Skipped: 1}}, exitFailed, "nothing was done", []string{"HoldQueue"}},
		{"several without --yes", []string{"discard", "--all"}, []client.SteerOutput{steered("", "m1", "m2")}, exitUsage, "more than one message", []string{dry}},
		{"several on two pages without --yes", []string{"discard", "--lane", "held"}, []client.SteerOutput{steered("t1", "m1"), steered("", "m2")}, exitUsage,
			"more than one message", []string{dry, dry}},
		{"one without --yes", []string{"release", "--lane", "held"}, []client.SteerOutput{steered("", "m1"), steered("", "m1")}, exitOK, "released: 1;",
			[]string{dry, `{"Items":[{"MessageId":"m1","Seq":1}]}`}},
		{"none without --yes", []string{"release", "--lane", "held"}, []client.SteerOutput{{}}, exitOK, "released: 0;", []string{dry}},
		{"several with --yes", []string{"retry", "--all", "--yes"}, []client.SteerOutput{steered("t1", "m1"), steered("", "m2")}, exitOK, "to be tried now: 2;",
			[]string{`RetryQueue {"Filter":{}}`, `"NextToken":"t1"`}},
		{"a dry run", []string{"bounce", "--all", "--dry-run"}, []client.SteerOutput{steered("t1", "m1"), steered("", "m2")}, exitOK, "would be bounced: 2;", []string{dry, dry}},
		{"to a relay", []string{"reroute", "m1", "--relay", "r-1"}, []client.SteerOutput{steered("", "m1")}, exitOK, "m1/1  held/failed to process",
			[]string{`"RelayId":"r-1"`}},
		{"through rules", []string{"reroute", "m1", "--rule-set", "rs-1", "--json"}, []client.SteerOutput{steered("", "m1")}, exitOK, `"Done": 1`, []string{`"RuleSetId":"rs-1"`}},
		{"busy", []string{"discard", "m1"}, []client.SteerOutput{busy}, exitFailed, "hint: run it again", []string{"DiscardQueue"}},
		{"failed", []string{"discard", "m1"}, []client.SteerOutput{{Failed: 2}}, exitFailed, "2 items failed", []string{"DiscardQueue"}},
	}
	for _, test := range tests {
		d := &desk{acts: test.acts}
		code, out, err := d.run(t, test.args...)
		if code != test.code || !strings.Contains(out+err, test.want) || len(d.asked) != len(test.asks) {
			t.Errorf("%s: code %d, asked %q\n%s%s", test.name, code, d.asked, out, err)
			continue
		}
		for i, part := range test.asks {
			if !strings.Contains(d.asked[i], part) {
				t.Errorf("%s: call %d is %s, want %s in it", test.name, i, d.asked[i], part)
			}
		}
	}
}

func TestQueueErrors(t *testing.T) {
	withKeys(t)
	for _, args := range [][]string{{"list"}, {"show", "m1"}, {"lanes"}, {"hold", "m1"}, {"hold", "--all"}, {"hold", "--all", "--yes"}} {
		d := &desk{code: http.StatusNotFound}
		code, out, err := d.run(t, args...)
		if code != exitFailed || out != "" || !strings.Contains(err, "SomeException: no") || (args[0] == "show") != strings.Contains(err, "hint: it may have left") {
			t.Errorf("%v: code %d\n%s%s", args, code, out, err)
		}
	}
	for _, args := range [][]string{{"show", "m1"}, {"show", "m1", "--json"}, {"lanes"}, {"lanes", "held", "--json"}} {
		d := &desk{}
		if code, out, err := d.run(t, args...); code != exitOK || err != "" || out == "" {
			t.Errorf("%v: code %d\n%s%s", args, code, out, err)
		}
	}
}
