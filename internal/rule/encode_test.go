package rule

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"

	"sluice/internal/mailmanager"
	"sluice/internal/message"
)

// pendingCursor is the cursor of a set that waits for the outcome of a step.
func pendingCursor(t testing.TB) (*Set, []byte) {
	t.Helper()
	s := compile(t, mailmanager.Rule{Actions: actions(addHeader("X-A", "1"), relay(), drop())})
	var c Cursor
	c.Reset((*message.Node)(nil).Remove(message.Range{From: 1, To: 2}), recipientsOf("a@a", "b@b"))
	if _, more := s.Next(&c, factsOf(""), Outcome{}, &Reasons{}); !more {
		t.Fatal("no step")
	}
	encoded, err := c.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	return s, encoded
}

func TestUnmarshalRefuses(t *testing.T) {
	t.Parallel()
	s, encoded := pendingCursor(t)
	for i := range encoded {
		if err := new(Cursor).UnmarshalBinary(encoded[:i]); !errors.Is(err, ErrMalformedCursor) {
			t.Errorf("cut after %d octets: got %v", i, err)
		}
	}
	place := "\x0a\x00\x03a@a\x01a\x01a\x00\x00"
	tests := []struct {
		name string
		in   string
		want error
	}{
		{"newer format", "\x02" + string(encoded[1:]), ErrNewerFormat},
		{"more behind it", string(encoded) + "\x00", ErrMalformedCursor},
		{"unknown position", "\x01\x00\x00\x00\x04\x00\x00\x00", ErrMalformedCursor},
		{"malformed root", "\x01\x00\x00\x00\x00\x01\x02\x00\x00", ErrMalformedCursor},
		{"malformed field", "\x01\x00\x00\x00\x00\x00\x01\x00\x01a\x00", ErrMalformedCursor},
		{"node of a later parent", "\x01\x00\x00\x00\x00\x00\x01\x01\x06A: b\r\n\x00", ErrMalformedCursor},
		{"place in no node", "\x01\x00\x00\x00\x00\x00\x00\x01\x00\x01\x00\x00\x00\x00\x00", ErrMalformedCursor},
		{"unknown flag", "\x01\x00\x00\x00\x00\x00\x00\x01\x40\x00\x00\x00\x00\x00\x00", ErrMalformedCursor},
		{"too many places", "\x01\x00\x00\x00\x00\x00\x00\xff\xff\x7f", ErrMalformedCursor},
		{"number without end", "\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", ErrMalformedCursor},
		{"text longer than all", "\x01\x00\x00\x00\x00\x7f", ErrMalformedCursor},
		{"pending without a step", "\x01\x00\x00\x00\x02\x00\x00\x00", ErrMalformedCursor},
		{"a step without pending", "\x01\x00\x00\x00\x00\x00\x00\x01\x38\x00\x00\x00\x00\x00\x00", ErrMalformedCursor},
		{"a step for one who is gone", "\x01\x00\x00\x00\x02\x00\x00\x01\x39\x00\x00\x00\x00\x00\x00", ErrMalformedCursor},
		{"routed place", "\x01\x00\x00\x00\x00\x00\x00\x01\x04" + place[1:], nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if err := s.Resume(new(Cursor), []byte(tt.in)); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

// A cursor goes on only in a set that has the action it waits for.
func TestResumeRefusesAnotherSet(t *testing.T) {
	t.Parallel()
	s, encoded := pendingCursor(t)
	if err := s.Resume(new(Cursor), encoded); err != nil {
		t.Fatal(err)
	}
	for name, other := range map[string]*Set{
		"no rules": compile(t), "fewer actions": compile(t, mailmanager.Rule{Actions: actions(relay())}),
		"an action that has no outcome": compile(t, mailmanager.Rule{Actions: actions(relay(), drop())}),
	} {
		if err := other.Resume(new(Cursor), encoded); !errors.Is(err, ErrMalformedCursor) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// A step has one node; a cursor that says otherwise is not ours.
func TestStepInTwoNodesIsRefused(t *testing.T) {
	t.Parallel()
	var c Cursor
	c.Reset(nil, recipientsOf("a@a", "b@b"))
	c.nodes = append(c.nodes, node{(*message.Node)(nil).Add("X-A: 1\r\n"), 0})
	c.pending = true
	for i := range c.places {
		c.places[i].flags, c.places[i].node = matched|acted|waiting, i
	}
	encoded, _ := c.AppendBinary(nil)
	if err := new(Cursor).UnmarshalBinary(encoded); !errors.Is(err, ErrMalformedCursor) {
		t.Errorf("got %v", err)
	}
}

// FuzzCursor: bounded, what is read is written the same, and any cursor that is read comes to an end.
func FuzzCursor(f *testing.F) {
	s, encoded := pendingCursor(f)
	f.Add(encoded)
	var c Cursor
	c.Reset(nil, recipientsOf("a@a"))
	encoded, _ = c.AppendBinary(nil)
	f.Add(encoded)
	f.Add([]byte("\x01\x00\x00\x00\x00\x00\x00\x01\x04\x00\x03a@a\x01a\x01a\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var c, again Cursor
		if s.Resume(&c, b) != nil {
			return
		}
		if len(c.places) > len(b) || len(c.nodes) > len(b) {
			t.Fatalf("got %d places and %d nodes of %d octets", len(c.places), len(c.nodes), len(b))
		}
		written, _ := c.AppendBinary(nil)
		if err := again.UnmarshalBinary(written); err != nil {
			t.Fatal(err)
		}
		if twice, _ := again.AppendBinary(nil); !bytes.Equal(twice, written) || len(written) > len(b) {
			t.Fatalf("got %x, then %x, of %x", written, twice, b)
		}
		var r Reasons
		for n := 0; ; n++ {
			if _, more := s.Next(&c, factsOf(""), Outcome{Kind: OutcomeFailed}, &r); !more {
				break
			}
			if n > len(c.places) {
				t.Fatal("it does not end")
			}
		}
		r.Explain(s, &c, factsOf(""))
	})
}

// FuzzParse: what compiles can be evaluated, and reading its source back gives the same source.
func FuzzParse(f *testing.F) {
	text, _ := Source([]mailmanager.Rule{{Conditions: conditions(stringCondition("X-A", "CONTAINS", "ä")), Actions: actions(relay(), replaceBy("a@b"))}})
	f.Add(text)
	text, _ = Source([]mailmanager.Rule{{Conditions: conditions(certificateCondition("SERIAL_NUMBER", "CONTAINS", ":")), Actions: actions(drop())}})
	f.Add(text)
	facts := factsOf(sampleHeader)
	facts.Certificate = sampleCertificate()
	f.Add([]byte(`{"format":1,"rules":[{"Name":"a","Unless":[{"IpExpression":{"Evaluate":{"Attribute":"SOURCE_IP"},"Operator":"CIDR_MATCHES","Values":["::/0"]}}]}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := Parse(text)
		if err != nil {
			return
		}
		evaluate(s, facts, recipientsOf("a@a", "b@b"), always(OutcomeFailed))
		var read source
		if err := json.Unmarshal(text, &read); err != nil {
			t.Fatal(err)
		}
		canonical, hash := Source(read.Rules)
		if err := json.Unmarshal(canonical, &read); err != nil {
			t.Fatal(err)
		}
		if again, same := Source(read.Rules); same != hash {
			t.Fatalf("got %s, then %s", canonical, again)
		}
	})
}
