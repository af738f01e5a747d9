package awsapi

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"sluice/internal/conform"
	"sluice/internal/mailmanager"
	"sluice/internal/mailmanager/modeltest"
	"sluice/internal/secretsmanager"
)

func cborForTest() codec { return cborCodec(newCBORMode()) }

// secretOperation is an operation of Secrets Manager.
func secretOperation(t testing.TB, name string) *mailmanager.Operation {
	t.Helper()
	for i := range secretsmanager.Operations() {
		if op := &secretsmanager.Operations()[i]; op.Name == name {
			return op
		}
	}
	t.Fatalf("no operation %s", name)
	return nil
}

func operation(t testing.TB, name string) *mailmanager.Operation {
	t.Helper()
	op, ok := mailmanager.Lookup(name)
	if !ok {
		t.Fatalf("no operation %s", name)
	}
	return op
}

// roundTrip is the property of issue 2: what JSON says, CBOR says, and JSON says again.
func roundTrip(t *rapid.T, shape *mailmanager.Shape, blank func() any) {
	drawn := blank()
	modeltest.Draw(t, shape, drawn)
	first := encode(newJSONSink(), shape, drawn)
	if !json.Valid(first) {
		t.Fatalf("encoded what is not JSON: %s", first)
	}
	fromJSON, fromCBOR, again := blank(), blank(), blank()
	if err := jsonCodec.decode(first, shape, fromJSON); err != nil {
		t.Fatalf("decode %s: %v", first, err)
	}
	binary := encode(newCBORSink(), shape, fromJSON)
	if err := cborForTest().decode(binary, shape, fromCBOR); err != nil {
		t.Fatalf("decode %x: %v", binary, err)
	}
	second := encode(newJSONSink(), shape, fromCBOR)
	if err := jsonCodec.decode(second, shape, again); err != nil {
		t.Fatalf("decode %s: %v", second, err)
	}
	if !bytes.Equal(first, second) || !reflect.DeepEqual(drawn, again) {
		t.Fatalf("got %s, want %s", second, first)
	}
}

func TestCodecsRoundTripEveryShape(t *testing.T) {
	t.Parallel()
	for _, op := range append(mailmanager.Operations(), secretsmanager.Operations()...) {
		t.Run(op.Name, func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(t *rapid.T) { roundTrip(t, op.Input, op.New) })
			if !strings.Contains(op.Output.Name+op.Name, "Secret") { // maps have no order to compare
				rapid.Check(t, func(t *rapid.T) { roundTrip(t, op.Output, op.NewOutput) })
			}
		})
	}
}

// document is one request for a codec table: JSON as text, CBOR as hexadecimal digits.
type document struct {
	name string
	json string
	cbor string
}

const tooDeep = maxDepth + 1

// refused are the documents of S35, for CreateRelay unless the name says otherwise.
var refused = []document{
	{name: "duplicate key", json: `{"RelayName":"a","RelayName":"b"}`,
		cbor: "a2" + text("RelayName") + text("a") + text("RelayName") + text("b")},
	{name: "duplicate key, first null", json: `{"RelayName":null,"RelayName":"b"}`,
		cbor: "a2" + text("RelayName") + "f6" + text("RelayName") + text("b")},
	{name: "unknown union member", json: `{"Authentication":{"Password":"x"}}`,
		cbor: "a1" + text("Authentication") + "a1" + text("Password") + text("x")},
	{name: "string for a number", json: `{"ServerPort":"25"}`, cbor: "a1" + text("ServerPort") + text("25")},
	{name: "number for a string", json: `{"RelayName":1}`, cbor: "a1" + text("RelayName") + "01"},
	{name: "list for a structure", json: `{"Authentication":[]}`, cbor: "a1" + text("Authentication") + "80"},
	{name: "structure for a list", json: `{"Tags":{}}`, cbor: "a1" + text("Tags") + "a0"},
	{name: "boolean for a string", json: `{"RelayName":true}`, cbor: "a1" + text("RelayName") + "f5"},
	{name: "octets for a string", json: `{"RelayName":{"a":1}}`, cbor: "a1" + text("RelayName") + "4161"},
	{name: "list at the top", json: `[]`, cbor: "80"},
	{name: "null at the top", json: `null`, cbor: "f6"},
	{name: "null in a list", json: `{"Tags":[null]}`, cbor: "a1" + text("Tags") + "81f6"},
	{name: "fraction for an integer", json: `{"ServerPort":25.5}`, cbor: "a1" + text("ServerPort") + "fa41cc0000"},
	{name: "integer above int32", json: `{"ServerPort":2147483648}`, cbor: "a1" + text("ServerPort") + "1a80000000"},
	{name: "integer below int32", json: `{"ServerPort":-2147483649}`, cbor: "a1" + text("ServerPort") + "3a80000000"},
	{name: "integer above int64", json: `{"ServerPort":18446744073709551615}`, cbor: "a1" + text("ServerPort") + "1bffffffffffffffff"},
	{name: "integer below int64", json: `{"ServerPort":-18446744073709551616}`, cbor: "a1" + text("ServerPort") + "3bffffffffffffffff"},
	{name: "huge number", json: `{"ServerPort":1e999}`, cbor: "a1" + text("ServerPort") + "c249010000000000000000"},
	{name: "NaN", json: `{"ServerPort":NaN}`, cbor: "a1" + text("ServerPort") + "f97e00"},
	{name: "NaN ignored", json: `{"Other":NaN}`, cbor: "a1" + text("Other") + "f97e00"},
	{name: "infinity", json: `{"ServerPort":Infinity}`, cbor: "a1" + text("ServerPort") + "f97c00"},
	{name: "infinity ignored", json: `{"Other":-Infinity}`, cbor: "a1" + text("Other") + "f9fc00"},
	{name: "trailing bytes", json: `{} {}`, cbor: "a0a0"},
	{name: "trailing junk", json: `{}x`, cbor: "a0ff"},
	{name: "cut off", json: `{"RelayName":"a`, cbor: "a1" + text("RelayName") + "6261"},
	{name: "cut off after a key", json: `{"RelayName"`, cbor: "a1" + text("RelayName")},
	{name: "comma at the end", json: `{"Tags":[],}`, cbor: "a2" + text("Tags") + "80"},
	{name: "not UTF-8", json: "{\"RelayName\":\"\xff\"}", cbor: "a1" + text("RelayName") + "61ff"},
	{name: "depth bomb", json: strings.Repeat(`{"Other":`, tooDeep) + "1" + strings.Repeat("}", tooDeep),
		cbor: strings.Repeat("a1"+text("Other"), tooDeep) + "01"},
	{name: "depth bomb of lists", json: `{"Other":` + strings.Repeat("[", 1<<20), cbor: "a1" + text("Other") + strings.Repeat("81", 1<<16) + "01"},
	{name: "key that is no string", json: `{1:2}`, cbor: "a10102"},
	{name: "list declared huge", json: `{"Tags":[`, cbor: "a1" + text("Tags") + "9b0000010000000000"},
	{name: "map declared huge", json: `{"Tags":{`, cbor: "bb0000010000000000"},
	{name: "string declared huge", json: `"`, cbor: "a1" + text("RelayName") + "7b0000010000000000"},
	{name: "break without a start", json: `}`, cbor: "a1" + text("RelayName") + "ff"},
	{name: "simple value nobody knows", json: `{"RelayName":undefined}`, cbor: "a1" + text("RelayName") + "f8ff"},
	{name: "tagged string", json: `{"RelayName":'a'}`, cbor: "a1" + text("RelayName") + "d820" + text("a")},
}

// text is a CBOR text string in hexadecimal digits.
func text(s string) string {
	s = string([]byte{majorText<<5 | byte(len(s))}) + s
	return hex.EncodeToString([]byte(s))
}

func decodeBoth(t *testing.T, d document, shape *mailmanager.Shape, blank func() any) (fromJSON, fromCBOR any, jsonErr, cborErr error) {
	t.Helper()
	octets, err := hex.DecodeString(d.cbor)
	if err != nil {
		t.Fatal(err)
	}
	fromJSON, fromCBOR = blank(), blank()
	return fromJSON, fromCBOR, jsonCodec.decode([]byte(d.json), shape, fromJSON), cborForTest().decode(octets, shape, fromCBOR)
}

func TestCodecsRefuseS35(t *testing.T) {
	t.Parallel()
	op := operation(t, "CreateRelay")
	for _, tt := range refused {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, _, jsonErr, cborErr := decodeBoth(t, tt, op.Input, op.New)
			for codec, err := range map[string]error{"JSON": jsonErr, "CBOR": cborErr} {
				var e *mailmanager.Error
				if !errors.As(err, &e) || e.Code != mailmanager.CodeSerialization || e.Code.HTTPStatus() != 400 {
					t.Errorf("%s: got %v, want a SerializationException", codec, err)
				}
			}
		})
	}
}

func TestCodecsAcceptA29(t *testing.T) {
	t.Parallel()
	conform.Check(t, "A29")
	port := func(n int32) any { return &mailmanager.CreateRelayRequest{ServerPort: &n} }
	name := func(s mailmanager.RelayName) any { return &mailmanager.CreateRelayRequest{RelayName: &s} }
	empty := &mailmanager.CreateRelayRequest{}
	tests := []struct {
		document
		want any
	}{
		{document{"empty", `{}`, "a0"}, empty},
		{document{"no body", ``, ""}, empty},
		{document{"null is absent", `{"RelayName":null}`, "a1" + text("RelayName") + "f6"}, empty},
		{document{"undefined is absent", `{"RelayName":null}`, "a1" + text("RelayName") + "f7"}, empty},
		{document{"unknown member", `{"Other":{"a":[1,"x",null,{}]}}`, "a1" + text("Other") + "a1" + text("a") + "8401" + text("x") + "f6a0"}, empty},
		{document{"unknown member with a tag", `{"Other":1}`, "a1" + text("Other") + "d9d9f7a0"}, empty},
		{document{"names are exact", `{"relayname":"a"}`, "a1" + text("relayname") + text("a")}, empty},
		{document{"null for an unknown union member", `{"Authentication":{"__type":"x","SecretArn":null,"Other":null}}`,
			"a1" + text("Authentication") + "a3" + text("__type") + text("x") + text("SecretArn") + "f6" + text("Other") + "f6"},
			&mailmanager.CreateRelayRequest{Authentication: &mailmanager.RelayAuthentication{}}},
		{document{"whole float", `{"ServerPort":25.0}`, "a1" + text("ServerPort") + "fb4039000000000000"}, port(25)},
		{document{"half float", `{"ServerPort":25e0}`, "a1" + text("ServerPort") + "f94e40"}, port(25)},
		{document{"single float", `{"ServerPort":2.5e1}`, "a1" + text("ServerPort") + "fa41c80000"}, port(25)},
		{document{"long integer", `{"ServerPort":25}`, "a1" + text("ServerPort") + "1b0000000000000019"}, port(25)},
		{document{"negative", `{"ServerPort":-1}`, "a1" + text("ServerPort") + "20"}, port(-1)},
		{document{"indefinite map and string", `{"RelayName":"ab"}`, "bf" + text("RelayName") + "7f61616162ffff"}, name("ab")},
		{document{"indefinite list", `{"Tags":[{"Key":"a"}]}`, "a1" + text("Tags") + "9fbf" + text("Key") + text("a") + "ffff"},
			&mailmanager.CreateRelayRequest{Tags: []mailmanager.Tag{{Key: mailmanager.Ptr(mailmanager.TagKey("a"))}}}},
		{document{"empty list", `{"Tags":[]}`, "a1" + text("Tags") + "80"}, &mailmanager.CreateRelayRequest{Tags: []mailmanager.Tag{}}},
		{document{"escapes", `{"RelayName":"\u00e9\n"}`, "a1" + text("RelayName") + text("é\n")}, name("é\n")},
	}
	op := operation(t, "CreateRelay")
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			fromJSON, fromCBOR, jsonErr, cborErr := decodeBoth(t, tt.document, op.Input, op.New)
			if jsonErr != nil || cborErr != nil {
				t.Fatalf("got %v and %v, want no errors", jsonErr, cborErr)
			}
			if diff := cmp.Diff(tt.want, fromJSON); diff != "" {
				t.Errorf("JSON (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.want, fromCBOR); diff != "" {
				t.Errorf("CBOR (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTimestampsA29(t *testing.T) {
	t.Parallel()
	conform.Check(t, "A29")
	at := func(ms int64) *time.Time { return mailmanager.Ptr(time.UnixMilli(ms).UTC()) }
	tests := []struct {
		name       string
		json, cbor string // of the value
		want       *time.Time
	}{
		{"whole", "1700000000", "c11a6553f100", at(1700000000000)},
		{"milliseconds", "1700000000.123", "c1fb41d954fc4007df3b", at(1700000000123)},
		{"exponent, and single", "1.7E9", "c1fa4ecaa7e2", at(1700000000000)},
		{"half", "1.5", "c1f93e00", at(1500)},
		{"before 1970", "-1.5", "c1f9be00", at(-1500)},
		{"before 1970, whole", "-2", "c121", at(-2000)},
		{"no tag, or text", `"2023-11-14T22:13:20Z"`, "1a6553f100", nil},
		{"tag 0", `{}`, "c074323032332d31312d31345432323a31333a32305a", nil},
		{"tagged text", `true`, "c16131", nil},
		{"year 10000", "253402300800", "c11b0000003afff44180", nil},
		{"year 0", "-62135596801", "c13b0000000e7791f700", nil},
		{"endless", "1e308", "c1fb7fe0000000000000", nil},
	}
	op := operation(t, "GetRelay")
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := document{json: `{"CreatedTimestamp":` + tt.json + `}`, cbor: "a1" + text("CreatedTimestamp") + tt.cbor}
			fromJSON, fromCBOR, jsonErr, cborErr := decodeBoth(t, d, op.Output, op.NewOutput)
			if (jsonErr != nil) != (tt.want == nil) || (cborErr != nil) != (tt.want == nil) {
				t.Fatalf("got %v and %v, want errors: %t", jsonErr, cborErr, tt.want == nil)
			}
			if tt.want == nil {
				return
			}
			want := &mailmanager.GetRelayResponse{CreatedTimestamp: tt.want}
			if diff := cmp.Diff(want, fromJSON) + cmp.Diff(want, fromCBOR); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestEncodings(t *testing.T) {
	t.Parallel()
	value := &mailmanager.GetRelayResponse{
		RelayId:          mailmanager.Ptr(mailmanager.RelayId("<r&>\u2028")),
		ServerPort:       mailmanager.Ptr(int32(587)),
		CreatedTimestamp: mailmanager.Ptr(time.UnixMilli(1700000000123)),
		Authentication:   &mailmanager.RelayAuthentication{NoAuthentication: &mailmanager.NoAuthentication{}},
	}
	shape := operation(t, "GetRelay").Output
	got := string(encode(newJSONSink(), shape, value))
	want := `{"RelayId":"<r&>\u2028","ServerPort":587,"Authentication":{"NoAuthentication":{}},"CreatedTimestamp":1700000000.123}`
	if got != want {
		t.Errorf("JSON: got %s, want %s", got, want)
	}
	var read map[string]any
	if err := cbor.Unmarshal(encode(newCBORSink(), shape, value), &read); err != nil {
		t.Fatal(err)
	}
	wantCBOR := map[string]any{
		"RelayId": "<r&>\u2028", "ServerPort": uint64(587), "Authentication": map[any]any{"NoAuthentication": map[any]any{}},
		"CreatedTimestamp": time.UnixMilli(1700000000123),
	}
	approximate := cmp.Comparer(func(a, b time.Time) bool { return a.Sub(b).Abs() < time.Millisecond })
	if diff := cmp.Diff(wantCBOR, read, approximate); diff != "" {
		t.Errorf("CBOR as its library reads it (-want +got):\n%s", diff)
	}
}

func TestCBORHeadsAgreeWithTheLibrary(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n, f, s := rapid.Int64().Draw(t, "n"), rapid.Float64().Draw(t, "f"), rapid.String().Draw(t, "s")
		sink := &cborSink{}
		sink.openList(3)
		sink.integer(n)
		sink.double(f)
		sink.text(s)
		want, err := cbor.Marshal([]any{n, f, s})
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(sink.bytes(), want) {
			t.Fatalf("got %x, want %x", sink.bytes(), want)
		}
	})
}

func TestSecretsTravelWhole(t *testing.T) {
	t.Parallel()
	value := &secretsmanager.GetSecretValueResponse{
		SecretString: mailmanager.Ptr(secretsmanager.SecretString("hunter2")),
		SecretBinary: secretsmanager.SecretBinary{0, 255},
	}
	shape := secretOperation(t, "GetSecretValue").Output
	got := string(encode(newJSONSink(), shape, value))
	if want := `{"SecretBinary":"AP8=","SecretString":"hunter2"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for _, bad := range []string{`{"SecretBinary":"AP8"}`, `{"SecretBinary":"*"}`, `{"SecretBinary":[0,255]}`, `{"SecretBinary":1}`} {
		if err := jsonCodec.decode([]byte(bad), shape, new(secretsmanager.GetSecretValueResponse)); err == nil {
			t.Errorf("%s: got nil, want an error", bad)
		}
	}
}

func TestMapsOfStages(t *testing.T) {
	t.Parallel()
	op := secretOperation(t, "DescribeSecret")
	value := &secretsmanager.DescribeSecretResponse{VersionIdsToStages: map[string][]string{"v1": {"AWSCURRENT"}, "v2": {}}}
	for name, c := range map[string]struct {
		codec codec
		sink  sink
	}{"JSON": {jsonCodec, newJSONSink()}, "CBOR": {cborForTest(), newCBORSink()}} {
		got := new(secretsmanager.DescribeSecretResponse)
		if err := c.codec.decode(encode(c.sink, op.Output, value), op.Output, got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(value, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	for _, bad := range []string{`{"VersionIdsToStages":{"a":[],"a":[]}}`, `{"VersionIdsToStages":[]}`, `{"VersionIdsToStages":{"a":null}}`} {
		if err := jsonCodec.decode([]byte(bad), op.Output, new(secretsmanager.DescribeSecretResponse)); err == nil {
			t.Errorf("%s: got nil, want an error", bad)
		}
	}
}

// TestLongIntegersAreExact has a number that no float64 is.
func TestLongIntegersAreExact(t *testing.T) {
	t.Parallel()
	const days = 1<<53 + 1
	op := secretOperation(t, "DeleteSecret")
	d := document{json: fmt.Sprintf(`{"RecoveryWindowInDays":%d}`, int64(days)), cbor: "a1" + text("RecoveryWindowInDays") + "1b0020000000000001"}
	fromJSON, fromCBOR, jsonErr, cborErr := decodeBoth(t, d, op.Input, op.New)
	if jsonErr != nil || cborErr != nil {
		t.Fatalf("got %v and %v, want no errors", jsonErr, cborErr)
	}
	want := &secretsmanager.DeleteSecretRequest{RecoveryWindowInDays: mailmanager.Ptr(int64(days))}
	if diff := cmp.Diff(want, fromJSON) + cmp.Diff(want, fromCBOR); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// allocated returns the octets that f allocates, all in all.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestDecodingIsBounded is not parallel: it counts what the whole process allocates.
func TestDecodingIsBounded(t *testing.T) {
	policy := operation(t, "CreateTrafficPolicy")
	hexadecimal := func(s string) []byte {
		octets, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return octets
	}
	binary := cborForTest()
	// Enough for more elements than are kept; beyond them a longer body costs nothing.
	list := func(open, element, end string) []byte {
		return []byte(open + strings.Repeat(element, 5*maxElements/4) + end)
	}
	long := func(open, character, end string) []byte {
		return []byte(open + strings.Repeat(character, maxBodyOctets-len(open)-len(end)) + end)
	}
	statements := string(hexadecimal("a1" + text("PolicyStatements") + "9f"))
	tests := []struct {
		name  string
		codec codec
		body  []byte
		limit uint64 // octets
	}{
		{"CBOR list of 2^40 elements", binary, hexadecimal("a1" + text("PolicyStatements") + "9b0000010000000000"), 1 << 16},
		{"CBOR map of 2^40 pairs", binary, hexadecimal("bb0000010000000000"), 1 << 16},
		{"CBOR string of 2^40 octets", binary, hexadecimal("a1" + text("TrafficPolicyName") + "7b0000010000000000"), 1 << 16},
		{"CBOR nesting", binary, bytes.Repeat([]byte{0x81}, maxBodyOctets), 1 << 16},
		{"CBOR empty structures", binary, list(statements, "\xa0", "\xff"), 6 * maxBodyOctets},
		{"CBOR as many as are kept", binary, []byte(statements + strings.Repeat("\xa0", maxElements) + "\xff"), 6 * maxBodyOctets},
		{"JSON nesting", jsonCodec, list(`{"PolicyStatements":`, "[", ""), 1 << 20},
		{"JSON empty structures", jsonCodec, list(`{"PolicyStatements":[{}`, ",{}", "]}"), 6 * maxBodyOctets},
		{"JSON empty strings", jsonCodec, list(`{"PolicyStatements":[{"Conditions":[{"StringExpression":{"Values":[""`, `,""`, "]}}]}]}"), 6 * maxBodyOctets},
		{"JSON skipped", jsonCodec, list(`{"Other":[{}`, `,{}`, "]}"), 2 * maxBodyOctets},
		{"JSON list beyond its limit", jsonCodec, list(`{"Tags":[{}`, `,{}`, "]}"), 2 * maxBodyOctets},
		{"JSON one string", jsonCodec, long(`{"TrafficPolicyName":"`, "x", `"}`), 8 * maxBodyOctets},
		{"JSON one number", jsonCodec, long(`{"MaxMessageSizeBytes":`, "1", `}`), 8 * maxBodyOctets},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := allocated(func() { _ = tt.codec.decode(tt.body, policy.Input, policy.New()) })
			if got > tt.limit {
				t.Errorf("allocated %d KiB for a body of %d KiB, want at most %d KiB", got>>10, len(tt.body)>>10, tt.limit>>10)
			}
		})
	}
}

func TestFloatNumberIsExact(t *testing.T) {
	t.Parallel()
	for f, want := range map[float64]bool{0: true, 1: true, -1: true, 0.5: false, 1 << 62: true, -1 << 63: true, 1 << 63: false, 1e300: false, math.SmallestNonzeroFloat64: false} {
		if got := floatNumber(f); got.isWhole != want || got.isWhole && float64(got.whole) != f {
			t.Errorf("%v: got %+v, want whole: %t", f, got, want)
		}
	}
}

func TestMembersFitTheSeenBits(t *testing.T) {
	t.Parallel()
	var check func(*mailmanager.Shape)
	check = func(s *mailmanager.Shape) {
		if len(s.Members) > 64 {
			t.Errorf("%s has %d members, want at most 64", s.Name, len(s.Members))
		}
		for _, m := range s.Members {
			check(m.Shape)
		}
		if s.Element != nil {
			check(s.Element)
		}
	}
	for _, op := range append(mailmanager.Operations(), secretsmanager.Operations()...) {
		check(op.Input)
		check(op.Output)
	}
}
