package action

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"sluice/internal/conform"
	"sluice/internal/control"
	"sluice/internal/message"
	"sluice/internal/queue"
	"sluice/internal/smtpclient"
	"sluice/internal/spool"
)

// replies are the host's replies to lines that begin with a key, on every connection.
func replies(to map[string]string) func(int, string) string {
	return func(_ int, line string) string {
		for prefix, reply := range to {
			if line == prefix || prefix != "" && strings.HasPrefix(line, prefix) {
				return reply
			}
		}
		return ""
	}
}

// TestRelayOutcomes shows what becomes of one item with two recipients, reply by reply.
func TestRelayOutcomes(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		says map[string]string
		want string
	}{
		{"taken", nil, "m | SUCCESS"},
		{"taken with 251", map[string]string{"RCPT TO:<b": "251 will forward"}, "m | SUCCESS"},
		{"one refused", map[string]string{"RCPT TO:<b": "550 5.1.1 no such user"}, "m | report: failed b@x 550 5.1.1 no such user | FAILURE"},
		{"one later", map[string]string{"RCPT TO:<b": "450 4.2.1 busy"}, "m | deferred b@x 450 4.2.1 busy | IN_PROGRESS"},
		{"one refused, one later", map[string]string{"RCPT TO:<b": "550 5.1.1 no", "RCPT TO:<c": "450 4.2.1 busy"},
			"m | deferred c@x 450 4.2.1 busy | report: failed b@x 550 5.1.1 no | IN_PROGRESS"},
		{"both refused alike", map[string]string{"RCPT": "550 5.7.1 no"}, "m | report: failed b@x 550 5.7.1 no; failed c@x 550 5.7.1 no | FAILURE"},
		{"both refused differently", map[string]string{"RCPT TO:<b": "550 5.1.1 no", "RCPT TO:<c": "550 5.2.1 off"},
			"m | report: failed b@x 550 5.1.1 no; failed c@x 550 5.2.1 off | FAILURE"},
		{"sender refused", map[string]string{"MAIL": "550 5.7.1 not you"}, "m | report: failed b@x 550 5.7.1 not you; failed c@x 550 5.7.1 not you | FAILURE"},
		{"sender later", map[string]string{"MAIL": "452 4.3.1 full"}, "m | deferred b@x 452 4.3.1 full | deferred c@x 452 4.3.1 full | IN_PROGRESS"},
		{"DATA refused", map[string]string{"DATA": "554 5.5.1 no"}, "m | report: failed b@x 554 5.5.1 no; failed c@x 554 5.5.1 no | FAILURE"},
		{"content refused", map[string]string{".": "554 5.6.0 spam"}, "m | report: failed b@x 554 5.6.0 spam; failed c@x 554 5.6.0 spam | FAILURE"},
		{"content later", map[string]string{".": "451 4.3.0 later"}, "m | deferred b@x 451 4.3.0 later | deferred c@x 451 4.3.0 later | IN_PROGRESS"},

		{"greeting 421", map[string]string{"": "421 4.3.2 busy"}, "m | unreachable: 192.0.2.1:25: greeting: 421 4.3.2 busy | IN_PROGRESS"},
		{"greeting 554", map[string]string{"": "554 5.3.2 no"}, "m | unreachable: 192.0.2.1:25: greeting: 554 5.3.2 no | IN_PROGRESS"},
		{"greeting lost", map[string]string{"": drop}, "m | unreachable: 192.0.2.1:25: wait for greeting: EOF | IN_PROGRESS"},
		{"no greeting", map[string]string{"": hang}, "m | unreachable: 192.0.2.1:25: wait for greeting: read pipe: i/o timeout | IN_PROGRESS"},
		{"lost at MAIL", map[string]string{"MAIL": drop}, "m | unreachable: 192.0.2.1:25: EOF | IN_PROGRESS"},
		{"421 at MAIL", map[string]string{"MAIL": "421 4.3.2 going down"}, "m | unreachable: 192.0.2.1:25: 421 4.3.2 going down | IN_PROGRESS"},
		{"silent at MAIL", map[string]string{"MAIL": hang}, "m | unreachable: 192.0.2.1:25: read pipe: i/o timeout | IN_PROGRESS"},

		{"lost at DATA, always", map[string]string{"DATA": drop},
			"m | deferred b@x connection lost: EOF | deferred c@x connection lost: EOF | IN_PROGRESS+IN_PROGRESS+IN_PROGRESS"},
		{"lost at the dot, always", map[string]string{".": drop},
			"m | deferred b@x connection lost before the reply to the end of data: EOF | " +
				"deferred c@x connection lost before the reply to the end of data: EOF | IN_PROGRESS+IN_PROGRESS+IN_PROGRESS"},
		{"silent at the dot", map[string]string{".": hang},
			"m | deferred b@x connection lost before the reply to the end of data: read pipe: i/o timeout | " +
				"deferred c@x connection lost before the reply to the end of data: read pipe: i/o timeout | IN_PROGRESS"},
		{"nonsense at DATA", map[string]string{"DATA": "250 why not"},
			"m | deferred b@x connection lost: protocol error: 250 why not to DATA | " +
				"deferred c@x connection lost: protocol error: 250 why not to DATA | IN_PROGRESS+IN_PROGRESS+IN_PROGRESS"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBench()
				b.host.says = replies(test.says)
				b.feed.ready = []*queue.Work{b.item("m", "b@x", "c@x")}
				if diff := cmp.Diff([]string{test.want}, b.run(t)); diff != "" {
					t.Errorf("outcome (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// TestOneConnection shows that items share a connection, with the envelope of each behind the content of the one before, and that it
// is kept for a while for those that come later, and then ended with QUIT.
func TestOneConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		b.feed.ready = []*queue.Work{b.item("one", "b@x"), b.item("two", "b@x"), b.item("three", "b@x")}
		late := b.item("late", "b@x")
		go func() {
			time.Sleep(DefaultIdle - time.Second)
			b.feed.mu.Lock()
			b.feed.ready = append(b.feed.ready, late)
			b.feed.mu.Unlock()
			b.feed.arrived <- struct{}{}
		}()
		start := time.Now()
		want := []string{"one | SUCCESS", "two | SUCCESS", "three | SUCCESS", "late | SUCCESS"}
		if diff := cmp.Diff(want, b.run(t)); diff != "" {
			t.Errorf("outcomes (-want +got):\n%s", diff)
		}
		if took := time.Since(start); took != 2*DefaultIdle-time.Second {
			t.Errorf("the worker ended after %v", took)
		}
		synctest.Wait()
		if len(b.host.dials) != 1 || b.host.lines[len(b.host.lines)-1] != "QUIT" {
			t.Errorf("got %d connections, the last line %q", len(b.host.dials), b.host.lines[len(b.host.lines)-1])
		}
		attempt := b.feed.done[0].result.Attempts[0]
		if attempt.Target != "192.0.2.1:25" || len(attempt.Recipients) != 1 || attempt.Recipients[0].Recipient != "b@x" || attempt.Recipients[0].Reply != "250 taken" {
			t.Errorf("the trace has %+v", attempt)
		}
	})
}

// TestBrokenConnections shows that a connection that breaks costs only the message whose reply it took, and that one is tried again
// at once.
func TestBrokenConnections(t *testing.T) {
	t.Parallel()
	once := func(connection int, line, reply string) func(int, string) string {
		return func(c int, l string) string {
			if c == connection && strings.HasPrefix(l, line) {
				return reply
			}
			return ""
		}
	}
	tests := []struct {
		name  string
		says  func(int, string) string
		want  []string
		taken []string
		dials int
	}{
		{"at the first dot", once(1, ".", drop), []string{"one | IN_PROGRESS+SUCCESS", "two | SUCCESS", "three | SUCCESS"}, []string{"one", "two", "three"}, 2},
		{"at RCPT", once(1, "RCPT", drop), []string{"one | IN_PROGRESS+SUCCESS", "two | SUCCESS", "three | SUCCESS"}, []string{"one", "two", "three"}, 2},
		{"closing at the dot", once(1, ".", "421 4.3.2 restart"),
			[]string{"one | deferred b@x 421 4.3.2 restart | IN_PROGRESS", "two | SUCCESS", "three | SUCCESS"}, []string{"two", "three"}, 2},
		{"never", nil, []string{"one | SUCCESS", "two | SUCCESS", "three | SUCCESS"}, []string{"one", "two", "three"}, 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBench()
				b.host.says = test.says
				b.feed.ready = []*queue.Work{b.item("one", "b@x"), b.item("two", "b@x"), b.item("three", "b@x")}
				if diff := cmp.Diff(test.want, b.run(t)); diff != "" {
					t.Errorf("outcomes (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(test.taken, b.host.taken); diff != "" {
					t.Errorf("taken (-want +got):\n%s", diff)
				}
				if got := len(b.host.dials); got != test.dials {
					t.Errorf("got %d connections, want %d", got, test.dials)
				}
			})
		})
	}
}

// TestOneMessageAConnection shows that a host that takes one message a connection costs no attempt, whichever way it ends.
func TestOneMessageAConnection(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]string{"closing": "421 4.7.0 one is enough", "dropping": drop} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBench()
				mails := map[int]int{}
				b.host.says = func(c int, line string) string {
					if strings.HasPrefix(line, "MAIL") {
						if mails[c]++; mails[c] > 1 {
							return end
						}
					}
					return ""
				}
				b.feed.ready = []*queue.Work{b.item("one", "b@x"), b.item("two", "b@x"), b.item("three", "b@x")}
				want := []string{"one | SUCCESS", "two | SUCCESS", "three | SUCCESS"}
				if diff := cmp.Diff(want, b.run(t)); diff != "" {
					t.Errorf("outcomes (-want +got):\n%s", diff)
				}
				if got := len(b.host.dials); got != 3 {
					t.Errorf("got %d connections, want 3", got)
				}
			})
		})
	}
}

// TestBreaksOnEverything shows that a host that breaks on every message is unreachable from the second on, while a message
// that breaks every connection stands aside for the others.
func TestBreaksOnEverything(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		b.host.says = replies(map[string]string{"DATA": drop})
		b.feed.ready = []*queue.Work{b.item("one", "b@x"), b.item("two", "b@x")}
		want := []string{
			"one | deferred b@x connection lost: EOF | IN_PROGRESS+IN_PROGRESS+IN_PROGRESS",
			"two | unreachable: 192.0.2.1:25: EOF | IN_PROGRESS",
		}
		if diff := cmp.Diff(want, b.run(t)); diff != "" {
			t.Errorf("outcomes (-want +got):\n%s", diff)
		}
		b = newBench()
		b.host.says = replies(map[string]string{"RCPT TO:<poison": drop})
		b.feed.ready = []*queue.Work{b.item("poison", "poison@x"), b.item("two", "b@x"), b.item("three", "b@x")}
		want = []string{
			"poison | deferred poison@x connection lost: EOF | IN_PROGRESS+IN_PROGRESS+IN_PROGRESS",
			"two | SUCCESS",
			"three | SUCCESS",
		}
		if diff := cmp.Diff(want, b.run(t)); diff != "" {
			t.Errorf("outcomes (-want +got):\n%s", diff)
		}
	})
}

// TestRelayChanges shows that the relay is looked up for every item, and that mail whose relay cannot be used as it is waits for it to be
// corrected (Mail Manager, D19), and says nothing of a password (S27, S40).
func TestRelayChanges(t *testing.T) {
	t.Parallel()
	conform.Check(t, "D19")
	const secretARN = "arn:aws:secretsmanager:eu-west-1:000000000000:secret:s"
	moved := func(r *control.Relay) { r.Port = 2525 }
	secret := func(r *control.Relay) { r.SecretARN = secretARN }
	tests := []struct {
		name   string
		to     *control.Relay // from the second item on
		secret string
		want   string
		dials  []string
	}{
		{"moved", testRelay(moved), "", "two | SUCCESS", []string{"192.0.2.1:25", "192.0.2.1:2525"}},
		{"deleted", nil, "", "two | held/relay-deleted b@x relay r-1 was deleted | FAILURE", []string{"192.0.2.1:25"}},
		{"wants authentication of a host in clear", testRelay(secret), `{"username":"u","password":"hunter2"}`,
			"two | unreachable: 192.0.2.1:25: TLS is required, and there is none: host does not offer STARTTLS | IN_PROGRESS",
			[]string{"192.0.2.1:25", "192.0.2.1:25"}},
		{"wants authentication by a bad secret", testRelay(secret), `{"username":"u","pass":"hunter2"}`,
			"two | unreachable: 192.0.2.1:25: secret " + secretARN + " of relay r-1 is not a JSON object of exactly username and password | IN_PROGRESS",
			[]string{"192.0.2.1:25"}},
		{"wants authentication by a secret that is gone", testRelay(secret), "",
			"two | unreachable: 192.0.2.1:25: secret " + secretARN + " of relay r-1: it cannot be read now: disk gone | IN_PROGRESS",
			[]string{"192.0.2.1:25"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBench()
				b.config.Secret = func(context.Context, control.Scope, string) (string, error) {
					if test.secret == "" {
						return "", errors.New("disk gone")
					}
					return test.secret, nil
				}
				b.relays.then = func(seen int, r *relays) {
					if seen > 2 { // the worker's first look is for the rate
						r.relay = test.to
					}
				}
				b.feed.ready = []*queue.Work{b.item("one", "b@x")}
				b.feed.after["one"] = []*queue.Work{b.item("two", "b@x")}
				if diff := cmp.Diff([]string{"one | SUCCESS", test.want}, b.run(t)); diff != "" {
					t.Errorf("outcomes (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(test.dials, b.host.dials); diff != "" {
					t.Errorf("connections (-want +got):\n%s", diff)
				}
				for _, line := range b.host.lines {
					if strings.HasPrefix(line, "AUTH") {
						t.Errorf("credentials were sent: %q", line)
					}
				}
				if said := fmt.Sprint(b.feed.done); strings.Contains(said, "hunter2") {
					t.Errorf("the password is in what is told: %s", said)
				}
			})
		})
	}
}

// TestAddresses shows which addresses of a host are tried, and in which order.
func TestAddresses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name      string
		server    string
		addresses []string
		strict    bool
		dials     []string
		want      string
	}{
		{"literal", "192.0.2.1", nil, false, []string{"192.0.2.1:25"}, "m | SUCCESS"},
		{"first that works", "mx.example.net", []string{"192.0.2.9", "2001:db8::9", "192.0.2.1", "192.0.2.2"}, false,
			[]string{"192.0.2.9:25", "[2001:db8::9]:25", "192.0.2.1:25"}, "m | SUCCESS"},
		{"loopback", "127.0.0.1", nil, false, []string{"127.0.0.1:25"}, "m | SUCCESS"},
		{"no such host", "mx.example.net", nil, false, nil, "m | unreachable: mx.example.net:25: lookup mx.example.net: no such host | IN_PROGRESS"},
		{"strict literal", "127.0.0.1", nil, true, nil, "m | unreachable: 127.0.0.1:25: 127.0.0.1 has no address that may be used | IN_PROGRESS"},
		{"strict name", "mx.example.net", []string{"10.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1", "fd00::1", "100.64.0.1", "::ffff:100.64.0.1", "0.0.0.0"}, true, nil,
			"m | unreachable: mx.example.net:25: mx.example.net has no address that may be used | IN_PROGRESS"},
		{"strict name with a public address", "mx.example.net", []string{"10.0.0.1", "198.51.100.1"}, true, []string{"198.51.100.1:25"}, "m | SUCCESS"},
		{"none works", "mx.example.net", []string{"192.0.2.9", "2001:db8::9"}, false, []string{"192.0.2.9:25", "[2001:db8::9]:25"},
			"m | unreachable: mx.example.net:25: 192.0.2.9:25: connection refused; [2001:db8::9]:25: connection refused | IN_PROGRESS"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBench()
				refused := errors.New("connection refused")
				b.host.refuses = map[string]error{"192.0.2.9:25": refused, "[2001:db8::9]:25": refused}
				b.relays.relay.Server = test.server
				b.config.Strict = func(account string) bool { return test.strict && account == "000000000000" }
				if test.addresses != nil {
					b.config.Resolve = func(context.Context, string) (found []netip.Addr, err error) {
						for _, address := range test.addresses {
							found = append(found, netip.MustParseAddr(address))
						}
						return found, nil
					}
				}
				b.feed.ready = []*queue.Work{b.item("m", "b@x")}
				if diff := cmp.Diff([]string{test.want}, b.run(t)); diff != "" {
					t.Errorf("outcome (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(test.dials, b.host.dials); diff != "" {
					t.Errorf("connections (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// TestUnreadableContent shows that content which cannot be read is never sent as if it were whole, and that its message stands
// aside.
func TestUnreadableContent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		missing, half, good := b.item("missing", "b@x"), b.item("half", "b@x"), b.item("good", "b@x")
		delete(b.store, missing.Message.ID)
		b.store[half.Message.ID] += "!"
		b.feed.ready = []*queue.Work{half, half, half, half, missing, good}
		half4 := "half | deferred b@x connection lost: content cannot be read: disk gone | IN_PROGRESS"
		want := []string{
			half4, half4, half4, half4, // which says nothing of the host
			"missing | deferred b@x connection lost: content cannot be read: open content of message " + missing.Message.ID.String() +
				": content: stored record does not match its checksum or format | IN_PROGRESS",
			"good | SUCCESS",
		}
		if diff := cmp.Diff(want, b.run(t)); diff != "" {
			t.Errorf("outcomes (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]string{"good"}, b.host.taken); diff != "" {
			t.Errorf("taken (-want +got):\n%s", diff)
		}
	})
}

// TestContextEnds shows that a worker takes nothing more when its context ends, and finishes what it has.
func TestContextEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		ctx, cancel := context.WithCancel(t.Context())
		b.host.says = func(_ int, line string) string {
			if line == "DATA" {
				cancel()
			}
			return ""
		}
		b.feed.ready = []*queue.Work{b.item("one", "b@x"), b.item("two", "b@x")}
		NewRelayExecutor(b.config).Work(ctx, &b.feed)
		if len(b.feed.done) != 1 || b.feed.done[0].String() != "one | SUCCESS" {
			t.Errorf("got %v, want one, finished", b.feed.done)
		}
	})
}

// TestEnvelope shows what of the envelope goes over the wire: the sender as it came (Mail Manager, E2), its parameters, and the
// message with what was added to it.
func TestEnvelope(t *testing.T) {
	t.Parallel()
	conform.Check(t, "E2", "E21")
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		field, err := message.NewField("X-Added", "yes")
		if err != nil {
			t.Fatal(err)
		}
		work := b.item("m", "b@x")
		work.Message.Envelope.UTF8 = true
		work.Item.State, _ = (*message.Node)(nil).Add(field).AppendBinary(nil)
		work.Message.Trace = "Received: by us\r\n"
		b.feed.ready = []*queue.Work{work}
		b.run(t)
		if got, want := strings.Join(b.host.lines[1:4], "\n"), "MAIL FROM:<a@example.org> SMTPUTF8\nRCPT TO:<b@x>\nDATA"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if b.host.taken[0] != "Received: by us" {
			t.Errorf("content begins with %q", b.host.taken[0])
		}
	})
}

func TestLane(t *testing.T) {
	t.Parallel()
	lane := spool.RelayLane("000000000000", "eu-west-1", "r-1")
	if scope, id := relayOf(lane); scope != (control.Scope{Account: "000000000000", Region: "eu-west-1"}) || id != "r-1" {
		t.Errorf("got %v, %q", scope, id)
	}
	if scope, id := relayOf("relay/short"); scope != (control.Scope{}) || id != "" {
		t.Errorf("got %v, %q of a lane that is none", scope, id)
	}
	for _, test := range []struct {
		name   string
		config RelayConfig
		relay  *control.Relay
		want   int
	}{
		{"default", RelayConfig{}, testRelay(nil), DefaultConnections},
		{"setting", RelayConfig{Connections: 3}, testRelay(nil), 3},
		{"no relay", RelayConfig{Connections: 3}, nil, 3},
		{"tag", RelayConfig{Connections: 3}, testRelay(func(r *control.Relay) { r.Connections = 50 }), 50},
		{"rate", RelayConfig{}, testRelay(func(r *control.Relay) { r.Rate = 2 }), 2},
		{"high rate", RelayConfig{}, testRelay(func(r *control.Relay) { r.Rate = 1000 }), DefaultConnections},
	} {
		test.config.Relays = &relays{relay: test.relay}
		if got := NewRelayExecutor(test.config).Lane(lane); got != (queue.Settings{Concurrency: test.want, Probe: true}) {
			t.Errorf("%s: got %+v, want %d connections", test.name, got, test.want)
		}
	}
}

// TestRelayMetrics shows that recipients and connections are counted by what became of them.
func TestRelayMetrics(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		registry := prometheus.NewRegistry()
		b.config.Metrics = registry
		b.config.Timeouts = smtpclient.Timeouts{}
		b.host.says = replies(map[string]string{"RCPT TO:<no": "550 no", "RCPT TO:<later": "450 later"})
		b.feed.ready = []*queue.Work{b.item("m", "b@x", "no@x", "later@x"), b.item("n", "b@x")}
		b.run(t)
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]float64{}
		for _, family := range families {
			for _, metric := range family.GetMetric() {
				name := family.GetName()
				for _, label := range metric.GetLabel() {
					name += " " + label.GetValue()
				}
				got[name] = metric.GetCounter().GetValue() + metric.GetGauge().GetValue()
			}
		}
		want := map[string]float64{
			"mailmanager_relay_connections":                 0,
			"mailmanager_relay_connections_total broken":    0,
			"mailmanager_relay_connections_total connected": 1,
			"mailmanager_relay_connections_total refused":   0,
			"mailmanager_relay_recipients_total deferred":   1,
			"mailmanager_relay_recipients_total delivered":  2,
			"mailmanager_relay_recipients_total failed":     1,
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("metrics (-want +got):\n%s", diff)
		}
	})
}
