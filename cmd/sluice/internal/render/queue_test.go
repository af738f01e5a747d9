package render

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/admin/client"
)

func TestQueueTables(t *testing.T) {
	t.Parallel()
	deferred := client.QueueItem{
		MessageId: "m1", Seq: 2, Lane: "relay/1/r/a", State: "DEFERRED", Due: noon, Size: 1000, Received: noon, Attempts: 3, Sender: "a@example.org",
		Recipients: []string{"b@example.com", "c@example.com"}, LastReply: "450 " + strings.Repeat("x", 100), Rule: 1, RuleName: "first", Action: "RELAY",
	}
	held := client.QueueItem{MessageId: "m2", Lane: "held/failed", State: "HELD", HeldSince: noon, Recipients: []string{"\x1b[2Jb@example.com"}}
	items := []client.QueueItem{deferred, held}
	tests := []struct {
		name  string
		write func(io.Writer) error
		want  string
	}{
		{"items", func(w io.Writer) error { return QueueItems(w, items, true) }, `ITEM  LANE         STATE                          SIZE  RECEIVED              TRIES  FROM             TO                        LAST REPLY
m1/2  relay/1/r/a  DEFERRED until 2026-11-22T12:00:00Z  1000  2026-11-22T12:00:00Z  3  <a@example.org>  b@example.com and 1 more  450 xxx…
m2/0  held/failed  HELD  0  -  0  <>  "\x1b[2Jb@example.com"  
`},
		{"no items", func(w io.Writer) error { return QueueItems(w, nil, true) }, "nothing found\n"},
		{"message", func(w io.Writer) error {
			return QueueMessage(w, client.ShowMessageOutput{MessageId: "m1", Sender: "a@example.org", Recipients: []string{"b@example.com"}, Received: noon, Hello: "x\ny", Items: items})
		}, `m1
    received 2026-11-22T12:00:00Z by ingress point  from , EHLO "x\ny", session 
    from <a@example.org> for b@example.com, 0 octets, rule set 
m1/2 in relay/1/r/a: DEFERRED until 2026-11-22T12:00:00Z, for b@example.com, c@example.com
    RELAY of rule 1 "first"
    tried 3 times
    450 ` + strings.Repeat("x", 100) + `
m2/0 in held/failed: HELD, for "\x1b[2Jb@example.com"
    held since 2026-11-22T12:00:00Z, from it is not known where
`},
		{"lanes", func(w io.Writer) error {
			return QueueLanes(w, []client.LaneState{{Name: "process", State: "OPEN", Rate: 1.25, Oldest: noon}, {Name: "relay/a", State: "WAITING", Until: noon, Error: "refused\n", ErrorAt: noon.Add(time.Second)}})
		}, `LANE STATE ITEMS OCTETS OLDEST RUNNING PER SECOND LAST ERROR
process OPEN 0 0 2026-11-22T12:00:00Z 0 1.2 -
relay/a WAITING until 2026-11-22T12:00:00Z 0 0 - 0 0.0 2026-11-22T12:00:01Z "refused\n"
`},
		{"no lanes", func(w io.Writer) error { return QueueLanes(w, nil) }, "nothing waits\n"},
		{"steered", func(w io.Writer) error {
			return QueueSteered(w, []client.SteeredItem{
				{MessageId: "m1", Seq: 1, Lane: "held/a", To: "process", Outcome: "DONE", Recipients: []string{"b@example.com"}},
				{MessageId: "m1", Seq: 2, Lane: "process", Outcome: "BUSY", Reason: "its step runs"},
			})
		}, "m1/1 held/a to process b@example.com DONE\nm1/2 process - BUSY: its step runs\n"},
	}
	for _, test := range tests {
		var got bytes.Buffer
		if err := test.write(&got); err != nil {
			t.Fatal(err)
		}
		want := strings.ReplaceAll(test.want, "450 xxx…", "450 "+strings.Repeat("x", 56)+"…")
		if diff := cmp.Diff(unaligned(want), unaligned(got.String())); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
		if bytes.ContainsRune(got.Bytes(), '\x1b') {
			t.Errorf("%s: what a stranger wrote reaches the terminal", test.name)
		}
	}
}

// unaligned has one space where columns have several.
func unaligned(text string) []string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = strings.Join(strings.Fields(lines[i]), " ")
	}
	return lines
}
