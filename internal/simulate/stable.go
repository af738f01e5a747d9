package simulate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"sluice/internal/trace"
)

// volatile are the members of an event, by the path to them, that differ from one simulation to the next, or between a
// resource and a file with the same in it.
var volatile = []string{
	"time", "account", "region", "message", "session",
	"accepted.facts.ID", "accepted.facts.Account", "accepted.facts.Region", "accepted.facts.Started",
	"accepted.facts.IngressPoint", "accepted.facts.Listener", "accepted.facts.Local", "accepted.trafficPolicyId", "accepted.ruleSetId",
	"refused.facts.ID", "refused.facts.Account", "refused.facts.Region", "refused.facts.Started",
	"refused.facts.IngressPoint", "refused.facts.Listener", "refused.facts.Local", "refused.trafficPolicyId",
	"decided.ruleSetId", "decided.ruleSetHash",
	"attempt.number", "attempt.took", "attempt.next", "attempt.ruleSetId",
}

// sessionName stands for the session's id in replies.
const sessionName string = "SESSION"

// Stable returns the events as JSON without what is volatile: the same policy, rules and message have the same. Members are
// sorted and indented, one to a line, so that a difference between two of them can be read.
func Stable(events []trace.Event) ([]byte, error) {
	text, err := json.Marshal(append([]trace.Event{}, events...)) // none is [], and not null
	if err != nil {
		return nil, fmt.Errorf("write events: %w", err)
	}
	return Normal(text)
}

// stable takes what is volatile from an event.
func stable(event any) {
	members, ok := event.(map[string]any)
	if !ok {
		return
	}
	if refused, ok := members["refused"].(map[string]any); ok {
		if session, _ := members["session"].(string); session != "" {
			reply, _ := refused["reply"].(string)
			refused["reply"] = strings.ReplaceAll(reply, session, sessionName)
		}
	}
	for _, path := range volatile {
		remove(members, strings.Split(path, "."))
	}
}

func remove(members map[string]any, path []string) {
	if len(path) == 1 {
		delete(members, path[0])
		return
	}
	if inner, ok := members[path[0]].(map[string]any); ok {
		remove(inner, path[1:])
	}
}

// ErrNotJSON says that what is expected is no JSON.
var ErrNotJSON = errors.New("not one JSON value")

// Normal returns events in the form of Stable, however they were written: as Stable writes them, or whole, alone or in their
// trace record. The error wraps ErrNotJSON.
func Normal(text []byte) ([]byte, error) {
	value, err := decode(text)
	if err != nil {
		return nil, err
	}
	if record, ok := value.(map[string]any); ok && record["events"] != nil {
		value = record["events"]
	}
	if events, ok := value.([]any); ok {
		for _, event := range events {
			stable(event)
		}
	}
	return indented(value)
}

func decode(text []byte) (value any, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&value); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotJSON, err)
	}
	if d.More() {
		return nil, ErrNotJSON
	}
	return value, nil
}

func indented(value any) ([]byte, error) {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if err := e.Encode(value); err != nil {
		return nil, fmt.Errorf("write JSON: %w", err)
	}
	return out.Bytes(), nil
}
