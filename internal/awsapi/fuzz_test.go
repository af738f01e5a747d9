package awsapi

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/mailmanager"
)

// largestGrowth bounds what encoding may make of a document: CBOR's empty key is one octet, JSON's \u0000 six for one.
const largestGrowth = 8

// stable decodes a document with one codec and checks that what it says survives both codecs.
func stable(t *testing.T, c codec, body []byte) {
	t.Helper()
	op := operation(t, "CreateRuleSet")
	first := op.New()
	if err := c.decode(body, op.Input, first); err != nil {
		return
	}
	again := op.New()
	text := encode(newJSONSink(), op.Input, first)
	if len(text) > largestGrowth*(len(body)+1) {
		t.Fatalf("%d octets became %d", len(body), len(text))
	}
	if err := jsonCodec.decode(text, op.Input, again); err != nil {
		t.Fatalf("decode %q: %v", text, err)
	}
	if diff := cmp.Diff(first, again); diff != "" {
		t.Fatalf("JSON (-want +got):\n%s", diff)
	}
	again = op.New()
	binary := encode(newCBORSink(), op.Input, first)
	if err := cborForTest().decode(binary, op.Input, again); err != nil {
		t.Fatalf("decode %x: %v", binary, err)
	}
	if diff := cmp.Diff(first, again); diff != "" {
		t.Fatalf("CBOR (-want +got):\n%s", diff)
	}
	_ = mailmanager.Validate(op.Input, first) // whatever was decoded, it does not panic
}

const seedRuleSet = `{"RuleSetName":"a","Rules":[{"Name":"é","Conditions":[{"NumberExpression":{"Evaluate":{"Attribute":"MESSAGE_SIZE"},` +
	`"Operator":"GREATER_THAN","Value":1.5e3}},{"BooleanExpression":{"Evaluate":{"Attribute":"TLS"},"Operator":"IS_TRUE"}}],"Unless":[],` +
	`"Actions":[{"Drop":{}},{"AddHeader":{"HeaderName":"X-A","HeaderValue":"b"}}]}],"Tags":[{"Key":"a","Value":""}],"Other":[null,{}]}`

func FuzzJSONBody(f *testing.F) {
	f.Add([]byte(seedRuleSet))
	for _, d := range refused {
		if len(d.json) < 1<<10 {
			f.Add([]byte(d.json))
		}
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		op := operation(t, "CreateRuleSet")
		if err := jsonCodec.decode(body, op.Input, op.New()); err == nil && len(body) > 0 && !json.Valid(body) {
			t.Fatal("accepted what is not JSON")
		}
		stable(t, jsonCodec, body)
	})
}

func FuzzCBORBody(f *testing.F) {
	op := operation(f, "CreateRuleSet")
	in := op.New()
	if err := jsonCodec.decode([]byte(seedRuleSet), op.Input, in); err != nil {
		f.Fatal(err)
	}
	f.Add(encode(newCBORSink(), op.Input, in))
	for _, d := range refused {
		if octets, err := hex.DecodeString(d.cbor); err == nil && len(octets) < 1<<10 {
			f.Add(octets)
		}
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if len(body) > 0 && newCBORMode().Wellformed(body) != nil {
			if err := cborForTest().decode(body, op.Input, op.New()); err == nil {
				t.Fatal("accepted what is not CBOR")
			}
			return
		}
		stable(t, cborForTest(), body)
	})
}

func FuzzAuthorization(f *testing.F) {
	f.Add("AWS4-HMAC-SHA256 Credential=AK/ID/20260301/eu-central-1/ses/aws4_request, SignedHeaders=host;x-amz-date, Signature=" +
		"0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a")
	f.Add("AWS4-HMAC-SHA256 Credential=////aws4_request,SignedHeaders=host,Signature=,=,")
	f.Fuzz(func(t *testing.T, value string) {
		first, err := parseAuthorization(value)
		if err != nil {
			return
		}
		again, err := parseAuthorization(first.String())
		if err != nil {
			t.Fatalf("%q: %v", first.String(), err)
		}
		if diff := cmp.Diff(first, again, cmp.AllowUnexported(authorization{})); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
		if again.accessKeyID == "" || len(again.signature) != 64 {
			t.Fatalf("got %+v, want a key id and a signature", again)
		}
	})
}

func FuzzAmzDate(f *testing.F) {
	for _, seed := range []string{"20260301T120000Z", "00000101T000000Z", "20260301T120000.5Z", "20261301T120000Z", "2026-03-01T12:00:00Z"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		at, ok := parseAmzDate(value)
		if ok && (at.Format(timeLayout) != value || at.Location() != time.UTC) {
			t.Fatalf("%q became %v", value, at)
		}
	})
}

func FuzzPageToken(f *testing.F) {
	tokens, err := NewPageTokens(newKey(f), nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add("", uint16(0), byte(1))
	f.Add("AAAA", uint16(40), byte(0x80))
	f.Add("AWvNGBgDRnlLdqkAuAKUNMPG3SD2zl59qlfp_zPOXEL8lekJP2ZcVeY", uint16(1), byte(0))
	f.Fuzz(func(t *testing.T, token string, at uint16, flip byte) {
		// Whoever lacks the key makes no token, neither from nothing nor from one of ours.
		if position, err := tokens.Open(token, "ListRelays"); err == nil {
			t.Fatalf("%q opens to %q", token, position)
		}
		position := token[:min(len(token), 1000)]
		ours := []byte(tokens.Seal([]byte(position), "ListRelays"))
		if got, err := tokens.Open(string(ours), "ListRelays"); err != nil || string(got) != position {
			t.Fatalf("got %q, %v, want %q", got, err, position)
		}
		ours[int(at)%len(ours)] ^= flip
		if got, err := tokens.Open(string(ours), "ListRelays"); err == nil && flip != 0 {
			t.Fatalf("altered, it opens to %q", got)
		}
	})
}

func newKey(f *testing.F) []byte {
	key := make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		f.Fatal(err)
	}
	return key
}
