package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/admin/client"
	"sluice/internal/awsapi"
	"sluice/internal/control"
	"sluice/internal/mailmanager"
	"sluice/internal/message"
	"sluice/internal/queue"
	"sluice/internal/smtp"
	"sluice/internal/spool"
)

var (
	noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	mail = message.NewID(noon)
)

// theQueue is a queue that remembers what it was asked, and has so many pages of one item.
type theQueue struct {
	pages     int
	err       error
	lanes     []queue.LaneState
	selection queue.Selection
	order     queue.Order
	picks     []queue.Pick
	size      int
	rules     map[spool.Hash]string
}

func (q *theQueue) Lanes() []queue.LaneState { return q.lanes }

func (q *theQueue) next(from queue.Position) queue.Position {
	if from.Due.Nanosecond() == q.pages-1 {
		return queue.Position{}
	}
	return queue.Position{Lane: "held/failed", Due: noon.Add(time.Duration(from.Due.Nanosecond() + 1)), Item: spool.ItemKey{Message: mail, Seq: 7}, Began: noon}
}

func (q *theQueue) Find(_ context.Context, s *queue.Selection, from queue.Position, n int) ([]queue.Found, queue.Position, error) {
	q.selection, q.size = *s, n
	found := queue.Found{State: queue.ItemHeld, Message: theMessage(), Item: spool.Item{
		ItemKey: spool.ItemKey{Message: mail, Seq: 7}, Lane: "held/failed", Origin: "relay/1/r/a", Due: noon, Attempts: 2, LastReply: "550 no",
		Recipients: theMessage().Envelope.Recipients, Rule: 1, RuleName: "rule", ActionName: "RELAY",
	}}
	return []queue.Found{found}, q.next(from), q.err
}

func theMessage() *spool.Message {
	return &spool.Message{
		ID: mail, Session: message.Session{ID: mail, IngressPoint: "inp-1", Hello: "client"}, ReceivedAt: noon, Size: 1000, RuleSetID: "rs-1",
		Envelope: message.Envelope{
			ReversePath: smtp.Path{Received: "a@example.org"},
			Recipients:  []message.Recipient{{Path: smtp.Path{Received: "b@example.com"}}},
		},
	}
}

func (q *theQueue) Show(ctx context.Context, s *queue.Selection, id message.ID) (*spool.Message, []queue.Found, error) {
	if id != mail {
		return nil, nil, fmt.Errorf("message %s: %w", id, spool.ErrNotFound)
	}
	found, _, err := q.Find(ctx, s, queue.Position{}, 1)
	return theMessage(), found, err
}

// steered has one of each outcome.
func steered() []queue.Steered {
	return []queue.Steered{
		{Item: spool.ItemKey{Message: mail, Seq: 1}, Lane: "held/failed", To: "process", Outcome: queue.SteerDone},
		{Item: spool.ItemKey{Message: mail, Seq: 2}, Lane: "process", Outcome: queue.SteerBusy, Reason: "its step runs"},
		{Item: spool.ItemKey{Message: mail, Seq: 3}, Lane: "process", Outcome: queue.SteerSkipped, Reason: "it is not held"},
		{Item: spool.ItemKey{Message: mail, Seq: 4}, Lane: "process", Outcome: queue.SteerFailed, Reason: "not known"},
	}
}

func (q *theQueue) Steer(_ context.Context, o *queue.Order, s *queue.Selection, from queue.Position, n int) ([]queue.Steered, queue.Position, error) {
	q.order, q.selection, q.size = *o, *s, n
	return steered(), q.next(from), q.err
}

func (q *theQueue) SteerPicked(_ context.Context, o *queue.Order, s *queue.Selection, picks []queue.Pick) ([]queue.Steered, error) {
	q.order, q.selection, q.picks = *o, *s, picks
	return steered(), q.err
}

func (q *theQueue) RuleSet(key control.Key) (*control.RuleSet, bool) {
	return &control.RuleSet{Key: key, Hash: spool.Hash{2}, Source: []byte("source")}, key.ID == "rs-2" && key.Scope == home
}

func (q *theQueue) Relay(scope control.Scope, id string) (*control.Relay, bool) {
	return &control.Relay{Key: control.Key{Scope: scope, ID: id}}, id == "r-2" && scope == home
}

func (q *theQueue) AddRuleSet(_ context.Context, hash spool.Hash, source []byte) error {
	q.rules = map[spool.Hash]string{hash: string(source)}
	return nil
}

// desk is an API before such a queue, and its log.
func (q *theQueue) desk(t *testing.T, operator string) (func(operation, input string) (any, error), *bytes.Buffer) {
	t.Helper()
	tokens, err := awsapi.NewPageTokens(bytes.Repeat([]byte{1}, 32), nil)
	if err != nil {
		t.Fatal(err)
	}
	log := &bytes.Buffer{}
	api := New(Config{
		Mail: Mail{Queue: q, RuleSets: q, Lanes: &server{lanes: []spool.LaneStat{
			{Lane: "held/unrouted", Items: 1, Oldest: noon}, {Lane: spool.LaneProcess, Items: 2},
			{Lane: spool.RelayLane(home.Account, home.Region, "r-1"), Items: 3}, {Lane: "relay/111111111111/us-east-1/r-3", Items: 4},
		}}},
		Resources: q, Tokens: tokens, Operator: operator, Log: slog.New(slog.NewJSONHandler(log, nil)),
	})
	caller := awsapi.Caller{Account: home.Account, Region: home.Region, AccessKeyID: "AKTEST", RequestID: "request", Address: "192.0.2.1:4000"}
	return func(operation, input string) (any, error) {
		return api.HandleAdmin(t.Context(), caller, operation, json.RawMessage(input))
	}, log
}

func TestQueueRefusals(t *testing.T) {
	t.Parallel()
	tests := []struct {
		operation, input string
		err              error // of the queue
		want             mailmanager.Code
	}{
		{"ListQueue", `{"MaxResults":-1}`, nil, mailmanager.CodeValidation},
		{"ListQueue", `{"MaxResults":1001}`, nil, mailmanager.CodeValidation},
		{"ListQueue", `{"NextToken":"made up"}`, nil, mailmanager.CodeValidation},
		{"ListQueue", `{"Filter":{"Lanes":"held"}}`, nil, mailmanager.CodeSerialization},
		{"ListQueue", `{"Filter":{"ReceivedBefore":"yesterday"}}`, nil, mailmanager.CodeSerialization},
		{"ShowMessage", `{}`, nil, mailmanager.CodeValidation},
		{"ShowMessage", `{"MessageId":"` + message.NewID(noon).String() + `"}`, nil, mailmanager.CodeResourceNotFound},
		{"HoldQueue", `{}`, nil, mailmanager.CodeValidation},
		{"HoldQueue", `{"Items":[{"MessageId":"` + mail.String() + `"}],"Filter":{}}`, nil, mailmanager.CodeValidation},
		{"HoldQueue", `{"Items":[{"MessageId":"short"}]}`, nil, mailmanager.CodeValidation},
		{"HoldQueue", `{"Items":[{"MessageId":"` + mail.String() + `","Seq":-1}]}`, nil, mailmanager.CodeSerialization},
		{"HoldQueue", `{"Items":[{"MessageId":"` + mail.String() + `"}],"MaxResults":5}`, nil, mailmanager.CodeValidation},
		{"HoldQueue", `{"Filter":{},"MaxResults":1001}`, nil, mailmanager.CodeValidation},
		{"HoldQueue", `{"Filter":{},"NextToken":"made up"}`, nil, mailmanager.CodeValidation},
		{"HoldQueue", `{"Filter":{},"RelayId":"r-2"}`, nil, mailmanager.CodeValidation},
		{"RerouteQueue", `{"Filter":{}}`, nil, mailmanager.CodeValidation},
		{"RerouteQueue", `{"Filter":{},"RelayId":"r-2","RuleSetId":"rs-2"}`, nil, mailmanager.CodeValidation},
		{"RerouteQueue", `{"Filter":{},"RelayId":"r-9"}`, nil, mailmanager.CodeResourceNotFound},
		{"RerouteQueue", `{"Filter":{},"RuleSetId":"rs-9"}`, nil, mailmanager.CodeResourceNotFound},
		{"BounceQueue", `{"Filter":{}}`, queue.ErrNoBounces, mailmanager.CodeConflict},
		{"DiscardQueue", `{"Filter":{}}`, queue.ErrStopping, mailmanager.CodeUnavailable},
	}
	for _, test := range tests {
		call, log := (&theQueue{pages: 1, err: test.err}).desk(t, "")
		_, err := call(test.operation, test.input)
		var refused *mailmanager.Error
		if !errors.As(err, &refused) || refused.Code != test.want {
			t.Errorf("%s %s: got %v, want %s", test.operation, test.input, err, test.want)
		}
		audited := strings.Contains(log.String(), `"msg":"audit"`) && strings.Contains(log.String(), `"error":`)
		if act := strings.HasSuffix(test.operation, "Queue") && test.operation != "ListQueue"; act != audited && test.want != mailmanager.CodeSerialization {
			t.Errorf("%s %s: logged %s", test.operation, test.input, log)
		}
	}
}

func TestListQueue(t *testing.T) {
	t.Parallel()
	q := &theQueue{pages: 2}
	call, _ := q.desk(t, "")
	filter := `{"Lane":"held","Sender":"<>","Recipient":"@example.com","ReceivedBefore":"2026-03-01T12:00:00Z","MinSize":1,"MaxSize":2}`
	first, err := call("ListQueue", `{"Filter":`+filter+`}`)
	if err != nil {
		t.Fatal(err)
	}
	page := first.(client.ListQueueOutput)
	want := []client.QueueItem{{
		MessageId: mail.String(), Seq: 7, Lane: "held/failed", State: "HELD", Sender: "a@example.org", Recipients: []string{"b@example.com"}, Size: 1000,
		Received: noon, HeldSince: noon, HeldFrom: "relay/1/r/a", Attempts: 2, LastReply: "550 no", Rule: 1, RuleName: "rule", Action: "RELAY",
	}}
	if diff := cmp.Diff(want, page.Items); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	selected := queue.Selection{
		Account: home.Account, Region: home.Region, Lane: "held", Sender: "<>", Recipient: "@example.com", ReceivedBefore: noon, MinSize: 1, MaxSize: 2,
	}
	if diff := cmp.Diff(selected, q.selection); diff != "" || q.size != defaultQueueResults {
		t.Errorf("size %d, (-want +got):\n%s", q.size, diff)
	}
	if second, err := call("ListQueue", `{"Filter":`+filter+`,"MaxResults":5,"NextToken":"`+page.NextToken+`"}`); err != nil || second.(client.ListQueueOutput).NextToken != "" {
		t.Errorf("got %+v, %v", second, err)
	}
	for _, other := range []string{`{}`, `{"Lane":"process"}`} {
		if _, err := call("ListQueue", `{"Filter":`+other+`,"NextToken":"`+page.NextToken+`"}`); err == nil {
			t.Errorf("the token of another list opens for %s", other)
		}
	}
	if _, err := call("HoldQueue", `{"Filter":`+filter+`,"NextToken":"`+page.NextToken+`"}`); err == nil {
		t.Error("the token of a list opens for an act")
	}
}

func TestShowMessage(t *testing.T) {
	t.Parallel()
	call, _ := (&theQueue{pages: 1}).desk(t, "")
	got, err := call("ShowMessage", `{"MessageId":"`+mail.String()+`"}`)
	if err != nil {
		t.Fatal(err)
	}
	shown := got.(client.ShowMessageOutput)
	if shown.Sender != "a@example.org" || shown.IngressPointId != "inp-1" || shown.RuleSetId != "rs-1" || len(shown.Items) != 1 || shown.Recipients[0] != "b@example.com" {
		t.Errorf("got %+v", shown)
	}
}

// The lanes of others are hidden, and those that accounts share are shown to the server's own account only (S36).
func TestListLanes(t *testing.T) {
	t.Parallel()
	mine := string(spool.RelayLane(home.Account, home.Region, "r-1"))
	q := &theQueue{lanes: []queue.LaneState{
		{Lane: spool.LaneProcess, State: "OPEN", Error: "of another", ErrorAt: noon},
		{Lane: spool.Lane(mine), State: "WAITING", Until: noon, Rate: 1.5, Error: "refused", ErrorAt: noon},
	}}
	for _, test := range []struct{ operator, lane string }{{"", ""}, {home.Account, ""}, {home.Account, "held/"}, {"", "held/"}} {
		call, _ := q.desk(t, test.operator)
		got, err := call("ListLanes", `{"Lane":"`+test.lane+`"}`)
		if err != nil {
			t.Fatal(err)
		}
		want := []client.LaneState{
			{Name: "held/unrouted", State: "RESTING", Items: 1, Oldest: noon},
			{Name: "process", State: "OPEN", Items: 2, Error: "of another", ErrorAt: noon},
			{Name: mine, State: "WAITING", Items: 3, Until: noon, Rate: 1.5, Error: "refused", ErrorAt: noon},
		}
		if test.operator == "" {
			want = want[2:]
		}
		if test.lane != "" {
			want = slices.DeleteFunc(want, func(l client.LaneState) bool { return !strings.HasPrefix(l.Name, test.lane) })
		}
		if diff := cmp.Diff(want, got.(client.ListLanesOutput).Lanes); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

func TestActs(t *testing.T) {
	t.Parallel()
	three := uint32(3)
	items := `{"Items":[{"MessageId":"` + mail.String() + `"},{"MessageId":"` + mail.String() + `","Seq":3}]}`
	tests := []struct {
		operation, input string
		want             queue.Order
		picks            []queue.Pick
		rules            map[spool.Hash]string
	}{
		{"HoldQueue", items, queue.Order{Act: queue.ActHold}, []queue.Pick{{Message: mail}, {Message: mail, Seq: &three}}, nil},
		{"ReleaseQueue", `{"Filter":{}}`, queue.Order{Act: queue.ActRelease}, nil, nil},
		{"RetryQueue", `{"Filter":{},"DryRun":true}`, queue.Order{Act: queue.ActRetry, DryRun: true}, nil, nil},
		{"BounceQueue", `{"Filter":{}}`, queue.Order{Act: queue.ActBounce}, nil, nil},
		{"DiscardQueue", `{"Filter":{}}`, queue.Order{Act: queue.ActDiscard}, nil, nil},
		{"RerouteQueue", `{"Filter":{},"RuleSetId":"rs-2"}`, queue.Order{Act: queue.ActReroute, RuleSetID: "rs-2", RuleSet: spool.Hash{2}}, nil, map[spool.Hash]string{{2}: "source"}},
		{"RerouteQueue", `{"Filter":{},"RuleSetId":"rs-2","DryRun":true}`, queue.Order{Act: queue.ActReroute, RuleSetID: "rs-2", RuleSet: spool.Hash{2}, DryRun: true}, nil, nil},
		{"RerouteQueue", `{"Filter":{},"RelayId":"r-2"}`, queue.Order{Act: queue.ActReroute, Relay: spool.RelayLane(home.Account, home.Region, "r-2")}, nil, nil},
	}
	for _, test := range tests {
		q := &theQueue{pages: 2}
		call, log := q.desk(t, home.Account)
		got, err := call(test.operation, test.input)
		if err != nil {
			t.Fatalf("%s: %v", test.operation, err)
		}
		test.want.By = "AKTEST"
		if diff := cmp.Diff(test.want, q.order) + cmp.Diff(test.picks, q.picks) + cmp.Diff(test.rules, q.rules); diff != "" {
			t.Errorf("%s %s (-want +got):\n%s", test.operation, test.input, diff)
		}
		if q.selection.Account != home.Account || q.selection.Region != home.Region || !q.selection.Unreadable {
			t.Errorf("%s: selected %+v", test.operation, q.selection)
		}
		out := got.(client.SteerOutput)
		if out.Done != 1 || out.Busy != 1 || out.Skipped != 1 || out.Failed != 1 || len(out.Items) != 4 || (out.NextToken == "") != (test.picks != nil) {
			t.Errorf("%s: got %+v", test.operation, out)
		}
		checkAudit(t, log.String(), test.operation, test.input)
		if out.NextToken == "" {
			continue
		}
		rest := strings.TrimSuffix(test.input, "}") + `,"NextToken":"` + out.NextToken + `"}`
		if got, err := call(test.operation, rest); err != nil || got.(client.SteerOutput).NextToken != "" {
			t.Errorf("%s: the second page: %+v, %v", test.operation, got, err)
		}
	}
}

// A refusal is audited, and takes a line of bounded length however much was asked for.
func TestAuditOfTooMuch(t *testing.T) {
	t.Parallel()
	call, log := (&theQueue{pages: 1}).desk(t, "")
	input := `{"Items":[` + strings.Repeat(`{"MessageId":""},`, 20_000) + `{"MessageId":""}]}`
	if _, err := call("HoldQueue", input); err == nil {
		t.Error("got no error")
	}
	if text := log.String(); len(text) > len(input) || !strings.Contains(text, `"msg":"audit"`) || !strings.Contains(text, "up to 1000") {
		t.Errorf("got a line of %d octets: %.200s", len(text), text)
	}
}

func checkAudit(t *testing.T, log, operation, input string) {
	t.Helper()
	if strings.Contains(input, "DryRun") {
		if log != "" {
			t.Errorf("%s: a dry run is audited: %s", operation, log)
		}
		return
	}
	var line map[string]any
	if err := json.Unmarshal([]byte(log), &line); err != nil {
		t.Fatalf("logged %s: %v", log, err)
	}
	delete(line, "time")
	want := map[string]any{
		"level": "INFO", "msg": "audit", "operation": operation, "access_key_id": "AKTEST", "account": home.Account, "region": home.Region,
		"from": "192.0.2.1:4000", "request_id": "request", "input": input, "done": 1.0, "busy": 1.0, "skipped": 1.0, "failed": 1.0,
		"more": strings.Contains(input, "Filter"),
	}
	if diff := cmp.Diff(want, line); diff != "" {
		t.Errorf("%s (-want +got):\n%s", operation, diff)
	}
}
