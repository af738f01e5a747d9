package smtp

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"sluice/internal/conform"
)

var (
	longestLocal  = strings.Repeat("l", 64)
	longestDomain = strings.Repeat("d", 63) + "." + strings.Repeat("d", 63) + "." + strings.Repeat("d", 58)
)

func TestParseForwardPath(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, in string
		want     Path
		rest     string
	}{
		{"plain", "<ann@example.com>", Path{"ann@example.com", "ann", "example.com"}, ""},
		{"case is kept", "<Ann@Example.COM>", Path{"Ann@Example.COM", "Ann", "Example.COM"}, ""},
		{"parameters follow", "<ann@example.com> A=b", Path{"ann@example.com", "ann", "example.com"}, " A=b"},
		{"dots and atext", "<a.!#$%&'*+-/=?^_`{|}~9@example.com>", Path{"a.!#$%&'*+-/=?^_`{|}~9@example.com", "a.!#$%&'*+-/=?^_`{|}~9", "example.com"}, ""},
		{"single label", "<ann@localhost>", Path{"ann@localhost", "ann", "localhost"}, ""},
		{"underscore", "<ann@_b.example_x.com>", Path{"ann@_b.example_x.com", "ann", "_b.example_x.com"}, ""},
		{"S7 quoted", `<"ann lee"@example.com>`, Path{`"ann lee"@example.com`, "ann lee", "example.com"}, ""},
		{"S7 quoted brackets", `<"a>b@c<d"@example.com>`, Path{`"a>b@c<d"@example.com`, "a>b@c<d", "example.com"}, ""},
		{"S7 quoted pairs", `<"a\"\\\@b"@example.com>`, Path{`"a\"\\\@b"@example.com`, `a"\@b`, "example.com"}, ""},
		{"S7 needless quotes stay", `<"ann"@example.com>`, Path{`"ann"@example.com`, "ann", "example.com"}, ""},
		{"S7 source route", "<@one.example,@two.example:ann@example.com>", Path{"ann@example.com", "ann", "example.com"}, ""},
		{"S7 IPv4 literal", "<ann@[192.0.2.1]>", Path{"ann@[192.0.2.1]", "ann", "[192.0.2.1]"}, ""},
		{"S7 IPv6 literal", "<ann@[IPv6:2001:db8::1]>", Path{"ann@[IPv6:2001:db8::1]", "ann", "[IPv6:2001:db8::1]"}, ""},
		{"S7 mapped literal", "<ann@[ipv6:::ffff:192.0.2.1]>", Path{"ann@[ipv6:::ffff:192.0.2.1]", "ann", "[ipv6:::ffff:192.0.2.1]"}, ""},
		{"UTF-8", "<žofie@příklad.cz>", Path{"žofie@příklad.cz", "žofie", "příklad.cz"}, ""},
		{"longest local part", "<" + longestLocal + "@example.com>", Path{longestLocal + "@example.com", longestLocal, "example.com"}, ""},
		{"longest path", "<" + longestLocal + "@" + longestDomain + "xxx>", Path{longestLocal + "@" + longestDomain + "xxx", longestLocal, longestDomain + "xxx"}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, rest, refusal := ParseForwardPath(test.in)
			if refusal != nil {
				t.Fatalf("got %v, want %v", refusal, test.want)
			}
			if diff := cmp.Diff(test.want, got); diff != "" || rest != test.rest {
				t.Errorf("got rest %q, want %q, path (-want +got):\n%s", rest, test.rest, diff)
			}
		})
	}
}

// refusedPath is a text that is no forward-path, and why.
type refusedPath struct {
	name, in string
	want     error
}

func TestParseForwardPathRefuses(t *testing.T) {
	t.Parallel()
	conform.Check(t, "B15", "B16")
	checkRefusedPaths(t, []refusedPath{
		{"nothing", "", errNoBrackets},
		{"S7 no brackets", "ann@example.com", errNoBrackets},
		{"S7 no closing bracket", "<ann@example.com", errNoBrackets},
		{"S7 no opening bracket", "ann@example.com>", errNoBrackets},
		{"S7 text after the bracket", "<ann@example.com>x", errNoBrackets},
		{"two brackets", "<<ann@example.com>>", errNoBrackets},
		{"null path", "<>", errLocalPart},
		{"S7 NUL", "<a\x00nn@example.com>", errControl},
		{"S7 CR", "<ann@example.com\r>", errControl},
		{"S7 LF, quoted", "<\"a\nb\"@example.com>", errControl},
		{"S7 tab, quoted", "<\"a\tb\"@example.com>", errControl},
		{"S7 DEL", "<a\x7f@example.com>", errControl},
		{"S7 C1 control", "<a\u0085b@example.com>", errControl},
		{"S7 not UTF-8", "<a\xffb@example.com>", errNotUTF8},
		{"S7 not UTF-8, quoted", "<\"\xc3\"@example.com>", errNotUTF8},
		{"S7 local part too long", "<" + longestLocal + "l@example.com>", errLocalTooLong},
		{"S7 quotes count", `<"` + longestLocal[:63] + `"@example.com>`, errLocalTooLong},
		{"S7 path too long", "<" + longestLocal + "@" + longestDomain + "xxxx>", errPathTooLong},
		{"route counts", "<@a:" + longestLocal + "@" + longestDomain + "x>", errPathTooLong},
		{"S7 unclosed quote", `<"ann@example.com>`, errNoBrackets},
		{"S7 quote closed by a pair", `<"ann\"@example.com>`, errNoBrackets},
		{"B15 postmaster", "<postmaster>", errNoDomain},
		{"B16 no domain", "<ann>", errNoDomain},
		{"B16 empty domain", "<ann@>", errNoDomain},
		{"empty local part", `<""@example.com>`, errLocalPart},
		{"text after the quotes", `<"ann"lee@example.com>`, errNoDomain},
		{"dot first", "<.ann@example.com>", errLocalPart},
		{"dot last", "<ann.@example.com>", errLocalPart},
		{"two dots", "<ann..lee@example.com>", errLocalPart},
		{"space", "<ann lee@example.com>", errNoDomain},
		{"comma", "<ann,lee@example.com>", errNoDomain},
		{"quoted pair outside ASCII", `<"\é"@example.com>`, errLocalPart},
		{"route alone", "<@one.example:>", errLocalPart},
	})
}

func TestParseForwardPathRefusesDomains(t *testing.T) {
	t.Parallel()
	checkRefusedPaths(t, []refusedPath{
		{"S7 unclosed literal", "<ann@[192.0.2.1>", errLiteral},
		{"no local part", "<@example.com>", errSourceRoute},
		{"two at signs", "<ann@lee@example.com>", errDomain},
		{"empty label", "<ann@example..com>", errDomain},
		{"dot at the end", "<ann@example.com.>", errDomain},
		{"hyphen first", "<ann@-example.com>", errDomain},
		{"hyphen last", "<ann@example-.com>", errDomain},
		{"label too long", "<ann@" + strings.Repeat("d", 64) + ".com>", errDomain},
		{"character in a domain", "<ann@exa!mple.com>", errDomain},
		{"U-label that has no A-label", "<ann@a\u200bb\u2028.com>", errDomain},
		{"route without colon", "<@one.example>", errSourceRoute},
		{"route without at sign", "<@one.example,two.example:ann@example.com>", errSourceRoute},
		{"route with a bad domain", "<@one..example:ann@example.com>", errSourceRoute},
		{"literal without address", "<ann@[]>", errLiteral},
		{"literal with a name", "<ann@[example.com]>", errLiteral},
		{"literal with leading zeros", "<ann@[192.000.002.001]>", errLiteral},
		{"literal with a zone", "<ann@[IPv6:fe80::1%eth0]>", errLiteral},
		{"IPv6 without tag", "<ann@[2001:db8::1]>", errLiteral},
		{"IPv4 with IPv6 tag", "<ann@[IPv6:192.0.2.1]>", errLiteral},
		{"unknown tag", "<ann@[x25:123]>", errLiteral},
	})
}

func checkRefusedPaths(t *testing.T, tests []refusedPath) {
	t.Helper()
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, _, refusal := ParseForwardPath(test.in)
			if refusal == nil {
				t.Fatalf("got %v, want a refusal", got)
			}
			if !errors.Is(refusal, test.want) {
				t.Errorf("got cause %v, want %v", refusal.Cause, test.want)
			}
			if refusal.Code != 501 || refusal.Enhanced != (EnhancedCode{5, 1, 3}) {
				t.Errorf("got %v, want 501 5.1.3", refusal)
			}
		})
	}
}

func TestParseReversePath(t *testing.T) {
	t.Parallel()
	path, rest, refusal := ParseReversePath("<> SIZE=1")
	if refusal != nil || !path.IsNull() || rest != " SIZE=1" {
		t.Errorf("B15: got %v, %q, %v, want the null reverse-path", path, rest, refusal)
	}
	path, _, refusal = ParseReversePath("<ann@example.com>")
	if refusal != nil || path.IsNull() || path.String() != "ann@example.com" {
		t.Errorf("got %v, %v, want ann@example.com", path, refusal)
	}
	for _, in := range []string{"<ann>", "ann@example.com", "< >", "<>>"} {
		if _, _, refusal = ParseReversePath(in); refusal == nil || refusal.Code != 501 || refusal.Enhanced != (EnhancedCode{5, 1, 7}) {
			t.Errorf("%q: got %v, want 501 5.1.7", in, refusal)
		}
	}
}

func TestParseMailbox(t *testing.T) {
	t.Parallel()
	if got, err := ParseMailbox(`"a b"@example.com`); err != nil || got != (Path{`"a b"@example.com`, "a b", "example.com"}) {
		t.Errorf("got %v, %v, want the quoted mailbox", got, err)
	}
	for _, in := range []string{"", "ann", "<ann@example.com>", "@a:ann@example.com", "ann@example.com x", `"ann`, `"ann\`, "ann@example.com\r\n"} {
		if got, err := ParseMailbox(in); err == nil {
			t.Errorf("%q: got %v, want an error", in, got)
		}
	}
}

func TestPathEqual(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, a, b string
		want       bool
	}{
		{"same", "ann@example.com", "ann@example.com", true},
		{"S7 unquoted", `"ann"@example.com`, "ann@example.com", true},
		{"S7 quoted pair", `"a\nn"@example.com`, "ann@example.com", true},
		{"case of the domain", "ann@EXAMPLE.com", "ann@example.COM", true},
		{"U-label and A-label", "ann@příklad.cz", "ann@XN--pklad-zsa96e.cz", true},
		{"case of the local part", "Ann@example.com", "ann@example.com", false},
		{"another local part", "ann+x@example.com", "ann@example.com", false},
		{"another domain", "ann@example.com", "ann@example.org", false},
		{"another U-label", "ann@příklad.cz", "ann@priklad.cz", false},
		{"domain and literal", "ann@[192.0.2.1]", "ann@192.0.2.1", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			a, errA := ParseMailbox(test.a)
			b, errB := ParseMailbox(test.b)
			if errA != nil || errB != nil {
				t.Fatalf("parsing: %v, %v", errA, errB)
			}
			if a.Equal(b) != test.want || b.Equal(a) != test.want {
				t.Errorf("got %v and %v, want %v both ways", a.Equal(b), b.Equal(a), test.want)
			}
		})
	}
}

func TestPathCheckASCII(t *testing.T) {
	t.Parallel()
	for _, in := range []string{"žofie@example.cz", "ann@příklad.cz", `"ž"@example.cz`} {
		path, err := ParseMailbox(in)
		if err != nil {
			t.Fatal(err)
		}
		if refusal := path.CheckASCII(); refusal == nil || refusal.Code != 553 || refusal.Enhanced != (EnhancedCode{5, 6, 7}) {
			t.Errorf("S7 %q: got %v, want 553 5.6.7", in, refusal)
		}
	}
}

// TestQuotedLocalPart: whatever is quoted comes back unquoted, and is equal to itself in another quoting.
func TestQuotedLocalPart(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		local := rapid.StringMatching(`[ -~]{1,20}`).Draw(t, "local part")
		always := rapid.Bool().Draw(t, "quote what needs it not")
		var quoted strings.Builder
		for _, octet := range []byte(local) {
			if always || octet == '"' || octet == '\\' {
				quoted.WriteByte('\\')
			}
			quoted.WriteByte(octet)
		}
		path, rest, refusal := ParseForwardPath(`<"` + quoted.String() + `"@example.com> X`)
		if refusal != nil || path.Local != local || rest != " X" {
			t.Fatalf("got %q, %q, %v, want local part %q", path.Local, rest, refusal, local)
		}
	})
}

// FuzzForwardPath: what was parsed, printed and parsed again is the same; nothing unprintable and nothing too long gets through.
func FuzzForwardPath(f *testing.F) {
	for _, seed := range []string{
		"<ann@example.com>", `<"a\"b"@[IPv6:::1]> A=b`, "<@a,@b:c@d>", "<ž@ž.cz>", `<"<>"@x>`, "<a@[1.2.3.4]>", "<>", "<a\x00@b>",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		path, rest, refusal := ParseForwardPath(text)
		if refusal != nil {
			if path != (Path{}) || rest != "" {
				t.Errorf("got %v, %q beside refusal %v", path, rest, refusal)
			}
			return
		}
		again, rest2, refusal := ParseForwardPath("<" + path.String() + ">" + rest)
		if refusal != nil || again != path || rest2 != rest || !path.Equal(again) {
			t.Errorf("got %v, %q, %v, want %v, %q", again, rest2, refusal, path, rest)
		}
		if len(path.Received) > maxPathOctets || strings.ContainsFunc(path.Received, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			t.Errorf("got through: %q", path.Received)
		}
	})
}
