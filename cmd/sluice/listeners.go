package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"sluice/internal/admin/client"
)

type listenersCommand struct {
	endpointFlags
}

// Run asks where ingress points are reached and prints a line for each.
func (c *listenersCommand) Run(ctx context.Context, to streams) error {
	admin, err := c.client(ctx)
	if err != nil {
		return err
	}
	answer, err := admin.ListListeners(ctx)
	if err != nil {
		return explain(err, c.Endpoint)
	}
	if c.JSON {
		return printJSON(to.out, answer)
	}
	return printListeners(to.out, answer.Listeners)
}

func printListeners(w io.Writer, listeners []client.Listener) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ID\tNAME\tSTATE\tADDRESSES")
	for _, l := range listeners {
		where := strings.Join(l.Addresses, ", ")
		if l.StatusReason != "" {
			where = strings.TrimSpace(where + " (" + l.StatusReason + ")")
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", l.IngressPointId, l.Name, l.Status, where)
	}
	return table.Flush()
}
