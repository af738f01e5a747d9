package smtpclient

import (
	"testing"

	"sluice/internal/smtp"
)

func TestParseExtensions(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, text string
		want       extensions
	}{
		{"nothing", "host", extensions{}},
		{"keyword in the first line", "PIPELINING", extensions{}},
		{"any case", "host\npipelining\n8BitMime\nSmtpUtf8", extensions{pipelining: true, eightBit: true, utf8: true}},
		{"keyword within a word", "host\nXPIPELINING\nPIPELININGX\n X", extensions{}},
		{"TLS", "host\nStartTLS", extensions{startTLS: true}},
		{"TLS within a word", "host\nXSTARTTLS", extensions{}},
		{"mechanisms", "host\nAUTH plain LOGIN\nAUTH GSSAPI", extensions{auth: " PLAIN LOGIN GSSAPI"}},
		{"mechanisms in the old spelling", "host\nAUTH=PLAIN LOGIN", extensions{}},
		{"notifications", "host\nDSN", extensions{dsn: true}},
		{"chunks", "host\nCHUNKING\nBINARYMIME", extensions{chunking: true}},
		{"size", "host\nSIZE 52428800", extensions{size: true, maxSize: 52428800}},
		{"size without a limit", "host\nSIZE", extensions{size: true}},
		{"size zero", "host\nSIZE 0", extensions{size: true}},
		{"size negative", "host\nSIZE -1", extensions{size: true}},
		{"size no number", "host\nSIZE lots", extensions{size: true}},
		{"size beyond int64", "host\nSIZE 99999999999999999999", extensions{size: true, maxSize: 1<<63 - 1}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := parseExtensions(&smtp.Reply{Code: 250, Text: test.text}); got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}
