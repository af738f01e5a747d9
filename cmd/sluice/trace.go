package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"sluice/cmd/sluice/internal/render"
	"sluice/internal/admin/client"
	"sluice/internal/trace"
)

const traceHint = "run sluice trace --help"

type traceCommand struct {
	endpointFlags
	ID        string `arg:"" name:"id" optional:"" help:"Id of the message, as its 250 reply ends with it, or of the session. Without it, what fits the flags is listed, the newest first."`
	Sender    string `placeholder:"ADDRESS" help:"List what came with this reverse-path; <> is the empty one."`
	Recipient string `placeholder:"ADDRESS" help:"List what was for this recipient."`
	IP        string `name:"ip" placeholder:"ADDRESS" help:"List what came from this client."`
	Since     string `placeholder:"TIME" help:"List nothing older: 2026-01-31, 2026-01-31T12:00:00Z, or how long ago, as 36h or 20m."`
	Until     string `placeholder:"TIME" help:"List what is older."`
	Refused   bool   `help:"List only what was refused."`
	Limit     int    `default:"50" placeholder:"N" help:"How many to list at most."`
}

// Run asks for a record, or for a list of them, and shows it.
func (c *traceCommand) Run(ctx context.Context, to streams) error {
	query, err := c.query(time.Now())
	if err != nil {
		return usage(err, traceHint)
	}
	admin, err := c.client(ctx)
	if err != nil {
		return err
	}
	if c.ID == "" {
		return c.list(ctx, to, admin, query)
	}
	answer, err := admin.GetTrace(ctx, c.ID)
	if err != nil {
		return explain(err, c.Endpoint)
	}
	if c.JSON {
		return printJSON(to.out, answer.Record)
	}
	return render.Trace(to.out, answer.Record)
}

// query is what the flags ask for; the zero query when there is an id instead.
func (c *traceCommand) query(now time.Time) (q client.FindTracesInput, err error) {
	if c.Limit < 1 {
		return q, fmt.Errorf("--limit: %d is not positive", c.Limit)
	}
	q = client.FindTracesInput{Sender: c.Sender, Recipient: c.Recipient, Client: c.IP, Refused: c.Refused}
	if q.Since, err = parseWhen(c.Since, now); err != nil {
		return q, fmt.Errorf("--since: %w", err)
	}
	if q.Until, err = parseWhen(c.Until, now); err != nil {
		return q, fmt.Errorf("--until: %w", err)
	}
	if _, err := netip.ParseAddr(c.IP); c.IP != "" && err != nil {
		return q, fmt.Errorf("--ip: %w", err)
	}
	switch searched := q != (client.FindTracesInput{}); {
	case c.ID == "" && !searched:
		return q, errors.New("trace what? Name an id, or what is known of the mail")
	case c.ID != "" && searched:
		return q, errors.New("an id needs no more flags to be found by")
	default:
		return q, nil
	}
}

// timeForms are how a time may be written; one without a zone is UTC, as what sluice trace shows.
var timeForms = [...]string{time.RFC3339, time.DateTime, time.DateOnly}

// parseWhen reads a time, or how long ago it was. Empty is the zero time.
func parseWhen(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	for _, form := range timeForms {
		if at, err := time.Parse(form, text); err == nil {
			return at, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is neither a time, as 2026-01-31T12:00:00Z, nor how long ago it was, as 36h", text)
}

// list asks page after page until there are as many as are wanted.
func (c *traceCommand) list(ctx context.Context, to streams, admin *client.Client, query client.FindTracesInput) error {
	found := []trace.Summary{}
	for {
		query.Limit = min(c.Limit-len(found), trace.MaxFindLimit)
		answer, err := admin.FindTraces(ctx, query)
		if err != nil {
			return explain(err, c.Endpoint)
		}
		if !c.JSON {
			if err := render.Found(to.out, answer.Traces); err != nil {
				return err
			}
		}
		found = append(found, answer.Traces...)
		query.NextToken = answer.NextToken
		if query.NextToken == "" || len(found) >= c.Limit {
			break
		}
	}
	if c.JSON {
		return printJSON(to.out, found)
	}
	return nil
}

// printJSON prints a value for programs, which people can read too.
func printJSON(w io.Writer, value any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(value)
}
