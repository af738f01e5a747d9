package render

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/admin/client"
	"sluice/internal/trace"
)

func TestRelay(t *testing.T) {
	t.Parallel()
	test := client.TestRelayOutput{
		Id: "r-1", Name: "out", Server: "mx.example.net", Port: 25, Took: 1234567890 * time.Nanosecond,
		Addresses: []client.RelayAddress{
			{Address: "192.0.2.1:25", Failure: "greeting: 554 5.3.2 no\r\nmail", Took: time.Millisecond},
			{
				Address: "192.0.2.2:25", Greeting: "220 hi", Offers: []string{"DSN", "SIZE 1000"}, User: "u", Took: time.Second,
				TLS: &trace.TLS{Version: "TLSv1.3", Cipher: "TLS_AES_128_GCM_SHA256", Verified: true, Peer: "mx.example.net"},
			},
			{Address: "192.0.2.3:25", Fallback: "TLS handshake: EOF", Took: time.Second},
			{Address: "192.0.2.4:25"},
		},
	}
	const want = `relay r-1 out, mx.example.net port 25, tested in 1.2346s
192.0.2.1:25  fails after 1ms
    failure       "greeting: 554 5.3.2 no\r\nmail"
192.0.2.2:25  works after 1s
    greeting      220 hi
    TLS           TLSv1.3, TLS_AES_128_GCM_SHA256, certificate of mx.example.net, verified
    offers        DSN, SIZE 1000
    logged in as  u
192.0.2.3:25  works after 1s
    TLS           none, in clear because of TLS handshake: EOF
192.0.2.4:25  works after 0s
    TLS           none, in clear
mail can leave; none was sent
`
	var got bytes.Buffer
	if err := Relay(&got, test); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	got.Reset()
	if err := Relay(&got, client.TestRelayOutput{Id: "r-1", Failure: "no such host"}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(got.String(), "no address can be tried: no such host\nmail cannot leave\n") {
		t.Errorf("got %s", got.String())
	}
}

func TestProtection(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		in   trace.TLS
		want string
	}{
		{"nameless", trace.TLS{Version: "TLSv1.2", Cipher: "c"}, "TLSv1.2, c, without a certificate that has a name"},
		{"not verified", trace.TLS{Version: "TLSv1.2", Cipher: "c", Peer: "a"}, "TLSv1.2, c, certificate of a, not verified"},
		{"hiding something", trace.TLS{Version: "TLSv1.2", Cipher: "c", Peer: "a\u202e"}, `TLSv1.2, c, certificate of "a\u202e", not verified`},
	}
	for _, test := range tests {
		if got := protection(&test.in); got != test.want {
			t.Errorf("%s: got %s, want %s", test.name, got, test.want)
		}
	}
}
