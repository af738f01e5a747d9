package control

import (
	"context"
	"time"

	"sluice/internal/mailmanager"
	"sluice/internal/store"
)

// relayRecord is a relay as it is stored.
type relayRecord struct {
	Server         mailmanager.RelayServerName
	Port           int32
	Authentication mailmanager.RelayAuthentication
}

// maxRelayPage is what the page size of ListRelays, which the model does not bound, is cut to (Mail Manager, A2).
const maxRelayPage = 100

// createRelay: Mail Manager, CreateRelay. Neither the server nor the secret needs to exist.
func (c *Control) createRelay(ctx context.Context, scope Scope, in *mailmanager.CreateRelayRequest) (*mailmanager.CreateRelayResponse, error) {
	req := request{scope: scope, operation: "CreateRelay", token: in.ClientToken, tags: in.Tags, input: in}
	id, err := c.create(ctx, kindRelay, req, func(r store.Resource) (draft, error) {
		r.Name, r.Counted = string(*in.RelayName), countedRelay
		tags := storedTags(in.Tags)
		if err := c.checkRelayTags(tags); err != nil {
			return draft{}, err
		}
		return c.draftRelay(r, relayRecord{Server: *in.ServerName, Port: *in.ServerPort, Authentication: *in.Authentication}, tags)
	})
	if err != nil {
		return nil, err
	}
	return &mailmanager.CreateRelayResponse{RelayId: (*mailmanager.RelayId)(&id)}, nil
}

// draftRelay completes a relay that is about to be stored.
func (c *Control) draftRelay(r store.Resource, record relayRecord, tags []store.Tag) (d draft, err error) {
	if r.Body, err = encode(record); err != nil {
		return d, err
	}
	d.Resource = r
	d.publish = func() { c.relays.store(snapshotKey(r.Key), relayView(r, record, tags)) }
	return d, nil
}

// relayView is a relay as the data plane sees it.
func relayView(r store.Resource, record relayRecord, tags []store.Tag) *Relay {
	t, _ := readRelayTags(tags)
	return &Relay{
		Key:       snapshotKey(r.Key),
		Name:      r.Name,
		ARN:       kindRelay.arnOf(r.Scope, r.ID),
		Server:    string(record.Server),
		Port:      int(record.Port),
		SecretARN: string(mailmanager.Value(record.Authentication.SecretArn)),

		TLS: t.tls, CA: t.ca, Connections: t.connections, Rate: t.rate,
	}
}

// getRelay: Mail Manager, GetRelay.
func (c *Control) getRelay(ctx context.Context, scope Scope, in *mailmanager.GetRelayRequest) (*mailmanager.GetRelayResponse, error) {
	id := string(*in.RelayId)
	if err := kindRelay.checkID(id); err != nil {
		return nil, err
	}
	r, err := c.read(ctx, kindRelay, kindRelay.key(scope, id))
	if err != nil {
		return nil, err
	}
	record, err := decode[relayRecord](r.Key, r.Body)
	if err != nil {
		return nil, err
	}
	return &mailmanager.GetRelayResponse{
		RelayId:               in.RelayId,
		RelayArn:              mailmanager.Ptr(mailmanager.RelayArn(kindRelay.arnOf(scope, id))),
		RelayName:             (*mailmanager.RelayName)(&r.Name),
		ServerName:            &record.Server,
		ServerPort:            &record.Port,
		Authentication:        &record.Authentication,
		CreatedTimestamp:      milliseconds(r.Created),
		LastModifiedTimestamp: milliseconds(r.Modified),
	}, nil
}

// listRelays: Mail Manager, ListRelays.
func (c *Control) listRelays(ctx context.Context, scope Scope, in *mailmanager.ListRelaysRequest) (*mailmanager.ListRelaysResponse, error) {
	size := min(max(pageSize(in.PageSize), 1), maxRelayPage) // Mail Manager, A2
	l := listing{scope: scope, kind: kindRelay.store, operation: "ListRelays", token: in.NextToken, size: size}
	relays, next, err := list(ctx, c, l, func(r store.Resource) (mailmanager.Relay, error) {
		return mailmanager.Relay{
			RelayId:               (*mailmanager.RelayId)(&r.ID),
			RelayName:             (*mailmanager.RelayName)(&r.Name),
			LastModifiedTimestamp: milliseconds(r.Modified),
		}, nil
	})
	return &mailmanager.ListRelaysResponse{Relays: relays, NextToken: next}, err
}

// updateRelay: Mail Manager, UpdateRelay. Members that are absent stay as they are.
func (c *Control) updateRelay(ctx context.Context, scope Scope, in *mailmanager.UpdateRelayRequest) (*mailmanager.UpdateRelayResponse, error) {
	id := string(*in.RelayId)
	if err := kindRelay.checkID(id); err != nil {
		return nil, err
	}
	err := c.update(ctx, kindRelay, kindRelay.key(scope, id), func(r store.Resource) (draft, error) {
		record, err := decode[relayRecord](r.Key, r.Body)
		if err != nil {
			return draft{}, err
		}
		replace(&r.Name, (*string)(in.RelayName))
		replace(&record.Server, in.ServerName)
		replace(&record.Port, in.ServerPort)
		replace(&record.Authentication, in.Authentication)
		r.Modified = c.now()
		tags, err := c.cfg.Store.Tags(ctx, r.Key)
		if err != nil {
			return draft{}, err
		}
		return c.draftRelay(r, record, tags)
	})
	if err == nil && c.cfg.RelayChanged != nil {
		c.cfg.RelayChanged(Key{Scope: scope, ID: id}) // Mail Manager, D19
	}
	return &mailmanager.UpdateRelayResponse{}, err
}

// deleteRelay: Mail Manager, DeleteRelay. A relay that rules name may go; their actions then fail (Mail Manager, A6).
func (c *Control) deleteRelay(ctx context.Context, scope Scope, in *mailmanager.DeleteRelayRequest) (*mailmanager.DeleteRelayResponse, error) {
	id := string(*in.RelayId)
	if err := kindRelay.checkID(id); err != nil {
		return nil, err
	}
	return &mailmanager.DeleteRelayResponse{}, c.remove(ctx, kindRelay, kindRelay.key(scope, id), c.relays.remove)
}

// freeRelays tells the mail that waits for a relay that its secret was made, or has a new value (Mail Manager, D19).
func (c *Control) freeRelays(secret store.Key, name string) {
	if c.cfg.RelayChanged == nil {
		return
	}
	for r := range c.relays.all() {
		if ref, ok := secretRefOf(r.Scope, r.SecretARN); ok && r.Scope == secret.Scope && (ref.id == secret.ID || ref.id == name) {
			c.cfg.RelayChanged(r.Key)
		}
	}
}

// replace sets a value to what an update gives it; nil is absent and changes nothing.
func replace[T any](value *T, given *T) {
	if given != nil {
		*value = *given
	}
}

// milliseconds is a time as most resources show it (Mail Manager, section 1.1).
func milliseconds(t time.Time) *time.Time { return mailmanager.Ptr(t.Truncate(time.Millisecond)) }

// seconds is a time as rule sets show it (Mail Manager, section 1.1).
func seconds(t time.Time) *time.Time { return mailmanager.Ptr(t.Truncate(time.Second)) }
