package action

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"sluice/internal/bounce"
	"sluice/internal/message"
	"sluice/internal/smtp"
	"sluice/internal/spool"
)

// fate is what became of a recipient, as an item of lane report keeps it.
type fate struct {
	Outcome  bounce.Outcome
	Code     int               `json:",omitempty"` // of the last reply; 0: none
	Enhanced smtp.EnhancedCode `json:",omitzero"`
	Text     string            `json:",omitempty"` // of the reply, or why without one
	Remote   string            `json:",omitempty"` // who gave the reply
	At       time.Time         `json:",omitzero"`  // of the last attempt
	Until    time.Time         `json:",omitzero"`  // delayed: when it is given up
	Waited   time.Duration     `json:",omitempty"` // delayed: since acceptance
}

// fatesFormat is what the Cursor of an item of lane report begins with.
const fatesFormat byte = 1

var errFates = errors.New("item of lane report does not say what became of its recipients")

// reply is the last reply, nil when there was none.
func (f *fate) reply() *smtp.Reply {
	if f.Code == 0 {
		return nil
	}
	return &smtp.Reply{Code: f.Code, Enhanced: f.Enhanced, Text: f.Text}
}

// said is the last reply, or why there is none, for operators.
func (f *fate) said() string {
	if reply := f.reply(); reply != nil {
		return reply.String()
	}
	return f.Text
}

// fateOf is what a reply makes of a recipient.
func fateOf(outcome bounce.Outcome, reply *smtp.Reply, remote string, at time.Time) fate {
	return fate{Outcome: outcome, Code: reply.Code, Enhanced: reply.Enhanced, Text: reply.Text, Remote: remote, At: at}
}

// reportItem makes the item by which the sender may learn of fates, one a recipient in their order. It stands where from stood.
func reportItem(from spool.Item, recipients []message.Recipient, fates []fate) spool.Item {
	encoded, err := json.Marshal(fates)
	if err != nil { // strings, numbers and times: nothing that JSON does not take
		panic("action: fates cannot be encoded: " + err.Error())
	}
	return spool.Item{
		Lane: spool.LaneReport, Recipients: recipients, State: from.State, Cursor: append([]byte{fatesFormat}, encoded...),
		Rule: from.Rule, Action: from.Action, Node: from.Node, RuleName: from.RuleName, ActionName: from.ActionName,
		LastReply: fates[0].said(), Origin: from.Lane,
	}
}

// fatesOf reads what reportItem wrote. An item that rested has lost it, and failed.
func fatesOf(item *spool.Item) ([]fate, error) {
	if item.Cursor == nil {
		return same(len(item.Recipients), fate{Outcome: bounce.Failed, Text: item.LastReply}), nil
	}
	if len(item.Cursor) == 0 || item.Cursor[0] != fatesFormat {
		return nil, errFates
	}
	var fates []fate
	if err := json.Unmarshal(item.Cursor[1:], &fates); err != nil {
		return nil, fmt.Errorf("%w: %w", errFates, err)
	}
	if len(fates) != len(item.Recipients) {
		return nil, errFates
	}
	return fates, nil
}

// Reports makes items of lane report. It implements queue.Reports.
type Reports struct {
	Now func() time.Time
}

// Expired implements queue.Reports.
func (r Reports) Expired(item spool.Item, _ *spool.Message, why string) spool.Item {
	return reportItem(item, item.Recipients, same(len(item.Recipients), fate{Outcome: bounce.Failed, Text: why, At: r.Now()}))
}

// Delayed implements queue.Reports.
func (r Reports) Delayed(item spool.Item, m *spool.Message, why string, waited time.Duration, until time.Time) (spool.Item, bool) {
	if waited < bounce.DelayAfter || m.Envelope.ReversePath.IsNull() {
		return spool.Item{}, false
	}
	f := fate{Outcome: bounce.Delayed, Text: why, At: r.Now(), Until: until, Waited: waited}
	return reportItem(item, item.Recipients, same(len(item.Recipients), f)), true
}

// returnedByOperator is what senders are told of mail that an operator gave up.
var returnedByOperator = smtp.NewReply(554, 5, 7, 1, "returned by the administrator")

// errTold says that there is nothing to give up: the sender is about to be told what became of the message.
var errTold = errors.New("its sender is told already")

// Bounce makes of an item that an operator gives up the one that tells its sender. It is the Bounce of a queue.Config.
func (r Reports) Bounce(_ context.Context, _ *spool.Message, item *spool.Item) error {
	if item.Lane == spool.LaneReport {
		return errTold
	}
	told := same(len(item.Recipients), fateOf(bounce.Failed, returnedByOperator, "", r.Now()))
	report := reportItem(*item, item.Recipients, told)
	report.ItemKey, report.Due = item.ItemKey, r.Now()
	*item = report
	return nil
}

// same is one fate for so many recipients.
func same(n int, f fate) []fate {
	fates := make([]fate, n)
	for i := range fates {
		fates[i] = f
	}
	return fates
}
