package action

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"mime/multipart"
	"net/mail"
	"net/textproto"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/bounce"
	"sluice/internal/conform"
	"sluice/internal/message"
	"sluice/internal/queue"
	"sluice/internal/smtp"
	"sluice/internal/spool"
)

var reportTime = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// reporting is a reporter and the message that it reports on.
type reporting struct {
	config   ReporterConfig
	message  spool.Message
	contents contents
}

func newReporting() *reporting {
	from, _ := smtp.ParseMailbox("postmaster@mail.example.org")
	sender, _ := smtp.ParseMailbox("jo@example.com")
	id := message.ID{1}
	return &reporting{
		config: ReporterConfig{
			Route:  func(account, region string) spool.Lane { return spool.RelayLane(account, region, "r-9") },
			Always: true, From: from, Hostname: "mail.example.org",
			Now: func() time.Time { return reportTime }, Logger: slog.New(slog.DiscardHandler),
		},
		message: spool.Message{
			ID: id, Session: message.Session{Account: "000000000000", Region: "eu-west-1"},
			Envelope: message.Envelope{ReversePath: sender}, ReceivedAt: reportTime.Add(-5 * time.Hour),
		},
		contents: contents{id: "Subject: hello\r\n\r\nbody\r\n"},
	}
}

// told is a recipient, with NOTIFY, and what became of it.
type told struct {
	to, notify string
	fate       fate
}

// work is the item of lane report for some recipients.
func (r *reporting) work(all ...told) *queue.Work {
	var to []message.Recipient
	var fates []fate
	for _, one := range all {
		path, _ := smtp.ParseMailbox(one.to)
		to, fates = append(to, message.Recipient{Path: path, Notify: one.notify}), append(fates, one.fate)
	}
	item := reportItem(spool.Item{Lane: "relay/000000000000/eu-west-1/r-1", Rule: 1, Action: 2, Node: 3}, to, fates)
	item.ItemKey = spool.ItemKey{Message: r.message.ID, Seq: 4}
	r.message.Size = int64(len(r.contents[r.message.ID]))
	return queue.NewWork(spool.Claimed{Item: item, Message: &r.message}, r.contents)
}

// report lets the reporter do the item, and returns how it ended.
func (r *reporting) report(t *testing.T, w *queue.Work) queue.Result {
	t.Helper()
	f := &feed{arrived: make(chan struct{}), ready: []*queue.Work{w}}
	NewReporter(r.config).Work(t.Context(), f)
	if len(f.done) != 1 {
		t.Fatalf("%d items were reported, want 1", len(f.done))
	}
	return f.done[0].result
}

// describe is a result on one line: who is told what, in which lane, and who rests.
func describe(t *testing.T, result *queue.Result) string {
	t.Helper()
	var words []string
	for _, b := range result.Births {
		words = append(words, fmt.Sprintf("%s in %s", strings.Join(statuses(t, b.Content), ", "), b.Items[0].Lane))
	}
	for _, h := range result.Held {
		for _, r := range h.Recipients {
			words = append(words, fmt.Sprintf("held/%s %s: %s", h.Reason, r.Path.Received, h.Detail))
		}
	}
	for _, d := range result.Deferred {
		words = append(words, "deferred "+d.Path.Received+" "+result.Reply)
	}
	return strings.Join(words, " | ")
}

// statuses reads a notification with parsers that are not ours, and returns the action and status of each recipient.
func statuses(t *testing.T, text []byte) []string {
	t.Helper()
	m, err := mail.ReadMessage(bytes.NewReader(text))
	if err != nil {
		t.Fatalf("%v in %q", err, text)
	}
	kind, parameters, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/report" {
		t.Fatalf("it is a %q: %v", kind, err)
	}
	parts := multipart.NewReader(m.Body, parameters["boundary"])
	var found []string
	for part, err := parts.NextRawPart(); !errors.Is(err, io.EOF); part, err = parts.NextRawPart() {
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(part)
		if part.Header.Get("Content-Type") != "message/delivery-status" {
			continue
		}
		for _, group := range strings.Split(string(body), "\r\n\r\n")[1:] {
			fields, err := textproto.NewReader(bufio.NewReader(strings.NewReader(strings.TrimRight(group, "\r\n") + "\r\n\r\n"))).ReadMIMEHeader()
			if err != nil {
				t.Fatalf("%v in %q", err, group)
			}
			_, to, _ := strings.Cut(fields.Get("Final-Recipient"), "; ")
			found = append(found, fields.Get("Action")+" "+to+" "+fields.Get("Status"))
		}
	}
	return found
}

func TestReport(t *testing.T) {
	t.Parallel()
	conform.Check(t, "E18")
	reply := func(outcome bounce.Outcome, code int, class, subject, detail uint16) fate {
		return fateOf(outcome, smtp.NewReply(code, class, subject, detail, "words"), "mx.example.net", reportTime)
	}
	gone, full := reply(bounce.Failed, 550, 5, 1, 1), reply(bounce.Failed, 552, 5, 2, 2)
	taken := reply(bounce.Relayed, 250, 2, 0, 0)
	expired := fate{Outcome: bounce.Failed, Text: "192.0.2.1:25: connection refused", At: reportTime}
	late := fate{Outcome: bounce.Delayed, Waited: 5 * time.Hour, Until: reportTime.Add(time.Hour), At: reportTime}
	const way = " in relay/000000000000/eu-west-1/r-9"
	tests := []struct {
		name   string
		change func(*reporting)
		in     []told
		want   string
	}{
		{"refused", nil, []told{{"b@x.example", "", gone}}, "failed b@x.example 5.1.1" + way},
		{"several in one", nil, []told{{"b@x.example", "", gone}, {"c@x.example", "FAILURE,DELAY", full}},
			"failed b@x.example 5.1.1, failed c@x.example 5.2.2" + way},
		{"given up", nil, []told{{"b@x.example", "", expired}}, "failed b@x.example 4.4.7" + way},
		{"late", nil, []told{{"b@x.example", "", late}}, "delayed b@x.example 4.4.0" + way},
		{"relayed as asked", nil, []told{{"b@x.example", "SUCCESS", taken}}, "relayed b@x.example 2.0.0" + way},
		{"failed and relayed", nil, []told{{"b@x.example", "", gone}, {"c@x.example", "SUCCESS", taken}},
			"failed b@x.example 5.1.1, relayed c@x.example 2.0.0" + way},
		{"one wants silence", nil, []told{{"b@x.example", "NEVER", gone}, {"c@x.example", "", gone}}, "failed c@x.example 5.1.1" + way},
		{"no route", func(r *reporting) { r.config.Route = func(string, string) spool.Lane { return "" } },
			[]told{{"b@x.example", "", gone}}, "failed b@x.example 5.1.1 in held/bounce"},
		{"authenticated", func(r *reporting) { r.config.Always, r.message.Session.AuthUser = false, "jo" },
			[]told{{"b@x.example", "", gone}}, "failed b@x.example 5.1.1" + way},
		{"what an item lost at rest", func(r *reporting) {}, nil, "failed b@x.example 4.4.7" + way},

		{"silence", nil, []told{{"b@x.example", "NEVER", gone}}, ""},
		{"success only", nil, []told{{"b@x.example", "SUCCESS", gone}}, ""},
		{"relayed, not asked", nil, []told{{"b@x.example", "", taken}}, ""},
		{"late, not asked", nil, []told{{"b@x.example", "FAILURE", late}}, ""},
		{"late, of a list", func(r *reporting) { r.contents[r.message.ID] = "List-Id: <a.b>\r\n\r\n" }, []told{{"b@x.example", "", late}}, ""},
		{"null reverse-path", func(r *reporting) { r.message.Envelope.ReversePath = smtp.Path{} },
			[]told{{"b@x.example", "", gone}, {"c@x.example", "NEVER", full}},
			"held/undeliverable b@x.example: 550 5.1.1 words | held/undeliverable c@x.example: 552 5.2.2 words"},
		{"null reverse-path, late", func(r *reporting) { r.message.Envelope.ReversePath = smtp.Path{} }, []told{{"b@x.example", "", late}}, ""},
		{"not entitled", func(r *reporting) { r.config.Always = false }, []told{{"b@x.example", "", gone}},
			"held/undeliverable b@x.example: 550 5.1.1 words"},
		{"not entitled, silence", func(r *reporting) { r.config.Always = false }, []told{{"b@x.example", "NEVER", gone}}, ""},
		{"no outcome", nil, []told{{"b@x.example", "", fate{Text: "what"}}}, "held/undeliverable b@x.example: what"},
		{"unreadable", func(r *reporting) { r.contents[r.message.ID] += "!" }, []told{{"b@x.example", "", gone}},
			"deferred b@x.example read message " + message.ID{1}.String() + ": disk gone"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newReporting()
				if test.change != nil {
					test.change(r)
				}
				in := test.in
				if in == nil {
					in = []told{{"b@x.example", "", gone}}
				}
				w := r.work(in...)
				if test.in == nil {
					w.Item.Cursor = nil
				}
				result := r.report(t, w)
				if got := describe(t, &result); got != test.want {
					t.Errorf("got  %s\nwant %s", got, test.want)
				}
				if test.want != "" && strings.HasPrefix(test.want, "deferred") {
					return
				}
				if len(result.Attempts) != len(in) || result.Attempts[0].ActionName != actionReport || result.Attempts[0].Rule != 1 {
					t.Errorf("the trace has %+v, want why for each of %d recipients", result.Attempts, len(in))
				}
			})
		})
	}
}

// TestReportOfMalformedItems shows that mail rests whose fate cannot be read, and is not dropped.
func TestReportOfMalformedItems(t *testing.T) {
	t.Parallel()
	for _, cursor := range []string{"", "\x02[]", "\x01", "\x01[]", "\x01[{},{}]", "\x01nonsense", "[{}]"} {
		synctest.Test(t, func(t *testing.T) {
			r := newReporting()
			w := r.work(told{"b@x.example", "", fate{Outcome: bounce.Failed}})
			w.Item.Cursor = []byte(cursor)
			result := r.report(t, w)
			if got := describe(t, &result); !strings.HasPrefix(got, "held/undeliverable b@x.example: ") {
				t.Errorf("%q: got %q", cursor, got)
			}
		})
	}
}

// TestNotification shows whom a notification is for and what it is: never one that could be answered by another (S17), and the same
// when it is made twice (Mail Manager, E20).
func TestNotification(t *testing.T) {
	t.Parallel()
	conform.Check(t, "E20")
	synctest.Test(t, func(t *testing.T) {
		r := newReporting()
		gone := fateOf(bounce.Failed, smtp.NewReply(550, 5, 1, 1, "no"), "mx.example.net", reportTime)
		make1 := func() spool.Birth {
			result := r.report(t, r.work(told{"b@x.example", "", gone}))
			if result.Attempts[0].Target != result.Births[0].Message.ID.String() {
				t.Errorf("the trace leads to %q", result.Attempts[0].Target)
			}
			return result.Births[0]
		}
		first, second := make1(), make1()
		if !first.Message.Envelope.ReversePath.IsNull() || first.Message.Envelope.Recipients[0].Path.Received != "jo@example.com" {
			t.Errorf("got the envelope %+v", first.Message.Envelope)
		}
		if !bytes.Equal(first.Content, second.Content) {
			t.Error("the same end of a step is told of in two ways")
		}
		if first.Message.ID == second.Message.ID || first.Items[0].Message != first.Message.ID {
			t.Errorf("got ids %s and %s", first.Message.ID, second.Message.ID)
		}
		if err := (&spool.Settlement{Out: []spool.ItemKey{{Message: r.message.ID}}, Births: []spool.Birth{first}}).Validate(); err != nil {
			t.Error(err)
		}
		// It fails itself, and rests.
		r.message = first.Message
		r.contents[first.Message.ID] = string(first.Content)
		result := r.report(t, r.work(told{"jo@example.com", "", gone}))
		if got, want := describe(t, &result), "held/undeliverable jo@example.com: 550 5.1.1 no"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
}

// TestIdentities shows that different ends of one message have notifications that nobody takes for the same.
func TestIdentities(t *testing.T) {
	t.Parallel()
	conform.Check(t, "E20")
	r := NewReporter(newReporting().config)
	seen := map[string]bool{}
	for _, item := range []spool.Item{{Rule: 1}, {Action: 1}, {Node: 1}, {ItemKey: spool.ItemKey{Seq: 1}}} {
		for _, action := range []message.DeliveryAction{message.ActionFailed, message.ActionDelayed} {
			for _, at := range []time.Time{{}, reportTime, reportTime.Add(time.Minute)} {
				seen[r.identity(&item, &message.DeliveryStatus{Action: action, LastAttempt: at})] = true
			}
		}
	}
	if len(seen) != 4*2*3 {
		t.Errorf("got %d identities, want %d", len(seen), 4*2*3)
	}
}

// TestReports shows what the queue makes items of: of mail that is given up, late, or bounced by an operator.
func TestReports(t *testing.T) {
	t.Parallel()
	reports := Reports{Now: func() time.Time { return reportTime }}
	m := &newReporting().message
	item := spool.Item{ItemKey: spool.ItemKey{Message: m.ID, Seq: 7}, Lane: "relay/a/b/c", Recipients: recipients("b@x", "c@x"), Rule: 3, State: []byte("s")}
	expired := reports.Expired(item, m, "connection refused")
	if got, want := reported(&expired), "report: failed b@x connection refused; failed c@x connection refused"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if expired.Origin != item.Lane || expired.Rule != 3 || string(expired.State) != "s" {
		t.Errorf("got %+v", expired)
	}
	late, ok := reports.Delayed(item, m, "busy", bounce.DelayAfter, reportTime.Add(time.Hour))
	if got, want := reported(&late), "report: delayed b@x busy; delayed c@x busy"; !ok || got != want {
		t.Errorf("got %v %s, want %s", ok, got, want)
	}
	if _, ok := reports.Delayed(item, m, "busy", bounce.DelayAfter-1, reportTime); ok {
		t.Error("a delay is told before it is one")
	}
	if _, ok := reports.Delayed(item, &spool.Message{}, "busy", bounce.DelayAfter, reportTime); ok {
		t.Error("a delay is told to the null path")
	}
	bounced := item
	if err := reports.Bounce(t.Context(), m, &bounced); err != nil || bounced.ItemKey != item.ItemKey || bounced.Due != reportTime {
		t.Errorf("got %+v, %v", bounced, err)
	}
	if got, want := reported(&bounced), "report: failed b@x 554 5.7.1 returned by the administrator; failed c@x 554 5.7.1 returned by the administrator"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if err := reports.Bounce(t.Context(), m, &bounced); !errors.Is(err, errTold) {
		t.Errorf("got %v of an item of lane report", err)
	}
}

// TestTwentyRecipientsOverFourRelays shows that a message whose recipients fail at several relays yields a notification for each
// relay, each with all of its recipients, whatever each was answered.
func TestTwentyRecipientsOverFourRelays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		seen := map[string]int{}
		r := newReporting()
		for relay := range 4 {
			b := newBench()
			b.host.says = replies(map[string]string{"RCPT TO:<no": "550 5.1.1 no", "RCPT TO:<full": "550 5.2.2 full"})
			var to []string
			for _, word := range []string{"yes", "no", "full", "no2", "full2"} {
				to = append(to, fmt.Sprintf("%s@r%d.example", word, relay))
			}
			b.feed.ready = []*queue.Work{b.item("m", to...)}
			b.run(t)
			next := b.feed.done[0].result.Next
			if len(next) != 1 {
				t.Fatalf("relay %d: %d items follow, want 1", relay, len(next))
			}
			next[0].ItemKey = spool.ItemKey{Message: r.message.ID, Seq: uint32(relay)}
			result := r.report(t, queue.NewWork(spool.Claimed{Item: next[0], Message: &r.message}, r.contents))
			if len(result.Births) != 1 {
				t.Fatalf("relay %d: %d notifications, want 1", relay, len(result.Births))
			}
			for _, status := range statuses(t, result.Births[0].Content) {
				seen[status]++
			}
		}
		want := map[string]int{}
		for relay := range 4 {
			for word, status := range map[string]string{"no": "5.1.1", "no2": "5.1.1", "full": "5.2.2", "full2": "5.2.2"} {
				want[fmt.Sprintf("failed %s@r%d.example %s", word, relay, status)] = 1
			}
		}
		if diff := cmp.Diff(want, seen); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
	})
}

// TestRelayedWithNotify shows who tells of a success: we where the next hop does not offer DSN, and else the next hop.
func TestRelayedWithNotify(t *testing.T) {
	t.Parallel()
	conform.Check(t, "E21")
	for more, want := range map[string]string{"": "m | report: relayed b@x 250 taken | SUCCESS", "250-DSN\r\n": "m | SUCCESS"} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench()
			b.host.more = more
			work := b.item("m", "b@x", "c@x")
			work.Item.Recipients[0].Notify = "SUCCESS,FAILURE"
			work.Item.Recipients[1].Notify = "FAILURE"
			b.feed.ready = []*queue.Work{work}
			if got := b.run(t); got[0] != want {
				t.Errorf("EHLO with %q: got %s, want %s", more, got[0], want)
			}
		})
	}
}

// FuzzFates: whatever is in the cursor of an item of lane report, there is a fate for each recipient or an error.
func FuzzFates(f *testing.F) {
	item := reportItem(spool.Item{}, recipients("b@x"), []fate{{Outcome: bounce.Failed, Code: 550, Text: "no"}})
	f.Add(item.Cursor)
	f.Add([]byte("\x01[{},{}]"))
	f.Fuzz(func(t *testing.T, cursor []byte) {
		item := spool.Item{Recipients: recipients("b@x"), Cursor: cursor}
		if fates, err := fatesOf(&item); err == nil && len(fates) != 1 {
			t.Errorf("got %d fates of 1 recipient", len(fates))
		}
	})
}

// TestReporterStops shows that a worker takes nothing more when its context ends.
func TestReporterStops(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := newReporting()
	f := &feed{ready: []*queue.Work{r.work(told{"b@x.example", "", fate{Outcome: bounce.Failed}})}}
	NewReporter(r.config).Work(ctx, f)
	if len(f.done) != 0 {
		t.Errorf("it has done %d", len(f.done))
	}
}
