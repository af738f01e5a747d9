package match

import (
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"

	"sluice/internal/conform"
	"sluice/internal/mailmanager"
)

func TestResultAsText(t *testing.T) {
	t.Parallel()
	for r, want := range map[Result]string{Match: `"MATCH"`, NoMatch: `"NO_MATCH"`, CannotTell: `"CANNOT_TELL"`} {
		text, err := json.Marshal(r)
		if err != nil || string(text) != want {
			t.Errorf("got %s, %v, want %s", text, err, want)
		}
		var again Result
		if err := json.Unmarshal(text, &again); err != nil || again != r {
			t.Errorf("got %v, %v read, want %v", again, err, r)
		}
	}
	var r Result
	for _, text := range []string{`"match"`, `""`, `"Result(9)"`, `1`} {
		if err := json.Unmarshal([]byte(text), &r); err == nil {
			t.Errorf("%s: read as %v", text, r)
		}
	}
	if Result(9).String() != "Result(9)" || Of(true) != Match || Of(false) != NoMatch {
		t.Error("results are wrong")
	}
}

func TestInvalidNamesThePath(t *testing.T) {
	t.Parallel()
	err := Invalid("a.1.member", "Member must be good")
	var known *mailmanager.Error
	want := "1 validation error detected: Value at 'a.1.member' failed to satisfy constraint: Member must be good"
	if !errors.As(err, &known) || known.Code != mailmanager.CodeValidation || known.Message != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func fold(f Folding, text string) string { return string(f.Append(nil, []byte(text))) }

func TestFolding(t *testing.T) {
	t.Parallel()
	conform.Check(t, "C2", "D10")
	tests := []struct {
		name    string
		folding Folding
		in      string
		want    string
	}{
		{"ASCII", FoldASCII, "JO+Tag@Example.ORG", "jo+tag@example.org"},
		{"only ASCII", FoldASCII, "GRÜẞE", "grÜẞe"},
		{"Unicode", FoldUnicode, "GRÜẞE", "grÜße"}, // the smallest of each orbit: Ü before ü
		{"Kelvin sign", FoldUnicode, "\u212a", "k"},
		{"long s", FoldUnicode, "ſ", "s"},
		{"sigmas", FoldUnicode, "Σσς", "ΣΣΣ"},
		{"octets outside UTF-8", FoldUnicode, "A\xff\xc3B", "a\xff\xc3b"},
		{"replacement character", FoldUnicode, "\ufffd", "\ufffd"},
		{"A-label stays in text", FoldUnicode, "xn--bcher-kva", "xn--bcher-kva"},
		{"A-label", FoldAddress, "jo@XN--bcher-kva.Example", "jo@bÜcher.example"},
		{"U-label", FoldAddress, "jo@Bücher.example", "jo@bÜcher.example"},
		{"several A-labels", FoldAddress, ".xn--bcher-kva.xn--p1ai", ".bÜcher.РФ"},
		{"A-label that is none", FoldAddress, "jo@xn--\x80.example", "jo@xn--\x80.example"},
		{"A-label that does not decode", FoldAddress, "jo@xn--0.example", "jo@xn--0.example"},
		{"prefix alone", FoldAddress, "xn--", "xn--"},
		{"prefix within a label", FoldAddress, "a-xn--bcher-kva", "a-xn--bcher-kva"},
		{"dashes", FoldAddress, "a--b--c", "a--b--c"},
		{"label too long", FoldAddress, "xn--" + strings.Repeat("a", 60), "xn--" + strings.Repeat("a", 60)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := fold(tt.folding, tt.in); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// Two texts fold to the same exactly when they are equal under simple folding (Mail Manager, D10).
func TestFoldingIsSimpleFolding(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a := rapid.String().Draw(t, "a")
		b := rapid.OneOf(rapid.String(), rapid.Just(strings.ToUpper(a)), rapid.Just(strings.ToLower(a))).Draw(t, "b")
		if got, want := fold(FoldUnicode, a) == fold(FoldUnicode, b), strings.EqualFold(a, b); got != want {
			t.Fatalf("%q and %q: got %v, want %v", a, b, got, want)
		}
	})
	for r := rune(0); r <= unicode.MaxRune; r++ {
		if !utf8.ValidRune(r) {
			continue
		}
		if next := unicode.SimpleFold(r); foldRune(r) != foldRune(next) || foldRune(foldRune(r)) != foldRune(r) {
			t.Fatalf("%q and %q fold to different runes", r, next)
		}
	}
}

// FuzzFold: bounded, and folding twice is folding once.
func FuzzFold(f *testing.F) {
	f.Add([]byte("jo@XN--bcher-kva.example"))
	f.Add([]byte("\u212a\xff--xn--a"))
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, folding := range []Folding{FoldASCII, FoldUnicode} {
			once := folding.Append(nil, text)
			if twice := folding.Append(nil, once); string(twice) != string(once) || len(once) > 2*len(text)+1 {
				t.Fatalf("%d: got %q, then %q", folding, once, twice)
			}
		}
		if got := FoldAddress.Append(nil, text); len(got) > 4*len(text) {
			t.Fatalf("got %d octets of %d", len(got), len(text))
		}
	})
}

func TestStrings(t *testing.T) {
	t.Parallel()
	tests := []struct {
		operator string
		values   []string
		element  string
		want     bool
	}{
		{"EQUALS", []string{"a", "Jo@Example.org"}, "jo@EXAMPLE.org", true},
		{"EQUALS", []string{"jo@example.org"}, "jo+tag@example.org", false},
		{"NOT_EQUALS", []string{"a", "b"}, "B", true},
		{"NOT_EQUALS", []string{"a", "b"}, "c", false},
		{"STARTS_WITH", []string{"x", "Jo"}, "jon", true},
		{"STARTS_WITH", []string{"jo"}, "a jo", false},
		{"ENDS_WITH", []string{"x", "@Example.org"}, "jo@example.ORG", true},
		{"ENDS_WITH", []string{"@example.org"}, "jo@example.org.example.net", false},
		{"CONTAINS", []string{"x", "AMPL"}, "jo@example.org", true},
		{"CONTAINS", []string{"jo@example.org"}, "jo@example", false},
		{"EQUALS", nil, "", false},
	}
	for _, tt := range tests {
		s, ok := NewStrings(tt.operator, tt.values, FoldUnicode)
		if !ok || s.Folding() != FoldUnicode || s.Negated() != (tt.operator == "NOT_EQUALS") || s.Contains() != (tt.operator == "CONTAINS") {
			t.Errorf("%s: compiled wrong", tt.operator)
		}
		if got := s.Any([]byte(fold(FoldUnicode, tt.element))); got != tt.want {
			t.Errorf("%q %s %q: got %v, want %v", tt.element, tt.operator, tt.values, got, tt.want)
		}
	}
	for _, operator := range []string{"", "equals", "MATCHES", "NOT_CONTAINS"} {
		if _, ok := NewStrings(operator, nil, FoldASCII); ok {
			t.Errorf("%q is an operator", operator)
		}
	}
}

func TestParseNetwork(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"192.0.2.0/24": "192.0.2.0/24", "192.0.2.77/24": "192.0.2.0/24", "0.0.0.0/0": "0.0.0.0/0", "192.0.2.1": "192.0.2.1/32",
		"2001:db8::1/32": "2001:db8::/32", "::/0": "::/0", "2001:db8::1": "2001:db8::1/128",
		"::ffff:192.0.2.0/120": "192.0.2.0/24", "::ffff:192.0.2.1": "192.0.2.1/32", "::ffff:0:0/95": "::fffe:0:0/95",
	} {
		if got, ok := ParseNetwork(in); !ok || got.String() != want {
			t.Errorf("%q: got %v, %v, want %s", in, got, ok, want)
		}
	}
	for _, in := range []string{
		"", "/", "192.0.2.0/33", "192.0.2/24", "192.0.2.0/", "192.0.2.0/-1", "192.0.2.0/024", "192.0.2.256/24", "192.0.2.00/24",
		"2001:db8::/129", "fe80::1%eth0", "fe80::%eth0/64", "a/b", "192.0.2.0/24/24", " 192.0.2.0/24", "192.0.2.0-192.0.2.9",
	} {
		if got, ok := ParseNetwork(in); ok {
			t.Errorf("%q: read as %v", in, got)
		}
	}
}

func TestNetworks(t *testing.T) {
	t.Parallel()
	conform.Check(t, "C3")
	tests := []struct {
		operator string
		networks string
		address  string
		want     bool
	}{
		{"CIDR_MATCHES", "192.0.2.0/24 198.51.100.0/24", "198.51.100.9", true},
		{"CIDR_MATCHES", "192.0.2.0/24", "192.0.3.1", false},
		{"CIDR_MATCHES", "192.0.2.0/24", "::ffff:192.0.2.1", true},
		{"CIDR_MATCHES", "0.0.0.0/0", "2001:db8::1", false},
		{"CIDR_MATCHES", "2001:db8::/32", "2001:db8::1", true},
		{"CIDR_MATCHES", "fe80::/64", "fe80::1%eth0", true},
		{"NOT_CIDR_MATCHES", "192.0.2.0/24 198.51.100.0/24", "198.51.100.9", false},
		{"NOT_CIDR_MATCHES", "192.0.2.0/24 198.51.100.0/24", "203.0.113.1", true},
		{"NOT_CIDR_MATCHES", "192.0.2.0/24", "2001:db8::1", true},
	}
	for _, tt := range tests {
		var prefixes []netip.Prefix
		for text := range strings.FieldsSeq(tt.networks) {
			prefixes = append(prefixes, netip.MustParsePrefix(text))
		}
		n, ok := NewNetworks(tt.operator, prefixes)
		if got := n.Holds(netip.MustParseAddr(tt.address)); !ok || got != tt.want || n.Negated() != strings.HasPrefix(tt.operator, "NOT") {
			t.Errorf("%s %s %s: got %v, want %v", tt.address, tt.operator, tt.networks, got, tt.want)
		}
	}
	if _, ok := NewNetworks("EQUALS", nil); ok {
		t.Error("EQUALS is an IP operator")
	}
}

func TestNumber(t *testing.T) {
	t.Parallel()
	want := map[string][3]bool{ // for 9, 10 and 11 against 10
		"EQUALS": {false, true, false}, "NOT_EQUALS": {true, false, true},
		"LESS_THAN": {true, false, false}, "LESS_THAN_OR_EQUAL": {true, true, false},
		"GREATER_THAN": {false, false, true}, "GREATER_THAN_OR_EQUAL": {false, true, true},
	}
	for operator, results := range want {
		n, ok := NewNumber(operator, 10)
		for i, number := range []float64{9, 10, 11} {
			if got := n.Holds(number); !ok || got != results[i] {
				t.Errorf("%v %s 10: got %v, want %v", number, operator, got, results[i])
			}
		}
	}
	if _, ok := NewNumber("IS", 1); ok {
		t.Error("IS is a number operator")
	}
}

func TestBoolean(t *testing.T) {
	t.Parallel()
	for operator, want := range map[string][2]bool{"IS_TRUE": {true, true}, "IS_FALSE": {false, true}, "TRUE": {false, false}, "": {false, false}} {
		if got, ok := NewBoolean(operator); got != want[0] || ok != want[1] {
			t.Errorf("%q: got %v, %v, want %v", operator, got, ok, want)
		}
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	conform.Check(t, "C4")
	tests := []struct {
		operator, version string
		want              [3]bool // in clear, TLS 1.2, TLS 1.3
	}{
		{"MINIMUM_TLS_VERSION", "TLS1_2", [3]bool{false, true, true}},
		{"MINIMUM_TLS_VERSION", "TLS1_3", [3]bool{false, false, true}},
		{"IS", "TLS1_2", [3]bool{false, true, false}},
		{"IS", "TLS1_3", [3]bool{false, false, true}},
	}
	for _, tt := range tests {
		c, ok := NewTLS(tt.operator, tt.version)
		for i, version := range []string{"", "TLS1_2", "TLS1_3"} { // Mail Manager, C4
			if got := c.Holds(version); !ok || got != tt.want[i] {
				t.Errorf("%q %s %s: got %v, want %v", version, tt.operator, tt.version, got, tt.want[i])
			}
		}
	}
	for _, bad := range [][2]string{{"IS", ""}, {"IS", "TLS1_1"}, {"", "TLS1_2"}, {"EQUALS", "TLS1_2"}} {
		if _, ok := NewTLS(bad[0], bad[1]); ok {
			t.Errorf("%s %s compiles", bad[0], bad[1])
		}
	}
}
