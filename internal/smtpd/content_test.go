package smtpd

import (
	"strings"
	"testing"
)

// TestCheckContent holds that content which is looked at as a whole is refused as it is in a session.
func TestCheckContent(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, text string
		code       int // 0: taken
	}{
		{"empty", "", 0},
		{"a message", "Subject: x\r\n\r\nBody\r\n", 0},
		{"as large as it may be", "\r\n" + strings.Repeat("x", 94) + "\r\n\r\n", 0},
		{"larger", "\r\n" + strings.Repeat("x", 95) + "\r\n\r\n", 552},
		{"bare LF", "Subject: x\n\r\n", 554},
		{"bare CR", "Subject: x\ry\r\n", 554},
		{"a line too long", strings.Repeat("x", maxLineOctets+1) + "\r\n", 554},
		{"a routing loop", strings.Repeat("Received: x\r\n", maxReceived+1), 554},
		{"a field folded too often", "Subject: x\r\n" + strings.Repeat(" x\r\n", maxFoldedLines+1), 552},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			most := int64(100)
			if test.code == 554 || strings.HasPrefix(test.name, "a ") {
				most = 1 << 20
			}
			code := 0
			if reply := CheckContent([]byte(test.text), most); reply != nil {
				code = reply.Code
			}
			if code != test.code {
				t.Errorf("got %d, want %d", code, test.code)
			}
		})
	}
}
