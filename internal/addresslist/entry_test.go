package addresslist

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"sluice/internal/conform"
	"sluice/internal/mailmanager"
)

func TestParse(t *testing.T) {
	t.Parallel()
	conform.Check(t, "F12", "C2")
	for _, tt := range []struct{ name, in, want string }{
		{"address", "jo@example.org", "jo@example.org"},
		{"case of all of it (C2)", "Jo@Example.ORG", "jo@example.org"},
		{"quotes without need (S7)", `"jo"@example.org`, "jo@example.org"},
		{"quotes with need (S7)", `"Jo Q. \"Public"@example.org`, `jo q. "public@example.org`},
		{"at sign in quotes", `"jo@home"@example.org`, "jo@home@example.org"},
		{"U-label (S24)", "jo@Bücher.example", "jo@bÜcher.example"},
		{"A-label (S24)", "jo@xn--bcher-kva.example", "jo@bÜcher.example"},
		{"address literal", "jo@[192.0.2.1]", "jo@[192.0.2.1]"},
		{"one label", "jo@localhost", "jo@localhost"},
		{"domain", "Example.org", "@example.org"},
		{"domain of one label", "localhost", "@localhost"},
		{"domain after an at sign", "@example.org", "@example.org"},
		{"everyone of a domain", "*@example.org", "@example.org"},
		{"subdomains", "*.example.org", "*.example.org"},
		{"subdomains, nine labels", "*.a.b.c.d.e.f.g.h.i", "*.a.b.c.d.e.f.g.h.i"},
		{"subdomains, A-label", "*.XN--bcher-kva.example", "*.bÜcher.example"},
		{"one of subdomains", "Local@*.Domain1.com", "local@*.domain1.com"},
		{"one of subdomains, quoted", `"a b"@*.domain1.com`, "a b@*.domain1.com"},
		{"beginning", "123*@domain.com", "123*@domain.com"},
		{"beginning, the longest", "1234567890123456789*@domain.com", "1234567890123456789*@domain.com"},
		{"beginning that ends with a dot", "jo.*@example.org", "jo.*@example.org"},
		{"end", "*.smith@example.org", "*.smith@example.org"},
		{"beginning and end", "j*th@example.org", "j*th@example.org"},
		{"beginning in letters of three octets", "日本語*@example.org", "日本語*@example.org"},
		{"three characters", "a.b", "@a.b"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := Parse(tt.in)
			if err != nil || got.Key() != tt.want {
				t.Errorf("got %q, %v, want %q", got.Key(), err, tt.want)
			}
			if again := FromKey(got.Key()); again != got {
				t.Errorf("got %v from the key, want %v", again, got)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 60) + "." + strings.Repeat("b", 60) + "." + strings.Repeat("c", 60) + "." + strings.Repeat("d", 60)
	for _, tt := range []struct{ name, in, why string }{
		{"nothing", "", whyLength},
		{"two characters", "a@", whyLength},
		{"321 characters", strings.Repeat("a", 321), whyLength},
		{"path too long", strings.Repeat("a", 64) + "@" + long, whyForm},
		{"local part too long", strings.Repeat("a", 65) + "@example.org", whyForm},
		{"two asterisks", "a*bc*@example.org", whyAsterisk},
		{"asterisks on both sides", "*@*.example.org", whyAsterisk},
		{"asterisk in quotes", `"abc*"@example.org`, whyAsterisk},
		{"one character around", "a*@example.org", whyAround},
		{"two characters around", "a*b@example.org", whyAround},
		{"two characters around, of six octets", "日*本@example.org", whyAround},
		{"twenty characters around", "12345678901*123456789@example.org", whyAround},
		{"subdomains of one label", "*.com", whyLabels},
		{"subdomains of ten labels", "*.a.b.c.d.e.f.g.h.i.j", whyLabels},
		{"one of subdomains of one label", "local@*.com", whyLabels},
		{"asterisk within a label", "local@a*.example.org", whyLabels},
		{"asterisk in the middle", "local@a.*.example.org", whyLabels},
		{"asterisk at the end", "local@example.*", whyLabels},
		{"asterisk for the domain", "local@*", whyLabels},
		{"asterisk for everything", "***", whyAsterisk},
		{"asterisk within a domain", "exam*ple.org", whyLabels},
		{"subdomains of a literal", "*.[192.0.2.1]", whyLabels},
		{"subdomains after an at sign", "@*.example.org", whyForm},
		{"no domain", "local@", whyForm},
		{"asterisk without a domain", "abc*@", whyForm},
		{"empty label", "local@example..org", whyForm},
		{"empty label below", "*.example..org", whyForm},
		{"dots at the beginning", ".abc*@example.org", whyForm},
		{"dots at the end", "*abc.@example.org", whyForm},
		{"space", "jo smith@example.org", whyForm},
		{"space around", " jo@example.org", whyForm},
		{"brackets", "<jo@example.org>", whyForm},
		{"display name", "Jo <jo@example.org>", whyForm},
		{"source route", "@a.example:jo@example.org", whyForm},
		{"control", "jo\x00@example.org", whyForm},
		{"line end", "jo@example.org\n", whyForm},
		{"not UTF-8", "jo\xff@example.org", whyForm},
		{"quote that does not close", `"jo@example.org`, whyForm},
		{"literal that is none", "jo@[192.0.2.999]", whyForm},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := Parse(tt.in)
			known, ok := errors.AsType[*mailmanager.Error](err)
			if !ok || known.Code != mailmanager.CodeValidation || got != (Entry{}) {
				t.Fatalf("got %q, %v, want a ValidationException", got.Key(), err)
			}
			if want := "1 validation error detected: Value at 'address' failed to satisfy constraint: " + tt.why; known.Message != want {
				t.Errorf("got %s, want %s", known.Message, want)
			}
		})
	}
}

// FuzzParse: bounded, and a member that is spelled by its key is the same member, as far as a key can be parsed: it has no
// quotes, and may be shorter or longer than a member.
func FuzzParse(f *testing.F) {
	for _, text := range []string{
		"jo@example.org", `"jo @ home"@example.org`, "*@example.org", "@Example.ORG", "*.example.org", "local@*.a.b", "123*456@example.org",
		"jo@xn--bcher-kva.example", "ſS*K@example.org", "*.xn--p1ai.example", "jo@[IPv6:2001:db8::1]", "a*\xff@b",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		e, err := Parse(text)
		if err != nil {
			if e != (Entry{}) || len(err.Error()) > 200 {
				t.Fatalf("got %q, %v", e.Key(), err)
			}
			return
		}
		if len(e.Key()) > maxKeyOctets || !utf8.ValidString(e.Key()) {
			t.Fatalf("%q: key %q", text, e.Key())
		}
		if again, err := Parse(e.Key()); err == nil && again != e {
			t.Fatalf("%q: got %q, then %q", text, e.Key(), again.Key())
		}
		l := New()
		if !l.Add(e) || l.Add(FromKey(e.Key())) || l.Len() != 1 || !l.Remove(e) || l.Remove(e) || l.Len() != 0 {
			t.Fatalf("%q: added and removed wrong", text)
		}
	})
}
