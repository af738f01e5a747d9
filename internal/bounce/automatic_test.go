package bounce

import (
	"testing"

	"sluice/internal/message"
)

func TestAutomatic(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, header string
		want         bool
	}{
		{"a person", "From: jo@example.com\r\nSubject: List-Id: a\r\n", false},
		{"empty", "", false},
		{"said to be a person", "Auto-Submitted: no\r\n", false},
		{"said so in another case", "auto-submitted:  No (by hand); a=b\r\n", false},
		{"said so in the body", "\r\nAuto-Submitted: auto-replied\r\n", false},
		{"first class", "Precedence: first-class\r\n", false},
		{"a field that only begins so", "Lists: a\r\nList-: b\r\nX-List-Id: c\r\n", false},
		{"a vacation message", "Auto-Submitted: auto-replied\r\n", true},
		{"a monitor", "AUTO-SUBMITTED: Auto-Generated; owner-email=\"a@b\"\r\n", true},
		{"unknown word", "Auto-Submitted: nobody-knows\r\n", true},
		{"no word", "Auto-Submitted:\r\n", true},
		{"said twice", "Auto-Submitted: no\r\nAuto-Submitted: auto-replied\r\n", true},
		{"folded", "Auto-Submitted:\r\n\tauto-replied\r\n", true},
		{"bulk", "Precedence: bulk\r\n", true},
		{"list", "precedence: LIST\r\n", true},
		{"junk", "Precedence: junk; a\r\n", true},
		{"id of a list", "From: a@b\r\nList-Id: <a.b>\r\n", true},
		{"way out of a list", "list-unsubscribe: <mailto:a@b>\r\n", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := Automatic(message.Header(tt.header)); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

// FuzzAutomatic: a header section is automatic when one of its fields alone is.
func FuzzAutomatic(f *testing.F) {
	f.Add([]byte("Auto-Submitted: no\r\nPrecedence: bulk\r\n\r\nList-Id: a"))
	f.Add([]byte("List-\r\nAuto-Submitted:\r\n =?utf-8?q?no?=\r\n"))
	f.Fuzz(func(t *testing.T, section []byte) {
		want := false
		for field := range message.Header(section).Fields() {
			want = want || Automatic(message.Header(section[field.From:field.To]))
		}
		if got := Automatic(message.Header(section)); got != want {
			t.Fatalf("got %v, want %v", got, want)
		}
	})
}
