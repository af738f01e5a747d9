package ledger

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// entries makes a ledger of "mark key" lines.
func entries(lines ...string) *Ledger {
	l := New()
	for _, line := range lines {
		word, key, _ := strings.Cut(line, " ")
		for m, name := range markNames {
			if name == word {
				l.Add(key, Mark(m))
			}
		}
	}
	return l
}

func TestCompare(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name        string
		sent, taken *Ledger
		want        Report
		err         string
	}{
		{"nothing", entries(), entries(), Report{}, ""},
		{"all arrived", entries("accepted a", "accepted b"), entries("arrived a", "arrived b"), Report{Sent: 2, Arrived: 2}, ""},
		{"refused and not arrived", entries("refused a"), entries(), Report{}, ""},
		{"uncertain and not arrived", entries("uncertain a"), entries(), Report{}, ""},
		{"uncertain and arrived", entries("uncertain a"), entries("arrived a"), Report{Arrived: 1}, ""},
		{"refused at first", entries("refused a", "accepted a"), entries("arrived a"), Report{Sent: 1, Arrived: 1}, ""},
		{"came again after a lost reply", entries("accepted a"), entries("unanswered a", "arrived a"),
			Report{Sent: 1, Arrived: 1, Repeated: []string{"a"}}, ""},
		{"missing", entries("accepted a", "accepted b"), entries("arrived b"), Report{Sent: 2, Arrived: 1, Missing: []string{"a"}}, "1 missing (a)"},
		{"never answered", entries("accepted a"), entries("unanswered a"), Report{Sent: 1, Arrived: 1, Missing: []string{"a"}}, "1 missing"},
		{"twice", entries("accepted a"), entries("arrived a", "arrived a"), Report{Sent: 1, Arrived: 1, Twice: []string{"a"}}, "1 twice"},
		{"twice after a lost reply", entries("accepted a"), entries("unanswered a", "arrived a", "arrived a"),
			Report{Sent: 1, Arrived: 1, Twice: []string{"a"}}, "1 twice"},
		{"twice though uncertain", entries("uncertain a"), entries("arrived a", "arrived a"), Report{Arrived: 1, Twice: []string{"a"}}, "1 twice"},
		{"refused and arrived", entries("refused a"), entries("arrived a"), Report{Arrived: 1, Refused: []string{"a"}}, "1 refused and yet arrived"},
		{"never sent", entries(), entries("arrived a"), Report{Arrived: 1, Unknown: []string{"a"}}, "1 never sent"},
		{"damaged", entries("accepted a"), entries("damaged a"), Report{Sent: 1, Arrived: 1, Damaged: []string{"a"}}, "1 damaged"},
		{"came back", entries("accepted a", "accepted b"), entries("bounced a", "arrived b"), Report{Sent: 2, Arrived: 1, Bounced: 1}, ""},
		{"uncertain and came back", entries("uncertain a"), entries("bounced a"), Report{}, ""},
		{"arrived and came back", entries("accepted a"), entries("arrived a", "bounced a"), Report{Sent: 1, Arrived: 1, Both: []string{"a"}}, "1 arrived and came back"},
		{"came back twice", entries("accepted a"), entries("bounced a", "bounced a"), Report{Sent: 1, Bounced: 1, ToldMore: []string{"a"}}, "1 told of more than once"},
		{"came back after it was not answered", entries("accepted a"), entries("unanswered a", "bounced a"), Report{Sent: 1, Arrived: 1}, ""},
		{"held", entries("accepted a"), entries("held a"), Report{Sent: 1, Held: 1}, ""},
		{"queued", entries("accepted a"), entries("queued a"), Report{Sent: 1, Queued: 1}, ""},
		{"refused and came back", entries("refused a"), entries("bounced a"), Report{Refused: []string{"a"}}, "1 refused and yet"},
		{"long lists", entries("accepted a", "accepted b", "accepted c", "accepted d"), entries(),
			Report{Sent: 4, Missing: []string{"a", "b", "c", "d"}}, "4 missing (a, b, c, …)"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := Compare(test.sent, test.taken)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("report (-want +got):\n%s", diff)
			}
			switch err := got.Err(); {
			case test.err == "" && err != nil:
				t.Errorf("got %v, want agreement", err)
			case test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)):
				t.Errorf("got %v, want %q", err, test.err)
			}
		})
	}
}

func TestSaveAndLoad(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "ledger")
	l := entries("arrived b", "arrived b", "unanswered b", "accepted a/x y@example.net", "damaged c")
	if err := l.Save(name); err != nil {
		t.Fatal(err)
	}
	again, err := Load(name)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(l.entries, again.entries); diff != "" {
		t.Errorf("-saved +loaded:\n%s", diff)
	}
	if got := again.Total(Arrived); got != 2 || again.Len() != 3 {
		t.Errorf("got %d arrived of %d deliveries, want 2 of 3", got, again.Len())
	}
	if diff := cmp.Diff([]string{"b"}, again.Keys(Unanswered)); diff != "" {
		t.Errorf("unanswered (-want +got):\n%s", diff)
	}
}

func TestMerge(t *testing.T) {
	t.Parallel()
	l := entries("accepted a", "arrived b")
	l.Merge(entries("accepted a", "refused c"))
	want := entries("accepted a", "accepted a", "arrived b", "refused c")
	if diff := cmp.Diff(want.entries, l.entries); diff != "" || l.Total(Accepted) != 2 {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestLoadRefuses(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"unknown mark": "arrived a\nlost b\n",
		"no key":       "arrived\n",
		"empty line":   "arrived a\n\n",
	} {
		file := filepath.Join(t.TempDir(), "ledger")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(file); err == nil || !strings.Contains(err.Error(), "not a line") {
			t.Errorf("%s: got %v, want a refusal", name, err)
		}
	}
	if _, err := Load(filepath.Join(t.TempDir(), "none")); !os.IsNotExist(err) {
		t.Errorf("got %v for a file that is not there", err)
	}
}

func TestBalance(t *testing.T) {
	t.Parallel()
	sent := entries("accepted a", "accepted b", "accepted c", "accepted d", "uncertain e", "refused f")
	rest := []string{"bounced b", "held c", "queued d", "arrived e"}
	tests := []struct {
		name  string
		taken []string
		err   string
	}{
		{"adds up", append([]string{"arrived a", "arrived a"}, rest...), ""},
		{"arrived and waits all the same", append([]string{"arrived a", "unanswered a", "queued a"}, rest...), ""},
		{"one is lost", rest, "1 missing (a)"},
		{"told of what arrived", append([]string{"arrived a", "bounced a"}, rest...), "1 arrived and came back (a)"},
		{"refused", append([]string{"arrived a", "arrived f"}, rest...), "1 refused and yet arrived (f)"},
		{"never sent", append([]string{"arrived a", "arrived z"}, rest...), "1 never sent (z)"},
		{"never sent and held", append([]string{"arrived a", "held z"}, rest...), "1 never sent (z)"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			line, err := Compare(sent, entries(test.taken...)).Balance()
			if test.err == "" && err != nil || test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)) {
				t.Errorf("got %v, want %q", err, test.err)
			}
			if want := "accepted 4 = delivered 1 + bounced 1 + held 1 + queued 1; came more than once: 1, told of more than once: 0"; test.err == "" && line != want {
				t.Errorf("got  %s\nwant %s", line, want)
			}
		})
	}
}
