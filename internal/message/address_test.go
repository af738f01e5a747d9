package message

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func mailboxes(raw string) []string {
	var all []string
	for m := range Mailboxes([]byte(raw)) {
		all = append(all, string(m))
	}
	return all
}

func addresses(raw string) []string {
	var all []string
	for m := range Mailboxes([]byte(raw)) {
		all = append(all, string(AppendAddress(nil, m)))
	}
	return all
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		in   string
		want string // separated by |
	}{
		{"bare", " jo@example.org", "jo@example.org"},
		{"in brackets", "<jo@example.org>", "jo@example.org"},
		{"with a name", "Jo Smith <jo@example.org>", "jo@example.org"},
		{"two", "jo@example.org, Al <al@example.org>", "jo@example.org|al@example.org"},
		{"empty elements", ", jo@example.org,, ,al@example.org,", "jo@example.org|al@example.org"},
		{"folded", "Jo\r\n <jo@example.org>,\r\n\tal@example.org", "jo@example.org|al@example.org"},
		{"comma in a quoted name", `"Smith, Jo" <jo@example.org>`, "jo@example.org"},
		{"brackets in a quoted name", `"<evil@example.net>" <jo@example.org>`, "jo@example.org"},
		{"escaped quote in a quoted name", `"a\", <evil@example.net>" <jo@example.org>`, "jo@example.org"},
		{"comment", "jo(a, b)@example.org (Jo)", "jo@example.org"},
		{"comment in a comment", "jo@example.org (a (b, c) d), al@example.org", "jo@example.org|al@example.org"},
		{"escaped parenthesis in a comment", `jo@example.org (a \) b), al@example.org`, "jo@example.org|al@example.org"},
		{"comment in brackets", "<jo@example.org(a>b)>", "jo@example.org"},
		{"blanks in brackets", "< jo @ example.org >", "jo@example.org"},
		{"group", "team: jo@example.org, al@example.org; bo@example.org", "jo@example.org|al@example.org|bo@example.org"},
		{"empty group", "undisclosed recipients:;", ""},
		{"group without end", "team: jo@example.org", "jo@example.org"},
		{"source route", "<@a.example,@b.example:jo@example.org>", "jo@example.org"},
		{"source route with a literal", "<@[IPv6:::1]:jo@example.org>", "jo@example.org"},
		{"route without colon", "<@a.example>", "@a.example"},
		{"address literal", "jo@[IPv6:2001:db8::1], al@[192.0.2.1]", "jo@[IPv6:2001:db8::1]|al@[192.0.2.1]"},
		{"quoted local part", `"jo smith"@example.org`, `"jo smith"@example.org`},
		{"quoted local part in brackets", `Jo <"jo, smith>"@example.org>`, `"jo, smith>"@example.org`},
		{"unclosed quote is a character", `"jo@example.org, al@example.org`, `"jo@example.org|al@example.org`},
		{"unclosed comment is a character", "jo@example.org (a, al@example.org", "jo@example.org(a|al@example.org"},
		{"unclosed bracket is a character", "Jo <jo@example.org, al@example.org", "Jo<jo@example.org|al@example.org"},
		{"unclosed literal is a character", "jo@[192.0.2.1, al@example.org", "jo@[192.0.2.1|al@example.org"},
		{"unclosed quote in brackets", `<"jo@example.org>, al@example.org`, `"jo@example.org|al@example.org`},
		{"two in brackets: the first", "<jo@example.org> <al@example.org>", "jo@example.org"},
		{"null", "<>", ""},
		{"no address", "Jo Smith", "JoSmith"},
		{"nothing", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := strings.Join(addresses(tt.in), "|"); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestMailboxesKeepTheDisplayForm(t *testing.T) {
	t.Parallel()
	got := mailboxes(`team: "Smith, Jo" <jo@example.org> (x), =?utf-8?q?B=2C_o?= <bo@example.org>;`)
	want := []string{`"Smith, Jo" <jo@example.org> (x)`, `=?utf-8?q?B=2C_o?= <bo@example.org>`}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for range Mailboxes([]byte("a, b")) {
		break // stops without another call
	}
}

func TestUnquoted(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, in, want string }{
		{"plain", "jo@example.org", "jo@example.org"},
		{"quoted for nothing", `"jo"@example.org`, "jo@example.org"},
		{"quoted", `"jo smith"@example.org`, "jo smith@example.org"},
		{"escaped", `"j\o\"\\"@example.org`, `jo"\@example.org`},
		{"empty", `""@example.org`, "@example.org"},
		{"unclosed", `"jo@example.org`, `"jo@example.org`},
		{"closing quote escaped", `"jo\"@example.org`, `"jo\"@example.org`},
		{"quote within", `jo"x"@example.org`, `jo"x"@example.org`},
		{"null", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := Unquoted(tt.in); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestMailboxesAreLinear(t *testing.T) {
	t.Parallel()
	for _, part := range []string{`"`, `\"`, `"\"`, "(", "<", "[", `<"`, `<(`, "<[", "a,", ":", "(\\", "<()", `"a" `, "((((<"} {
		in := strings.Repeat(part, MaxHeaderOctets/len(part))
		start := time.Now()
		addresses(in)
		if took := time.Since(start); took > 3*time.Second { // takes 20 ms; quadratic time would be minutes
			t.Errorf("%q: took %v", part, took)
		}
	}
}

// FuzzMailboxes: bounded, and a well-formed list that is written from its mailboxes reads as the same mailboxes.
func FuzzMailboxes(f *testing.F) {
	for _, seed := range []string{
		"a@b, c <d@e>", `"a, b" <c@d>`, "g: a, b;", "a (b (c)) <d>", `<"a>b"@c>`, "<@a,@b:c@d>", `"a, b`, "(a, b", "a@[b:c], d", `\",`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		all := mailboxes(string(raw))
		if total := len(strings.Join(all, "")); total > len(raw) {
			t.Fatalf("got %d octets of mailboxes of %d", total, len(raw))
		}
		for _, m := range all {
			address := string(AppendAddress([]byte("x"), []byte(m)))
			if len(address) > len(m)+1 || address[0] != 'x' {
				t.Fatalf("got address %q of %q", address, m)
			}
			if u := Unquoted(address[1:]); len(u) > len(address) {
				t.Fatalf("got %q of %q", u, address)
			}
		}
		if closedIn(raw) != quotes|comments|literals|angles {
			return // what is left out may have held the other half
		}
		if again := mailboxes(strings.Join(all, ", ")); !slices.Equal(again, all) {
			t.Fatalf("got %q read again, want %q", again, all)
		}
	})
}
