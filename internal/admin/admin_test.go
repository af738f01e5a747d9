package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/action"
	"sluice/internal/admin/client"
	"sluice/internal/awsapi"
	"sluice/internal/control"
	"sluice/internal/mailmanager"
	"sluice/internal/message"
	"sluice/internal/spool"
	"sluice/internal/trace"
)

var home = control.Scope{Account: "000000000000", Region: "us-east-1"}

// server is everything the admin API asks of a server.
type server struct {
	records map[message.ID]trace.Record
	scope   control.Scope // that the records belong to
	points  []*control.IngressPoint
	bound   map[string][]string // by ingress point id
	lanes   []spool.LaneStat
	broken  error // what Lanes returns
	page    trace.Page
	query   trace.Query // that Find was called with
	relay   *control.Relay
	trial   action.Trial // of it

	operator string // the account that is the server's own
}

func (s *server) Get(_ context.Context, account, region string, id message.ID) (trace.Record, error) {
	record, ok := s.records[id]
	if !ok || s.scope != (control.Scope{Account: account, Region: region}) {
		return trace.Record{}, mailmanager.Errorf(mailmanager.CodeResourceNotFound, "No trace %s", id)
	}
	return record, nil
}

func (s *server) Find(_ context.Context, q trace.Query) (trace.Page, error) {
	s.query = q
	if q.Token == "bad" {
		return trace.Page{}, fmt.Errorf("find: %w", trace.ErrToken)
	}
	return s.page, nil
}

func (s *server) Points() iter.Seq[*control.IngressPoint] { return slices.Values(s.points) }

func (s *server) Bound(key control.Key) []string { return s.bound[key.ID] }

func (s *server) Lanes(context.Context) ([]spool.LaneStat, error) { return s.lanes, s.broken }

func (s *server) api() *API {
	return New(Config{
		Mail:   Mail{Traces: s, Lanes: s},
		Points: s, Sockets: s, Relays: s, Version: "test", Profile: func(account string) string { return "that of " + account }, Operator: s.operator,
		Readiness:    Readiness{check("spool", "no room")},
		StatusReason: func(key control.Key) string { return "why " + key.ID },
	})
}

func point(scope control.Scope, id, name string, status mailmanager.IngressPointStatus) *control.IngressPoint {
	return &control.IngressPoint{Key: control.Key{Scope: scope, ID: id}, Name: name, Status: status}
}

func call(t *testing.T, s *server, operation, input string) (any, error) {
	t.Helper()
	caller := awsapi.Caller{Account: home.Account, Region: home.Region}
	return s.api().HandleAdmin(t.Context(), caller, operation, json.RawMessage(input))
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	id := message.NewID(time.Unix(1_700_000_000, 0))
	abroad := control.Scope{Account: home.Account, Region: "eu-central-1"}
	tests := []struct {
		name      string
		server    *server
		operation string
		input     string
		want      mailmanager.Code
	}{
		{"no such operation", &server{}, "GetTraces", `{}`, mailmanager.CodeUnknownOperation},
		{"operation in the wrong case", &server{}, "gettrace", `{}`, mailmanager.CodeUnknownOperation},
		{"input of the wrong type", &server{}, "GetTrace", `[]`, mailmanager.CodeSerialization},
		{"member of the wrong type", &server{}, "GetTrace", `{"Id":1}`, mailmanager.CodeSerialization},
		{"unknown member", &server{}, "ListListeners", `{"All":true}`, mailmanager.CodeSerialization},
		{"no id", &server{}, "GetTrace", `{}`, mailmanager.CodeValidation},
		{"id of the wrong length", &server{}, "GetTrace", `{"Id":"0123"}`, mailmanager.CodeValidation},
		{"id of the wrong alphabet", &server{}, "GetTrace", `{"Id":"zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"}`, mailmanager.CodeValidation},
		{"unknown id", &server{scope: home}, "GetTrace", `{"Id":"` + id.String() + `"}`, mailmanager.CodeResourceNotFound},
		{"client that is no address", &server{}, "FindTraces", `{"Client":"example.com"}`, mailmanager.CodeValidation},
		{"client that is a network", &server{}, "FindTraces", `{"Client":"192.0.2.0/24"}`, mailmanager.CodeValidation},
		{"too many", &server{}, "FindTraces", `{"Limit":1001}`, mailmanager.CodeValidation},
		{"fewer than none", &server{}, "FindTraces", `{"Limit":-1}`, mailmanager.CodeValidation},
		{"no token", &server{}, "FindTraces", `{"NextToken":"bad"}`, mailmanager.CodeValidation},
		{"no time", &server{}, "FindTraces", `{"Since":"yesterday"}`, mailmanager.CodeSerialization},
		{"the caller names the account", &server{}, "FindTraces", `{"Account":"111111111111"}`, mailmanager.CodeSerialization},
		{
			"id of another region", &server{scope: abroad, records: map[message.ID]trace.Record{id: {ID: id}}},
			"GetTrace", `{"Id":"` + id.String() + `"}`, mailmanager.CodeResourceNotFound,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := call(t, test.server, test.operation, test.input)
			var refused *mailmanager.Error
			if !errors.As(err, &refused) || refused.Code != test.want {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}

func TestGetTrace(t *testing.T) {
	t.Parallel()
	id := message.NewID(time.Unix(1_700_000_000, 0))
	want := trace.Record{Version: trace.Version, ID: id, Events: []trace.Event{{Message: id}}}
	s := &server{scope: home, records: map[message.ID]trace.Record{id: want}}
	got, err := call(t, s, "GetTrace", `{"Id":"`+id.String()+`"}`)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(client.GetTraceOutput{Record: want}, got); diff != "" {
		t.Error(diff)
	}
}

// TestFindTraces: the query is the caller's, in the caller's own account and region (S36).
func TestFindTraces(t *testing.T) {
	t.Parallel()
	since := time.Unix(1_700_000_000, 0).UTC()
	s := &server{page: trace.Page{Found: []trace.Summary{{Kind: trace.KindRefused}}, Next: "on"}}
	got, err := call(t, s, "FindTraces", `{"Sender":"a@example.com","Recipient":"b@example.com","Client":"192.0.2.1",
		"Since":"2023-11-14T22:13:20Z","Until":"2023-11-14T22:13:21Z","Refused":true,"Limit":7,"NextToken":"from"}`)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(client.FindTracesOutput{Traces: s.page.Found, NextToken: "on"}, got, equal); diff != "" {
		t.Error(diff)
	}
	want := trace.Query{
		Account: home.Account, Region: home.Region, Sender: "a@example.com", Recipient: "b@example.com",
		Client: netip.MustParseAddr("192.0.2.1"), Since: since, Until: since.Add(time.Second), Refused: true, Limit: 7, Token: "from",
	}
	if diff := cmp.Diff(want, s.query, equal); diff != "" {
		t.Error(diff)
	}
}

// equal compares addresses.
var equal = cmp.Options{
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }),
}

func TestListListenersShowsTheCallersPointsByName(t *testing.T) {
	t.Parallel()
	abroad := control.Scope{Account: home.Account, Region: "eu-central-1"}
	stranger := control.Scope{Account: "111111111111", Region: home.Region}
	s := &server{
		points: []*control.IngressPoint{
			point(home, "inp-2", "west", mailmanager.IngressPointStatusFailed),
			point(abroad, "inp-3", "far", mailmanager.IngressPointStatusActive),
			point(stranger, "inp-4", "theirs", mailmanager.IngressPointStatusActive),
			point(home, "inp-1", "east", mailmanager.IngressPointStatusActive),
		},
		bound: map[string][]string{"inp-1": {"127.0.0.1:2525"}},
	}
	got, err := call(t, s, "ListListeners", `{}`)
	if err != nil {
		t.Fatal(err)
	}
	want := client.ListListenersOutput{Listeners: []client.Listener{
		{IngressPointId: "inp-1", Name: "east", Status: "ACTIVE", Addresses: []string{"127.0.0.1:2525"}},
		{IngressPointId: "inp-2", Name: "west", Status: "FAILED", StatusReason: "why inp-2"},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// S36: lanes of others are hidden, and so are those that accounts share, but for the server's own account.
func TestGetStatusHidesLanesOfOthers(t *testing.T) {
	t.Parallel()
	s := &server{lanes: []spool.LaneStat{
		{Lane: spool.HeldLane("unrouted"), Items: 1},
		{Lane: spool.LaneProcess, Items: 2},
		{Lane: spool.RelayLane(home.Account, home.Region, "r-1"), Items: 3, Octets: 30},
		{Lane: spool.RelayLane(home.Account, "eu-central-1", "r-2"), Items: 4},
		{Lane: spool.RelayLane("111111111111", home.Region, "r-3"), Items: 5},
	}}
	own := []client.Lane{{Name: "relay/000000000000/us-east-1/r-1", Items: 3, Octets: 30}}
	shared := []client.Lane{{Name: "held/unrouted", Items: 1}, {Name: "process", Items: 2}}
	for operator, want := range map[string][]client.Lane{"": own, "111111111111": own, home.Account: append(shared, own...)} {
		s.operator = operator
		got, err := call(t, s, "GetStatus", `{}`)
		if err != nil {
			t.Fatal(err)
		}
		status := client.GetStatusOutput{Version: "test", Profile: "that of " + home.Account, NotReady: []string{"spool: no room"}, Lanes: want}
		if diff := cmp.Diff(status, got); diff != "" {
			t.Errorf("operator %q: %s", operator, diff)
		}
	}
}

func TestGetStatusOfABrokenSpoolIsInternal(t *testing.T) {
	t.Parallel()
	_, err := call(t, &server{broken: spool.ErrClosed}, "GetStatus", `{}`)
	var refused *mailmanager.Error
	if err == nil || errors.As(err, &refused) || !errors.Is(err, spool.ErrClosed) {
		t.Errorf("got %v, want an internal error that wraps %v", err, spool.ErrClosed)
	}
}

// TestS29WithoutMail: while the spool is not open what is about mail is refused with the reason, and everything else is answered.
func TestS29WithoutMail(t *testing.T) {
	t.Parallel()
	s := &server{points: []*control.IngressPoint{point(home, "inp-1", "east", mailmanager.IngressPointStatusActive)}}
	api := New(Config{Points: s, Sockets: s, Relays: s, Version: "test", Readiness: Readiness{check("storage", "no room")}})
	caller := awsapi.Caller{Account: home.Account, Region: home.Region}
	for operation := range api.operations {
		if _, aboutUsers := api.aboutUsers()[operation]; aboutUsers {
			continue
		}
		_, err := api.HandleAdmin(t.Context(), caller, operation, json.RawMessage(`{}`))
		refused, ok := errors.AsType[*mailmanager.Error](err)
		switch operation {
		case client.OpListListeners, client.OpGetStatus:
			if err != nil {
				t.Errorf("%s: %v", operation, err)
			}
		case client.OpTestRelay:
			if !ok || refused.Code != mailmanager.CodeResourceNotFound {
				t.Errorf("%s: got %v, want that there is no such relay", operation, err)
			}
		default:
			if !ok || refused.Code != mailmanager.CodeUnavailable || !strings.Contains(refused.Message, "storage: no room") {
				t.Errorf("%s: got %v, want ServiceUnavailable and the reason", operation, err)
			}
		}
	}
	status, err := api.HandleAdmin(t.Context(), caller, client.OpGetStatus, json.RawMessage(`{}`))
	if diff := cmp.Diff(client.GetStatusOutput{Version: "test", NotReady: []string{"storage: no room"}}, status); err != nil || diff != "" {
		t.Error(err, diff)
	}
}
