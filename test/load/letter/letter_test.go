package letter

import (
	"bytes"
	"strings"
	"testing"
)

// arrive makes content of what goes over the wire: dots undone.
func arrive(m *Maker, id string) []byte {
	head, rest := m.Wire(id)
	return bytes.ReplaceAll(append(bytes.Clone(head), rest...), []byte("\n.."), []byte("\n."))
}

func TestRead(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 300, 10_240, 1_000_000} {
		m := NewMaker(size, "a@example.org", "b@example.net")
		content := arrive(m, "x-17")
		if len(content) > max(size, 300)+30 || len(content) < size || !bytes.HasSuffix(content, []byte("\r\n")) {
			t.Errorf("size %d: got %d octets, ending in %q", size, len(content), content[len(content)-5:])
		}
		if id, whole := Read(content); id != "x-17" || !whole {
			t.Errorf("size %d: got %q, %v", size, id, whole)
		}
		if id, whole := Read(append([]byte("Received: by a relay\r\n"), content...)); id != "x-17" || !whole {
			t.Errorf("size %d with a field on top: got %q, %v", size, id, whole)
		}
	}
}

func TestReadFindsDamage(t *testing.T) {
	t.Parallel()
	content := arrive(NewMaker(10_240, "a@example.org", "b@example.net"), "x-17")
	other := arrive(NewMaker(10_240, "a@example.org", "b@example.net"), "x-18")
	text := string(content)
	tests := []struct{ name, in, id string }{
		{"a dot lost", strings.Replace(text, "\r\n.", "\r\n", 1), "x-17"},
		{"a dot doubled", strings.Replace(text, "\r\n.", "\r\n..", 1), "x-17"},
		{"cut short", text[:len(text)-lineOctets], "x-17"},
		{"an octet changed", text[:len(text)-4] + "\x00" + text[len(text)-3:], "x-17"},
		{"bare LF", strings.ReplaceAll(text, "\r\n-", "\n-"), "x-17"},
		{"another's body", text[:strings.Index(text, "\r\n\r\n")] + string(other[bytes.Index(other, []byte("\r\n\r\n")):]), "x-17"},
		{"no id", strings.Replace(text, "X-Load-Id", "X-Other-Id", 1), ""},
		{"no body", text[:strings.Index(text, "\r\n\r\n")], ""},
		{"nothing", "", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if id, whole := Read([]byte(test.in)); id != test.id || whole {
				t.Errorf("got %q, %v; want %q and damage", id, whole, test.id)
			}
		})
	}
}

func TestWireIsStuffed(t *testing.T) {
	t.Parallel()
	head, rest := NewMaker(10_240, "a@example.org", "b@example.net").Wire("x")
	wire := append(head, rest...)
	if bytes.Contains(wire, []byte("\r\n.\r\n")) || !bytes.Contains(wire, []byte("\r\n..")) {
		t.Error("the wire form is not dot-stuffed")
	}
}
