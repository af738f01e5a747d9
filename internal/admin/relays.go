package admin

import (
	"context"

	"sluice/internal/action"
	"sluice/internal/admin/client"
	"sluice/internal/control"
	"sluice/internal/mailmanager"
)

// testRelay connects to a relay of the caller's, and sends no mail.
func (api *API) testRelay(ctx context.Context, scope control.Scope, in client.TestRelayInput) (client.TestRelayOutput, error) {
	relay, ok := api.cfg.Relays.Relay(scope, in.Id)
	if !ok {
		return client.TestRelayOutput{}, mailmanager.Errorf(mailmanager.CodeResourceNotFound, "There is no relay %s", in.Id)
	}
	trial := api.cfg.Relays.Try(ctx, relay)
	out := client.TestRelayOutput{
		Id: relay.ID, Name: relay.Name, Server: relay.Server, Port: relay.Port, Failure: trial.Failure, Took: trial.Took,
		Addresses: make([]client.RelayAddress, len(trial.Addresses)),
	}
	for i := range trial.Addresses {
		out.Addresses[i] = relayAddress(&trial.Addresses[i])
	}
	return out, nil
}

func relayAddress(a *action.AddressTrial) client.RelayAddress {
	return client.RelayAddress{
		Address: a.Address, Greeting: a.Greeting, Offers: a.Offers, TLS: a.TLS, Fallback: a.Fallback, User: a.User, Failure: a.Failure, Took: a.Took,
	}
}
