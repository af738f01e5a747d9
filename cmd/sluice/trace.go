package main

import (
	"context"
	"encoding/json"
	"io"

	"sluice/cmd/sluice/internal/render"
)

type traceCommand struct {
	endpointFlags
	ID string `arg:"" name:"id" help:"Id of the message, as its 250 reply ends with it, or of the session."`
}

// Run asks for a record and shows it.
func (c *traceCommand) Run(ctx context.Context, to streams) error {
	admin, err := c.client(ctx)
	if err != nil {
		return err
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

// printJSON prints a value for programs, which people can read too.
func printJSON(w io.Writer, value any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(value)
}
