package addresslist

import (
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"sluice/internal/conform"
)

// model is a list as section 8 of Mail Manager describes it, without any thought of time: each member is an expression.
type model map[string]*regexp.Regexp

// expression says of a key what it matches.
func expression(key string) *regexp.Regexp {
	at := strings.LastIndexByte(key, '@')
	local, domain := ".*", regexp.QuoteMeta(key[at+1:])
	if at > 0 {
		local = strings.ReplaceAll(regexp.QuoteMeta(key[:at]), `\*`, ".*")
	}
	domain = strings.Replace(domain, `\*\.`, `[^@]+\.`, 1)
	return regexp.MustCompile(`^(?s:` + local + `@` + domain + `)$`)
}

func (m model) contains(address string) bool {
	for _, e := range m {
		if e.MatchString(address) {
			return true
		}
	}
	return false
}

// Few letters, so that addresses and members meet.
var (
	drawnLabel  = rapid.SampledFrom([]string{"a", "b", "A", "xn--bcher-kva", "bücher", "Bücher"})
	drawnDomain = rapid.Map(rapid.SliceOfN(drawnLabel, 1, 11), func(labels []string) string { return strings.Join(labels, ".") })
	drawnBelow  = rapid.Map(rapid.SliceOfN(drawnLabel, minLabels, maxLabels), func(labels []string) string { return "*." + strings.Join(labels, ".") })
	drawnLocal  = rapid.StringOfN(rapid.RuneFrom([]rune("aaaabBü")), 1, 24, -1)
)

// drawnPattern is a local part with an asterisk.
func drawnPattern(t *rapid.T) string {
	around := []rune(rapid.StringOfN(rapid.RuneFrom([]rune("aaaabBü")), minAround, maxAround, -1).Draw(t, "around"))
	at := rapid.IntRange(0, len(around)).Draw(t, "asterisk")
	return string(around[:at]) + "*" + string(around[at:])
}

func drawnMember(t *rapid.T) string {
	domain := drawnDomain.Draw(t, "domain")
	switch rapid.IntRange(0, 6).Draw(t, "form") {
	case 0:
		return "@" + domain
	case 1:
		return "*@" + domain
	case 2:
		return drawnBelow.Draw(t, "below")
	case 3:
		return drawnLocal.Draw(t, "local") + "@" + drawnBelow.Draw(t, "below")
	case 4, 5:
		return drawnPattern(t) + "@" + domain
	}
	return drawnLocal.Draw(t, "local") + "@" + domain
}

// TestListIsItsModel: whatever is added and removed, in whatever order, an address is in the list when one of its members
// says so.
func TestListIsItsModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		list, model := New(), model{}
		var keys []string
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				e, err := Parse(drawnMember(t))
				if err != nil {
					t.Skip(err)
				}
				_, there := model[e.Key()]
				if got := list.Add(e); got == there {
					t.Fatalf("add %q: got %v", e.Key(), got)
				}
				if !there {
					keys = append(keys, e.Key())
				}
				model[e.Key()] = expression(e.Key())
			},
			"remove": func(t *rapid.T) {
				if len(keys) == 0 {
					t.Skip("nothing is there")
				}
				key := rapid.SampledFrom(keys).Draw(t, "key")
				_, there := model[key]
				if got := list.Remove(FromKey(key)); got != there {
					t.Fatalf("remove %q: got %v", key, got)
				}
				delete(model, key)
			},
			"contains": func(t *rapid.T) {
				local := drawnLocal.Draw(t, "local")
				domain := drawnDomain.Draw(t, "domain")
				if len(keys) > 0 && rapid.Bool().Draw(t, "near") {
					local, domain = near(t, rapid.SampledFrom(keys).Draw(t, "key"), local, domain)
				}
				address := AppendFolded(nil, local+"@"+domain)
				if got, want := list.Contains(address), model.contains(string(address)); got != want {
					t.Fatalf("%q: got %v, want %v", address, got, want)
				}
			},
			"": func(t *rapid.T) {
				if list.Len() != len(model) {
					t.Fatalf("got %d members, want %d", list.Len(), len(model))
				}
			},
		})
	})
}

// near makes an address that a member is about, or nearly is: what the member leaves open is taken from what was drawn.
func near(t *rapid.T, key, local, domain string) (string, string) {
	at := strings.LastIndexByte(key, '@')
	theirs := key[at+1:]
	if at > 0 {
		local = strings.Replace(key[:at], "*", rapid.SampledFrom([]string{"", local}).Draw(t, "between"), 1)
	}
	return local, strings.Replace(theirs, "*", rapid.SampledFrom([]string{"a", domain, ""}).Draw(t, "above"), 1)
}

// TestForms shows what members match, one by one.
func TestForms(t *testing.T) {
	t.Parallel()
	conform.Check(t, "F12")
	for _, tt := range []struct {
		member    string
		matches   []string
		otherwise []string
	}{
		{"jo@example.org",
			[]string{"jo@example.org", "JO@EXAMPLE.org", `"jo"@example.org`},
			[]string{"jo+tag@example.org", "joe@example.org", "o@example.org", "jo@a.example.org", "jo@example.or", "jo", "example.org", "", "@", "@example.org"}},
		{"jo@bücher.example",
			[]string{"jo@BÜCHER.example", "jo@xn--bcher-kva.example", "jo@XN--BCHER-KVA.EXAMPLE"},
			[]string{"jo@bucher.example", "jo@xn--bcher-kva.a.example"}},
		{"example.org",
			[]string{"jo@example.org", "JO@Example.Org", `"a @ b"@example.org`},
			[]string{"jo@a.example.org", "jo@example.org.a", "example.org@a", `"@example.org"@a`}},
		{"*.example.org",
			[]string{"jo@a.example.org", "jo@b.a.example.org", "jo@A.EXAMPLE.ORG"},
			[]string{"jo@example.org", "jo@aexample.org", "jo@.example.org", "jo@a.example.org.b", "a.example.org@example.net"}},
		{"jo@*.example.org",
			[]string{"jo@a.example.org", "JO@b.a.example.org"},
			[]string{"jo@example.org", "joe@a.example.org", "ajo@a.example.org", "@a.example.org"}},
		{"user*@example.org",
			[]string{"user@example.org", "user+tag@example.org", "USERS@example.org", `"user *"@example.org`},
			[]string{"use@example.org", "auser@example.org", "user@a.example.org", "user+tag@example.com"}},
		{"*-bounces@example.org",
			[]string{"-bounces@example.org", "a-bounces@example.org", "a@b-bounces@example.org"},
			[]string{"bounces@example.org", "a-bounces@a.example.org", "a-bouncesa@example.org"}},
		{"aba*aba@example.org",
			[]string{"abaaba@example.org", "aba-aba@example.org", "ababaaba@example.org"},
			[]string{"aba@example.org", "ababa@example.org", "abaab@example.org"}},
		{"日本語*@example.org",
			[]string{"日本語@example.org", "日本語a@example.org"},
			[]string{"日本@example.org", "日本誌@example.org"}},
	} {
		list := New()
		e, err := Parse(tt.member)
		if err != nil {
			t.Fatal(err)
		}
		list.Add(e)
		for _, address := range tt.matches {
			if !list.Contains(AppendFolded(nil, address)) {
				t.Errorf("%s does not match %q", tt.member, address)
			}
		}
		for _, address := range tt.otherwise {
			if list.Contains(AppendFolded(nil, address)) {
				t.Errorf("%s matches %q", tt.member, address)
			}
		}
	}
}
