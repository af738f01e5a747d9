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
