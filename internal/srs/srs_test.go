package srs

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sluice/internal/conform"
	"sluice/internal/smtp"
)

const ours = "srs.example"

var today = time.Date(2026, 8, 2, 17, 4, 5, 0, time.UTC)

func rewriter() *Rewriter { return New(ours, bytes.Repeat([]byte{7}, KeyOctets)) }

func mustPath(t testing.TB, text string) smtp.Path {
	t.Helper()
	if text == "" {
		return smtp.Path{}
	}
	path, err := smtp.ParseMailbox(text)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return path
}

func TestForward(t *testing.T) {
	t.Parallel()
	conform.Check(t, "E3")
	tests := []struct {
		name, in string
		want     string
		back     string // what Reverse makes of it; - for a path that is none of ours
	}{
		{"null", "", "", "-"},
		{"plain", "jo@example.com", "SRS0=AEMAQOG7=F3=example.com=jo@srs.example", "jo@example.com"},
		{"case stays", "Jo.Smith@Example.COM", "SRS0=3KP2KF5P=F3=Example.COM=Jo.Smith@srs.example", "Jo.Smith@Example.COM"},
		{"equals sign", "jo=a=b@example.com", "SRS0=PQSTPYVS=F3=example.com=jo=a=b@srs.example", "jo=a=b@example.com"},
		{"quoted without need", `"jo"@example.com`, "SRS0=AEMAQOG7=F3=example.com=jo@srs.example", "jo@example.com"},
		{"blank", `"jo smith"@example.com`, `"SRS0=6ZNXRUEG=F3=example.com=jo smith"@srs.example`, `"jo smith"@example.com`},
		{"quote, backslash and at", `"a\"b\\c@d"@example.com`, `"SRS0=6M5X4RQA=F3=example.com=a\"b\\c@d"@srs.example`, `"a\"b\\c@d"@example.com`},
		{"dots", `".a..b."@example.com`, `"SRS0=OLFJ7X3A=F3=example.com=.a..b."@srs.example`, `".a..b."@example.com`},
		{"IPv4 literal", "jo@[192.0.2.1]", `"SRS0=CUQKLVCP=F3=[192.0.2.1]=jo"@srs.example`, "jo@[192.0.2.1]"},
		{"IPv6 literal", "jo@[IPv6:2001:db8::1]", `"SRS0=J4R652QF=F3=[IPv6:2001:db8::1]=jo"@srs.example`, "jo@[IPv6:2001:db8::1]"},
		{"UTF-8", "jö@müller.example", "SRS0=RNFDZTTD=F3=müller.example=jö@srs.example", "jö@müller.example"},
		{"our domain", "jo@SRS.Example", "jo@SRS.Example", "-"},
		{"ours", "SRS0=AEMAQOG7=F3=example.com=jo@srs.example", "SRS0=AEMAQOG7=F3=example.com=jo@srs.example", "jo@example.com"},
		{"another's SRS0", "SRS0=HHHH=TT=a.example=jo@hop.example",
			"SRS1=YJCPRMQ6=hop.example==HHHH=TT=a.example=jo@srs.example", "SRS0=HHHH=TT=a.example=jo@hop.example"},
		{"another's SRS0 with plus", "srs0+HHHH=TT=a.example=jo@hop.example",
			"SRS1=OTL7O7HO=hop.example=+HHHH=TT=a.example=jo@srs.example", "SRS0+HHHH=TT=a.example=jo@hop.example"},
		{"another's SRS1", "SRS1=GGGG=hop.example==HHHH=TT=a.example=jo@hop2.example",
			"SRS1=YJCPRMQ6=hop.example==HHHH=TT=a.example=jo@srs.example", "SRS0=HHHH=TT=a.example=jo@hop.example"},
		{"another's SRS1 with minus", "SRS1-GGGG=hop.example=-HHHH=TT=a.example=jo@hop2.example",
			"SRS1=V42IJQYL=hop.example=-HHHH=TT=a.example=jo@srs.example", "SRS0-HHHH=TT=a.example=jo@hop.example"},
		{"round to us", "SRS1=GGGG=srs.example==AEMAQOG7=F3=example.com=jo@hop2.example",
			"SRS0=AEMAQOG7=F3=example.com=jo@srs.example", "jo@example.com"},
		{"SRS1 without a host", "SRS1=GGGG@a.example", "SRS0=HL3TMW2I=F3=a.example=SRS1=GGGG@srs.example", "SRS1=GGGG@a.example"},
		{"SRS1 without a path", "SRS1=GGGG=b.example@a.example", "SRS0=MHS7BOXB=F3=a.example=SRS1=GGGG=b.example@srs.example", "SRS1=GGGG=b.example@a.example"},
		{"SRS1 unguarded", "SRS1=GGGG=b.example=x@a.example", "SRS0=KA2TFVJ2=F3=a.example=SRS1=GGGG=b.example=x@srs.example", "SRS1=GGGG=b.example=x@a.example"},
		{"SRS1 with a malformed host", "SRS1=GGGG=-b==x@a.example", "SRS0=A3OBIL3T=F3=a.example=SRS1=GGGG=-b==x@srs.example", "SRS1=GGGG=-b==x@a.example"},
		{"SRS0 without a separator", "SRS0@a.example", "SRS0=HGTQKI47=F3=a.example=SRS0@srs.example", "SRS0@a.example"},
		{"as long as may be", strings.Repeat("a", 34) + "@example.com", "SRS0=KV4NDDVF=F3=example.com=" + strings.Repeat("a", 34) + "@srs.example", strings.Repeat("a", 34) + "@example.com"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := rewriter()
			got, err := r.Forward(mustPath(t, tt.in), today)
			if err != nil || got.Received != tt.want {
				t.Fatalf("got %q, %v, want %q", got.Received, err, tt.want)
			}
			if r.IsOurs(got) != (tt.back != "-") {
				t.Errorf("ours: %v", r.IsOurs(got))
			}
			back, err := r.Reverse(got, today)
			if tt.back == "-" {
				if !errors.Is(err, ErrNotOurs) {
					t.Errorf("got %q, %v", back, err)
				}
			} else if err != nil || back.Received != tt.back {
				t.Errorf("got %q, %v back, want %q", back, err, tt.back)
			}
		})
	}
}

func TestForwardRefuses(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("d", 60) + "." + strings.Repeat("e", 60)
	tests := []struct {
		name, domain string
		in           smtp.Path
	}{
		{"local part", ours, mustPath(t, strings.Repeat("a", 36)+"@example.com")},
		{"quotes count", ours, mustPath(t, `"`+strings.Repeat("a", 33)+` "@example.com`)},
		{"domain", ours, mustPath(t, "a@"+long)},
		{"guarded", ours, mustPath(t, "SRS0="+strings.Repeat("a", 45)+"@a.example")},
		{"whole path", long + "." + long[:121-50], mustPath(t, strings.Repeat("a", 34)+"@example.com")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := New(tt.domain, make([]byte, KeyOctets))
			if got, err := r.Forward(tt.in, today); !errors.Is(err, ErrTooLong) {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
	malformed := smtp.Path{Received: "a\r\n@b", Local: "a\r\n", Domain: "b"}
	if got, err := rewriter().Forward(malformed, today); err == nil || errors.Is(err, ErrTooLong) {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestReverseRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, in string
		want     error
	}{
		{"null", "", ErrNotOurs},
		{"not rewritten", "jo@srs.example", ErrNotOurs},
		{"another domain", "SRS0=AEMAQOG7=F3=example.com=jo@example.net", ErrNotOurs},
		{"tag only", "SRS0@srs.example", ErrNotOurs},
		{"another tag", "SRS2=AEMAQOG7=F3=example.com=jo@srs.example", ErrNotOurs},
		{"one digit of the hash", "SRS0=AEMAQOGA=F3=example.com=jo@srs.example", ErrForged},
		{"hash cut short", "SRS0=AEMAQOG=F3=example.com=jo@srs.example", ErrForged},
		{"hash as others make it", "SRS0=AEMA=F3=example.com=jo@srs.example", ErrForged},
		{"no hash", "SRS0==F3=example.com=jo@srs.example", ErrForged},
		{"another day", "SRS0=AEMAQOG7=F4=example.com=jo@srs.example", ErrForged},
		{"another host", "SRS0=AEMAQOG7=F3=example.org=jo@srs.example", ErrForged},
		{"another user", "SRS0=AEMAQOG7=F3=example.com=jon@srs.example", ErrForged},
		{"boundary moved", "SRS0=AEMAQOG7=F3=example.com.jo@srs.example", ErrForged},
		{"another separator", "SRS0+AEMAQOG7=F3=example.com=jo@srs.example", ErrForged},
		{"tag changed", "SRS1=AEMAQOG7=F3=example.com=jo@srs.example", ErrForged},
		{"tag changed back", "SRS0=YJCPRMQ6=hop.example==HHHH=TT=a.example=jo@srs.example", ErrForged},
		{"nothing follows", "SRS0=@srs.example", ErrForged},
		{"hash only", "SRS0=AEMAQOG7@srs.example", ErrForged},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got, err := rewriter().Reverse(mustPath(t, tt.in), today); !errors.Is(err, tt.want) || got != (smtp.Path{}) {
				t.Errorf("got %q, %v, want %v", got, err, tt.want)
			}
		})
	}
	if got, err := New(ours, make([]byte, KeyOctets)).Reverse(mustPath(t, "SRS0=AEMAQOG7=F3=example.com=jo@srs.example"), today); !errors.Is(err, ErrForged) {
		t.Errorf("with another key: got %q, %v", got, err)
	}
}

// Hosts on the way may change the case of letters.
func TestReverseTakesAnyCase(t *testing.T) {
	t.Parallel()
	for _, in := range []string{"SRS0=AEMAQOG7=F3=example.com=jo@srs.example", "srs0=aemaqog7=f3=example.com=jo@srs.example", "SRS0=AEMAQOG7=F3=EXAMPLE.COM=JO@SRS.EXAMPLE"} {
		got, err := rewriter().Reverse(mustPath(t, in), today)
		if err != nil || !strings.EqualFold(got.Received, "jo@example.com") {
			t.Errorf("%s: got %q, %v", in, got, err)
		}
	}
}

// A path that the key's holder did not make by Forward is refused too, once its hash is right.
func TestReverseOfSealedNonsense(t *testing.T) {
	t.Parallel()
	r := rewriter()
	tests := []struct {
		name, tag, text string
		want            error
	}{
		{"malformed host", tag1, "-b==x", ErrForged},
		{"no host", tag0, stamp(today) + "=x", ErrForged},
		{"no stamp", tag0, "=a.example=jo", ErrExpired},
		{"long stamp", tag0, "AAA=a.example=jo", ErrExpired},
		{"malformed stamp", tag0, "1A=a.example=jo", ErrExpired},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			path, err := r.seal(tt.tag, tt.text)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := r.Reverse(path, today); !errors.Is(err, tt.want) {
				t.Errorf("got %q, %v, want %v", got, err, tt.want)
			}
		})
	}
}

func TestReverseAfterDays(t *testing.T) {
	t.Parallel()
	tests := []struct {
		days int
		want error
	}{
		{-dayCycle / 2, ErrExpired}, {-2, ErrExpired}, {-1, nil}, {0, nil}, {1, nil}, {21, nil},
		{22, ErrExpired}, {100, ErrExpired}, {dayCycle - 2, ErrExpired},
	}
	for _, start := range []time.Time{today, time.Unix(0, 0).AddDate(0, 0, dayCycle-1), time.Unix(0, 0).AddDate(0, 0, 2*dayCycle)} {
		for _, tt := range tests {
			path, err := rewriter().Forward(mustPath(t, "jo@example.com"), start)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := rewriter().Reverse(path, start.AddDate(0, 0, tt.days)); !errors.Is(err, tt.want) {
				t.Errorf("%d days after %v: got %v, want %v", tt.days, start, err, tt.want)
			}
		}
	}
	guarded, err := rewriter().Forward(mustPath(t, "SRS0=a=b@hop.example"), today)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := rewriter().Reverse(guarded, today.AddDate(1, 0, 0)); err != nil {
		t.Errorf("SRS1 expires: %v", err)
	}
}

func TestNewWithoutAKey(t *testing.T) {
	t.Parallel()
	for _, octets := range []int{0, 16, KeyOctets - 1, KeyOctets + 1} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("a key of %d octets is taken", octets)
				}
			}()
			New(ours, make([]byte, octets))
		}()
	}
}

// paths draws paths as they are received, those that are rewritten already among them.
var paths = rapid.Custom(func(t *rapid.T) smtp.Path {
	local := rapid.OneOf(
		rapid.StringMatching(`[A-Za-z0-9=+.]{1,30}`),
		rapid.StringMatching(`[ -~äß]{1,20}`),
		rapid.StringMatching(`[Ss][Rr][Ss][01][=+-][A-Z0-9]{0,8}=[a-z=.]{0,12}[=+-]{0,2}[a-z=]{0,12}`),
	).Draw(t, "local")
	domain := rapid.SampledFrom([]string{"a.example", "B.Example", "müller.example", "[192.0.2.1]", "[IPv6:::1]", ours, "xn--mller-kva.example"}).Draw(t, "domain")
	path, err := newPath(local, domain)
	if err != nil {
		t.Skip("no path")
	}
	return path
})

// What Forward made comes back, for 21 days, and fits into SMTP.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r := rewriter()
		path := paths.Draw(t, "path")
		then := today.Add(time.Duration(rapid.Int64Range(0, int64(MaxAge)).Draw(t, "later")))
		forward, err := r.Forward(path, today)
		if errors.Is(err, ErrTooLong) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if parsed, err := smtp.ParseMailbox(forward.Received); err != nil || parsed != forward {
			t.Fatalf("%q is read as %q, %v", forward, parsed, err)
		}
		if !forward.Equal(smtp.Path{Local: forward.Local, Domain: ours}) {
			t.Fatalf("%q is not of our domain", forward)
		}
		if again, err := r.Forward(forward, then); err != nil || again != forward {
			t.Fatalf("rewritten twice: %q, %v", again, err)
		}
		if r.inOurDomain(path) {
			if forward != path {
				t.Fatalf("%q is of our domain, and became %q", path, forward)
			}
			return
		}
		if inner, guarded := innerPath(path); guarded {
			path = inner
		}
		if path.Equal(smtp.Path{Local: path.Local, Domain: ours}) {
			return
		}
		back, err := r.Reverse(forward, then)
		if err != nil || !strings.EqualFold(back.Local, path.Local) || !back.Equal(smtp.Path{Local: back.Local, Domain: path.Domain}) {
			t.Fatalf("%q came back as %q, %v, by way of %q", path, back, err, forward)
		}
	})
}

// No octet of a path can be changed, but for the case of letters.
func TestEveryOctetCounts(t *testing.T) {
	t.Parallel()
	r := rewriter()
	for _, in := range []string{"jo.smith@example.com", "SRS0=HHHH=TT=a.example=jo@hop.example"} {
		path, err := r.Forward(mustPath(t, in), today)
		if err != nil {
			t.Fatal(err)
		}
		for i := range path.Local {
			for octet := byte(' '); octet < 0x7f; octet++ {
				changed := path.Local[:i] + string(octet) + path.Local[i+1:]
				if strings.EqualFold(changed, path.Local) {
					continue
				}
				other := path
				other.Local = changed
				if got, err := r.Reverse(other, today); err == nil {
					t.Fatalf("%q is taken as %q", changed, got)
				}
			}
		}
	}
}

// FuzzReverse: nothing is taken but what Forward makes on one of the last days, in any case.
func FuzzReverse(f *testing.F) {
	f.Add("SRS0=AEMAQOG7=F3=example.com=jo")
	f.Add("srs1=yjcprmq6=hop.example==HHHH=TT=a.example=jo")
	f.Add(`SRS0=6ZNXRUEG=F3=example.com=jo smith`)
	f.Add("SRS0=AAAAAAAA==x")
	f.Fuzz(func(t *testing.T, local string) {
		r := rewriter()
		back, err := r.Reverse(smtp.Path{Received: "fuzzed", Local: local, Domain: ours}, today)
		if err != nil {
			if back != (smtp.Path{}) {
				t.Fatalf("got %q with %v", back, err)
			}
			return
		}
		for day := -maxAheadDays; day <= maxAgeDays; day++ {
			forward, err := r.Forward(back, today.AddDate(0, 0, -day))
			if err == nil && strings.EqualFold(forward.Local, local) {
				return
			}
		}
		t.Fatalf("%q is taken as %q", local, back)
	})
}
