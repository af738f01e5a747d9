package simulate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"sluice/internal/message"
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
	list := make([]any, 0, len(events))
	for i := range events {
		text, err := json.Marshal(&events[i])
		if err != nil {
			return nil, fmt.Errorf("write an event: %w", err)
		}
		e, err := stable(text, events[i].Session)
		if err != nil {
			return nil, err
		}
		list = append(list, e)
	}
	return indented(list)
}

// stable is one event.
func stable(text []byte, session message.ID) (any, error) {
	e, err := decode(text)
	if err != nil {
		return nil, err
	}
	members, _ := e.(map[string]any)
	for _, path := range volatile {
		remove(members, strings.Split(path, "."))
	}
	if refused, ok := members["refused"].(map[string]any); ok {
		reply, _ := refused["reply"].(string)
		refused["reply"] = strings.ReplaceAll(reply, session.String(), sessionName)
	}
	return members, nil
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

// Normal returns JSON in the form of Stable, however it was written. The error wraps ErrNotJSON.
func Normal(text []byte) ([]byte, error) {
	value, err := decode(text)
	if err != nil {
		return nil, err
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
