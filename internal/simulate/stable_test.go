package simulate_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"sluice/internal/message"
	"sluice/internal/simulate"
	"sluice/internal/trace"
)

func TestStableLeavesOutWhatDiffers(t *testing.T) {
	t.Parallel()
	var forms [2]string
	for i := range forms {
		id := message.NewID(time.Now())
		events := []trace.Event{
			{Time: time.Now(), Session: id, Refused: &trace.Refused{
				Facts: message.Session{ID: id, Started: time.Now(), Hello: "x"}, TrafficPolicyID: id.String(), Command: "RCPT", Reply: "550 5.7.1 " + id.String() + " no",
			}},
			{Time: time.Now(), Session: id, Message: id, Decided: &trace.Decided{RuleSetID: id.String(), RuleSetHash: id.String(), Unrouted: []string{"a@x"}}},
			{Attempt: &trace.Attempt{Rule: 2, Status: "QUEUED", Took: time.Duration(i)}},
		}
		text, err := simulate.Stable(events)
		if err != nil {
			t.Fatal(err)
		}
		forms[i] = string(text)
	}
	if forms[0] != forms[1] {
		t.Errorf("two runs differ:\n%s\n%s", forms[0], forms[1])
	}
	for _, kept := range []string{"SESSION no", `"a@x"`, `"QUEUED"`, `"Hello": "x"`} {
		if !strings.Contains(forms[0], kept) {
			t.Errorf("%s is missing in\n%s", kept, forms[0])
		}
	}
}

func TestNormal(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, in, want string
	}{
		{"sorted and indented", `{"b":1,"a":[1.50]}`, "{\n  \"a\": [\n    1.50\n  ],\n  \"b\": 1\n}\n"},
		{"a record", `{"id":"x","events":[{"time":"t","session":"s","decided":{"ruleSetId":"r","unrouted":["a@x"]}}]}`,
			"[\n  {\n    \"decided\": {\n      \"unrouted\": [\n        \"a@x\"\n      ]\n    }\n  }\n]\n"},
		{"whole events", `[{"session":"s","refused":{"reply":"550 s no"}}]`,
			"[\n  {\n    \"refused\": {\n      \"reply\": \"550 SESSION no\"\n    }\n  }\n]\n"},
		{"no events", `{"events":[]}`, "[]\n"},
		{"no JSON", "Subject: x", ""},
		{"two values", "1 2", ""},
		{"nothing", "", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := simulate.Normal([]byte(test.in))
			if string(got) != test.want || errors.Is(err, simulate.ErrNotJSON) != (test.want == "") {
				t.Errorf("got %q and %v, want %q", got, err, test.want)
			}
		})
	}
}
