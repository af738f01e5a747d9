package render

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"
	"time"

	"sluice/internal/admin/client"
)

// maxReplyRunes is how much of a reply stands in a table; sluice queue show has all of it.
const maxReplyRunes = 60

// table begins a table. Its rows are lined up at Flush.
func table(w io.Writer) *tabwriter.Writer { return tabwriter.NewWriter(w, 0, 0, 2, ' ', 0) }

// QueueItems writes a page of a list, the first one with what the columns are.
func QueueItems(w io.Writer, items []client.QueueItem, first bool) error {
	if first && len(items) == 0 {
		_, err := fmt.Fprintln(w, "nothing found")
		return err
	}
	t := table(w)
	if first {
		fmt.Fprintln(t, "ITEM\tLANE\tSTATE\tSIZE\tRECEIVED\tTRIES\tFROM\tTO\tLAST REPLY")
	}
	for i := range items {
		item := &items[i]
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%s\t%d\t%s\t%s\t%s\n", key(item.MessageId, item.Seq), item.Lane, state(item), item.Size,
			moment(item.Received), item.Attempts, path(item.Sender), some(item.Recipients), short(item.LastReply))
	}
	return t.Flush()
}

// key is how an item is named on the command line.
func key(id string, seq uint32) string { return id + "/" + strconv.FormatUint(uint64(seq), 10) }

// state is an item's state, with when that ends where it is known.
func state(item *client.QueueItem) string {
	if item.State == "DEFERRED" {
		return item.State + " until " + moment(item.Due)
	}
	return item.State
}

func moment(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}

// some is the first recipient, and how many more there are.
func some(recipients []string) string {
	switch len(recipients) {
	case 0:
		return "-"
	case 1:
		return plain(recipients[0])
	}
	return fmt.Sprintf("%s and %d more", plain(recipients[0]), len(recipients)-1)
}

func short(reply string) string {
	if runes := []rune(reply); len(runes) > maxReplyRunes {
		reply = string(runes[:maxReplyRunes]) + "…"
	}
	return plain(reply)
}

// QueueMessage writes a message that is in the queue, and what remains to be done for it.
func QueueMessage(w io.Writer, m client.ShowMessageOutput) error {
	p := page{bufio.NewWriter(w)}
	p.line(0, "%s", m.MessageId)
	p.line(1, "received %s by ingress point %s from %s, EHLO %s, session %s", moment(m.Received), m.IngressPointId, m.Client, plain(m.Hello), m.SessionId)
	p.line(1, "from %s for %s, %d octets, rule set %s", path(m.Sender), list(m.Recipients), m.Size, m.RuleSetId)
	for i := range m.Items {
		p.queueItem(&m.Items[i])
	}
	return p.Flush()
}

func (p page) queueItem(item *client.QueueItem) {
	p.line(0, "%s in %s: %s, for %s", key(item.MessageId, item.Seq), item.Lane, state(item), list(item.Recipients))
	if item.Rule > 0 {
		p.line(1, "%s of rule %d %s", item.Action, item.Rule, strconv.QuoteToGraphic(item.RuleName))
	}
	if !item.HeldSince.IsZero() {
		p.line(1, "held since %s, from %s", moment(item.HeldSince), unknown(item.HeldFrom))
	}
	if item.Attempts > 0 {
		p.line(1, "tried %d times", item.Attempts)
	}
	if item.LastReply != "" {
		p.line(1, "%s", plain(item.LastReply))
	}
}

func unknown(lane string) string {
	if lane == "" {
		return "it is not known where"
	}
	return lane
}

// QueueLanes writes lanes and how they are run.
func QueueLanes(w io.Writer, lanes []client.LaneState) error {
	if len(lanes) == 0 {
		_, err := fmt.Fprintln(w, "nothing waits")
		return err
	}
	t := table(w)
	fmt.Fprintln(t, "LANE\tSTATE\tITEMS\tOCTETS\tOLDEST\tRUNNING\tPER SECOND\tLAST ERROR")
	for i := range lanes {
		l := &lanes[i]
		state := l.State
		if !l.Until.IsZero() {
			state += " until " + moment(l.Until)
		}
		wrong := "-"
		if l.Error != "" {
			wrong = moment(l.ErrorAt) + " " + plain(l.Error)
		}
		fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%s\t%d\t%.1f\t%s\n", l.Name, state, l.Items, l.Octets, moment(l.Oldest), l.Running, l.Rate, wrong)
	}
	return t.Flush()
}

// QueueSteered writes what became of items.
func QueueSteered(w io.Writer, items []client.SteeredItem) error {
	t := table(w)
	for i := range items {
		item := &items[i]
		text := item.Outcome
		if item.Reason != "" {
			text += ": " + item.Reason
		}
		where := item.Lane
		if item.To != "" && item.To != item.Lane {
			where += " to " + item.To
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", key(item.MessageId, item.Seq), where, some(item.Recipients), text)
	}
	return t.Flush()
}
