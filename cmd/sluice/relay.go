package main

import (
	"context"
	"errors"

	"sluice/cmd/sluice/internal/render"
)

// relayCommand has what is done with relays beside the API.
type relayCommand struct {
	Test relayTestCommand `cmd:"" help:"Have the server connect to a relay, and show each step. No mail is sent."`
}

type relayTestCommand struct {
	endpointFlags
	ID string `arg:"" name:"id" help:"Id or ARN of the relay."`
}

// errRelayFails is the end of a test after which everything is said.
var errRelayFails = errors.New("no address of the relay works")

// Run has a relay tested, and fails when no mail could leave by it.
func (c *relayTestCommand) Run(ctx context.Context, to streams) error {
	admin, err := c.client(ctx)
	if err != nil {
		return err
	}
	answer, err := admin.TestRelay(ctx, c.ID)
	if err != nil {
		return explain(err, c.Endpoint)
	}
	if c.JSON {
		err = printJSON(to.out, answer)
	} else {
		err = render.Relay(to.out, answer)
	}
	if err == nil && !answer.Works() {
		err = errRelayFails
	}
	return err
}
