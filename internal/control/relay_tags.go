package control

import (
	"context"
	"strconv"

	"sluice/internal/match"
	"sluice/internal/store"
)

// Tags of ours on relays. Source: Mail Manager, E4.
const (
	tagTLS         = "sluice:tls"         // required or verified
	tagCA          = "sluice:ca"          // an authority of the configuration, by name
	tagConnections = "sluice:connections" // at once
	tagRate        = "sluice:rate"        // messages a minute
)

// Bounds of the numbers in tags.
const (
	maxRelayConnections = 1_000
	maxRelayRate        = 1_000_000 // messages a minute
)

// relayTags are the tags of ours on a relay.
type relayTags struct {
	tls         RelayTLS
	ca          string
	connections int
	rate        int
}

// readRelayTags reads the tags of ours. The error is a ValidationException; what is valid of them is there all the same.
func readRelayTags(tags []store.Tag) (t relayTags, err error) {
	for _, tag := range tags {
		ok := true
		switch tag.Key {
		case tagTLS:
			t.tls = RelayTLS(tag.Value)
			ok = t.tls == RelayTLSRequired || t.tls == RelayTLSVerified
		case tagCA:
			t.ca, ok = tag.Value, tag.Value != ""
		case tagConnections:
			t.connections, ok = readCount(tag.Value, maxRelayConnections)
		case tagRate:
			t.rate, ok = readCount(tag.Value, maxRelayRate)
		}
		if !ok {
			err = match.Invalid("tags", "The value of "+tag.Key+" must be "+relayTagForms[tag.Key])
		}
	}
	return t, err
}

// relayTagForms is what the values of tags must be, for people.
var relayTagForms = map[string]string{
	tagTLS:         "required or verified",
	tagCA:          "the name of an authority of the configuration",
	tagConnections: "a number from 1 to 1000",
	tagRate:        "a number of messages a minute, from 1 to 1000000",
}

func readCount(text string, most int) (int, bool) {
	n, err := strconv.Atoi(text)
	return n, err == nil && n >= 1 && n <= most
}

// checkRelayTags refuses tags of ours that a relay cannot follow.
func (c *Control) checkRelayTags(tags []store.Tag) error {
	t, err := readRelayTags(tags)
	if err == nil && t.ca != "" && c.cfg.HasAuthority != nil && !c.cfg.HasAuthority(t.ca) {
		return match.Invalid("tags", "The value of "+tagCA+" must be "+relayTagForms[tagCA])
	}
	return err
}

// retaggedRelay is the relay after a change of its tags.
func (c *Control) retaggedRelay(ctx context.Context, r store.Resource) (d draft, err error) {
	record, err := decode[relayRecord](r.Key, r.Body)
	if err != nil {
		return d, err
	}
	tags, err := c.cfg.Store.Tags(ctx, r.Key)
	if err != nil {
		return d, err
	}
	return c.draftRelay(r, record, tags)
}
