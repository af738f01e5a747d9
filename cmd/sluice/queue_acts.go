package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"sluice/cmd/sluice/internal/render"
	"sluice/internal/admin/client"
)

// actFlags say what an act is for. More than one message needs to be named, or --yes.
type actFlags struct {
	endpointFlags
	filterFlags
	IDs    []string `arg:"" optional:"" name:"id" help:"Messages, or items as sluice queue list names them. Without any, what the flags select."`
	All    bool     `env:"-" help:"All of the account's mail in this region that the act is for: no other flag needs to select it."`
	Yes    bool     `env:"-" help:"Act, though flags select more than one message."`
	DryRun bool     `env:"-" help:"Do nothing; print what would be done."`
}

type queueHoldCommand struct{ actFlags }

// Run holds items.
func (c *queueHoldCommand) Run(ctx context.Context, to streams) error {
	return c.act(ctx, to, act{operation: client.OpHoldQueue, done: "held"})
}

type queueReleaseCommand struct{ actFlags }

// Help is the part of --help below the flags' summary.
func (queueReleaseCommand) Help() string {
	return `A message goes on under the rules that it was accepted under. Unrouted mail would be held again: reroute it. Mail that
was given up gets one more attempt.`
}

// Run releases items.
func (c *queueReleaseCommand) Run(ctx context.Context, to streams) error {
	return c.act(ctx, to, act{operation: client.OpReleaseQueue, done: "released"})
}

type queueRetryCommand struct{ actFlags }

// Run makes items due.
func (c *queueRetryCommand) Run(ctx context.Context, to streams) error {
	return c.act(ctx, to, act{operation: client.OpRetryQueue, done: "to be tried now"})
}

type queueBounceCommand struct{ actFlags }

// Run bounces items.
func (c *queueBounceCommand) Run(ctx context.Context, to streams) error {
	return c.act(ctx, to, act{operation: client.OpBounceQueue, done: "bounced"})
}

type queueDiscardCommand struct{ actFlags }

// Run discards items.
func (c *queueDiscardCommand) Run(ctx context.Context, to streams) error {
	return c.act(ctx, to, act{operation: client.OpDiscardQueue, done: "discarded"})
}

type queueRerouteCommand struct {
	actFlags
	RuleSet string `env:"-" placeholder:"ID" xor:"target" required:"" help:"Take it through this rule set, as it is now, from the beginning, with the message as it was received."`
	Relay   string `env:"-" placeholder:"ID" xor:"target" required:"" help:"Give it to this relay, with the message as its rules have made it."`
}

// Run reroutes items.
func (c *queueRerouteCommand) Run(ctx context.Context, to streams) error {
	return c.act(ctx, to, act{operation: client.OpRerouteQueue, done: "rerouted", in: client.SteerInput{RuleSetId: c.RuleSet, RelayId: c.Relay}})
}

// act is one of the acts, in the words of its report.
type act struct {
	operation string
	done      string
	in        client.SteerInput
}

// act carries out an act for all that is meant, page by page.
func (f *actFlags) act(ctx context.Context, to streams, a act) error {
	if err := f.mean(&a.in); err != nil {
		return err
	}
	admin, err := f.client(ctx)
	if err != nil {
		return err
	}
	if a.in.Filter != nil && !f.Yes && !f.DryRun {
		if a.in.Items, err = f.confirm(ctx, admin, a); err != nil {
			return err
		}
		if len(a.in.Items) == 0 {
			return f.conclude(to.out, a, &client.SteerOutput{})
		}
		a.in.Filter = nil // what comes in meanwhile was not confirmed
	}
	a.in.DryRun = f.DryRun
	var sum client.SteerOutput
	for more := true; more; more = a.in.NextToken != "" {
		page, err := admin.Steer(ctx, a.operation, a.in)
		if err != nil {
			return explain(err, f.Endpoint)
		}
		if err := f.report(to.out, &page); err != nil {
			return err
		}
		add(&sum, &page)
		a.in.NextToken = page.NextToken
	}
	return f.conclude(to.out, a, &sum)
}

// mean puts the items that are meant into the input.
func (f *actFlags) mean(in *client.SteerInput) error {
	filtered := f.filterFlags != filterFlags{}
	switch {
	case len(f.IDs) > 0 && (filtered || f.All):
		return usage(errors.New("both ids and flags say what is meant"), "name messages, or select them by flags")
	case len(f.IDs) == 0 && !filtered && !f.All:
		return usage(errors.New("nothing says what is meant"), "name messages, select them by flags such as --lane, or say --all")
	case len(f.IDs) == 0:
		filter := f.filter(time.Now())
		in.Filter = &filter
		return nil
	}
	for _, id := range f.IDs {
		ref := client.ItemRef{MessageId: id}
		if message, number, numbered := strings.Cut(id, "/"); numbered {
			seq, err := strconv.ParseUint(number, 10, 32)
			if err != nil {
				return usage(fmt.Errorf("%q is neither a message nor an item", id), "sluice queue list has the names of items")
			}
			seq32 := uint32(seq)
			ref = client.ItemRef{MessageId: message, Seq: &seq32}
		}
		in.Items = append(in.Items, ref)
	}
	return nil
}

// confirm refuses to act without --yes on more than one message. It returns the items of the one that is selected, if any.
func (f *actFlags) confirm(ctx context.Context, admin *client.Client, a act) (items []client.ItemRef, err error) {
	a.in.DryRun = true
	for more := true; more; more = a.in.NextToken != "" {
		page, err := admin.Steer(ctx, a.operation, a.in)
		if err != nil {
			return nil, explain(err, f.Endpoint)
		}
		for i := range page.Items {
			item := &page.Items[i]
			items = append(items, client.ItemRef{MessageId: item.MessageId, Seq: &item.Seq})
			if item.MessageId != items[0].MessageId || len(items) > client.MaxQueueResults {
				return nil, usage(errors.New("the flags select more than one message, and nothing was done"), "see them with --dry-run, then say --yes")
			}
		}
		a.in.NextToken = page.NextToken
	}
	return items, nil
}

func (f *actFlags) report(w io.Writer, page *client.SteerOutput) error {
	if f.JSON {
		return printJSON(w, page)
	}
	return render.QueueSteered(w, page.Items)
}

func add(sum, page *client.SteerOutput) {
	sum.Done += page.Done
	sum.Busy += page.Busy
	sum.Skipped += page.Skipped
	sum.Failed += page.Failed
}

// conclude sums up. What was not done though it was meant is an error.
func (f *actFlags) conclude(w io.Writer, a act, sum *client.SteerOutput) error {
	if !f.JSON {
		would := ""
		if f.DryRun {
			would = "would be "
		}
		fmt.Fprintf(w, "%s%s: %d; busy: %d; skipped: %d; failed: %d\n", would, a.done, sum.Done, sum.Busy, sum.Skipped, sum.Failed)
	}
	switch {
	case sum.Busy > 0:
		return hint(fmt.Errorf("%d items were busy and are as they were", sum.Busy+sum.Failed), "run it again")
	case sum.Failed > 0:
		return hint(fmt.Errorf("%d items failed", sum.Failed), "the server's log says why")
	case len(f.IDs) > 0 && sum.Done == 0:
		return errors.New("nothing was done")
	}
	return nil
}
