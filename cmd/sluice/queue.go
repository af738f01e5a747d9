package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"sluice/cmd/sluice/internal/render"
	"sluice/internal/admin/client"
)

// queueCommand is the table of what can be done with the queue. The acts are in queue_acts.go.
type queueCommand struct {
	List    queueListCommand    `cmd:"" help:"List what waits, and what is held."`
	Show    queueShowCommand    `cmd:"" help:"Show a message that is in the queue, and what remains to be done for it."`
	Lanes   queueLanesCommand   `cmd:"" help:"List the lanes: how much is in them, how fast they go, and what is wrong."`
	Hold    queueHoldCommand    `cmd:"" help:"Hold what waits, in the lane held/operator, until it is released."`
	Release queueReleaseCommand `cmd:"" help:"Let what is held go on where it came to rest from."`
	Retry   queueRetryCommand   `cmd:"" help:"Try what waits now, and the next hop that it waits for."`
	Bounce  queueBounceCommand  `cmd:"" help:"Give up what waits or is held, and tell its sender."`
	Discard queueDiscardCommand `cmd:"" help:"Give up what waits or is held, without a word to its sender."`
	Reroute queueRerouteCommand `cmd:"" help:"Take what waits or is held through a rule set, or to a relay."`
}

// filterFlags select items. Only the command line sets them: what an act touches is not to come from elsewhere.
type filterFlags struct {
	Lane        string   `env:"-" placeholder:"LANE" help:"In the lane, or in all below it: held, held/unrouted, relay."`
	Sender      string   `env:"-" placeholder:"ADDRESS" help:"From an address, @DOMAIN, or <> for no sender."`
	Recipient   string   `env:"-" placeholder:"ADDRESS" help:"With a recipient that is an address, or @DOMAIN."`
	OlderThan   Duration `env:"-" placeholder:"TIME" help:"Received longer ago, such as 2h."`
	YoungerThan Duration `env:"-" placeholder:"TIME" help:"Received less long ago."`
	MinSize     int64    `env:"-" placeholder:"OCTETS" help:"At least so large."`
	MaxSize     int64    `env:"-" placeholder:"OCTETS" help:"At most so large."`
}

// filter is what the flags select. Ages are counted from now, once, so that all pages select the same.
func (f filterFlags) filter(now time.Time) client.QueueFilter {
	filter := client.QueueFilter{Lane: f.Lane, Sender: f.Sender, Recipient: f.Recipient, MinSize: f.MinSize, MaxSize: f.MaxSize}
	if f.OlderThan > 0 {
		filter.ReceivedBefore = now.Add(-time.Duration(f.OlderThan)).UTC()
	}
	if f.YoungerThan > 0 {
		filter.ReceivedAfter = now.Add(-time.Duration(f.YoungerThan)).UTC()
	}
	return filter
}

type queueListCommand struct {
	endpointFlags
	filterFlags
	Limit int  `env:"-" default:"100" help:"How many items are listed."`
	All   bool `env:"-" help:"List all, however many there are."`
}

// Help is the part of --help below the flags' summary.
func (queueListCommand) Help() string {
	return `An item is one piece of work for some recipients of a message; its name, ID/NUMBER, is what the acts take. HELD rests until it
is released or its time is over, DEFERRED is due later, WAITING waits for its next hop to be reached, DUE for its turn, and ACTIVE
is about to run or runs. With --json each page is a JSON value of its own.`
}

// Run lists items page by page.
func (c *queueListCommand) Run(ctx context.Context, to streams) error {
	admin, err := c.client(ctx)
	if err != nil {
		return err
	}
	in := client.ListQueueInput{Filter: c.filter(time.Now())}
	listed := 0
	for first := true; first || in.NextToken != ""; {
		in.MaxResults = client.MaxQueueResults
		if !c.All {
			in.MaxResults = min(client.MaxQueueResults, max(1, c.Limit-listed))
		}
		page, err := admin.ListQueue(ctx, in)
		if err != nil {
			return explain(err, c.Endpoint)
		}
		listed, in.NextToken = listed+len(page.Items), page.NextToken
		done := page.NextToken == "" || !c.All && listed >= c.Limit
		if len(page.Items) > 0 || done && first { // pages without any item are passed over
			if err := c.print(to.out, page, first); err != nil {
				return err
			}
			first = false
		}
		if done {
			break
		}
	}
	if in.NextToken != "" && !c.JSON {
		fmt.Fprintln(to.out, "there are more: --all lists them")
	}
	return nil
}

func (c *queueListCommand) print(w io.Writer, page client.ListQueueOutput, first bool) error {
	if c.JSON {
		return printJSON(w, page)
	}
	return render.QueueItems(w, page.Items, first)
}

type queueShowCommand struct {
	endpointFlags
	ID string `arg:"" name:"id" help:"Id of the message."`
}

// Run asks for a message and shows it.
func (c *queueShowCommand) Run(ctx context.Context, to streams) error {
	admin, err := c.client(ctx)
	if err != nil {
		return err
	}
	shown, err := admin.ShowMessage(ctx, c.ID)
	if err != nil {
		return hintAt(explain(err, c.Endpoint), err, "it may have left: sluice trace "+c.ID+" has what became of it")
	}
	if c.JSON {
		return printJSON(to.out, shown)
	}
	return render.QueueMessage(to.out, shown)
}

type queueLanesCommand struct {
	endpointFlags
	Lane string `arg:"" optional:"" name:"lane" help:"Only this lane, or all below it: held, relay."`
}

// Run asks for the lanes and prints them.
func (c *queueLanesCommand) Run(ctx context.Context, to streams) error {
	admin, err := c.client(ctx)
	if err != nil {
		return err
	}
	answer, err := admin.ListLanes(ctx, c.Lane)
	if err != nil {
		return explain(err, c.Endpoint)
	}
	if c.JSON {
		return printJSON(to.out, answer)
	}
	return render.QueueLanes(to.out, answer.Lanes)
}
