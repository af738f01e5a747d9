package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"sluice/internal/admin/client"
)

type statusCommand struct {
	endpointFlags
}

// Run asks how the server is and prints it.
func (c *statusCommand) Run(ctx context.Context, to streams) error {
	admin, err := c.client(ctx)
	if err != nil {
		return err
	}
	answer, err := admin.GetStatus(ctx)
	if err != nil {
		return explain(err, c.Endpoint)
	}
	if c.JSON {
		return printJSON(to.out, answer)
	}
	return printStatus(to.out, answer)
}

func printStatus(w io.Writer, status client.GetStatusOutput) error {
	if len(status.NotReady) == 0 {
		fmt.Fprintln(w, "takes mail; version", status.Version)
	}
	for _, reason := range status.NotReady {
		fmt.Fprintln(w, "takes no mail:", reason)
	}
	if len(status.Lanes) == 0 {
		_, err := fmt.Fprintln(w, "nothing waits")
		return err
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "LANE\tITEMS\tOCTETS\tOLDEST")
	for _, lane := range status.Lanes {
		fmt.Fprintf(table, "%s\t%d\t%d\t%s\n", lane.Name, lane.Items, lane.Octets, lane.Oldest.UTC().Format(time.RFC3339))
	}
	return table.Flush()
}
