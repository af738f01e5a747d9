package message

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"sluice/internal/conform"
	"sluice/internal/smtp"
)

var receivedAt = time.Date(2026, 8, 2, 17, 4, 5, 0, time.FixedZone("", 2*60*60))

func received(change func(*Received)) Received {
	r := Received{
		Session: &Session{Hello: "mail.example.org", Client: netip.MustParseAddrPort("192.0.2.1:4711"), Extended: true},
		By:      "abc.mail-manager-smtp.localhost", ID: NewID(time.Unix(0, 0)), Date: receivedAt,
		Recipients: []Recipient{{Path: smtp.Path{Received: "jo@example.com", Local: "jo", Domain: "example.com"}}},
	}
	change(&r)
	return r
}

func TestReceived(t *testing.T) {
	t.Parallel()
	conform.Check(t, "E1")
	tests := []struct {
		name   string
		change func(*Received)
		want   string // ID and date stand for themselves
	}{
		{"usual", func(*Received) {},
			"Received: from mail.example.org ([192.0.2.1])\r\n\tby abc.mail-manager-smtp.localhost with ESMTP id ID\r\n\tfor <jo@example.com>;\r\n\tDATE\r\n"},
		{"with a name", func(r *Received) { r.Session.ClientName = "a.example" },
			"Received: from mail.example.org (a.example [192.0.2.1])\r\n\tby abc.mail-manager-smtp.localhost with ESMTP id ID\r\n\tfor <jo@example.com>;\r\n\tDATE\r\n"},
		{"IPv6, literal, HELO", func(r *Received) {
			r.Session.Client, r.Session.Hello, r.Session.Extended = netip.MustParseAddrPort("[2001:db8::1%eth0]:1"), "[192.0.2.1]", false
		},
			"Received: from [192.0.2.1] ([IPv6:2001:db8::1])\r\n\tby abc.mail-manager-smtp.localhost with SMTP id ID\r\n\tfor <jo@example.com>;\r\n\tDATE\r\n"},
		{"IPv4 within IPv6, TLS", func(r *Received) {
			r.Session.Client, r.Session.TLSVersion = netip.MustParseAddrPort("[::ffff:192.0.2.1]:1"), "TLSv1.3"
		},
			"Received: from mail.example.org ([192.0.2.1])\r\n\tby abc.mail-manager-smtp.localhost with ESMTPS id ID\r\n\tfor <jo@example.com>;\r\n\tDATE\r\n"},
		{"two recipients are not named", func(r *Received) { r.Recipients = append(r.Recipients, r.Recipients[0]); r.Session.AuthUser = "x" },
			"Received: from mail.example.org ([192.0.2.1])\r\n\tby abc.mail-manager-smtp.localhost with ESMTPA id ID;\r\n\tDATE\r\n"},
		{"nothing known", func(r *Received) { *r.Session = Session{}; r.Recipients, r.By = nil, "" },
			"Received: from unknown ([unknown])\r\n\tby unknown with SMTP id ID;\r\n\tDATE\r\n"},
		{"UTF-8", func(r *Received) {
			r.UTF8, r.Session.TLSVersion, r.Session.AuthUser = true, "TLSv1.2", "x"
			r.Recipients[0].Path.Received = "jö@example.com"
		},
			"Received: from mail.example.org ([192.0.2.1])\r\n\tby abc.mail-manager-smtp.localhost with UTF8SMTPSA id ID\r\n\tfor <jö@example.com>;\r\n\tDATE\r\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := received(tt.change)
			want := strings.NewReplacer("ID", r.ID.String(), "DATE", "Sun, 02 Aug 2026 15:04:05 +0000").Replace(tt.want)
			if got := r.String(); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func TestReceivedRefusesWhatThePeerSays(t *testing.T) {
	t.Parallel()
	tests := []struct{ hello, want string }{
		{"a\r\nX-Evil: b", "a??X-Evil:?b"},
		{"a) (b", "a???b"},
		{"[a", "?a"},
		{"[]", "??"},
		{"[a[b]", "[a?b]"},
		{"ä", "??"},
		{"a;b\x00\\\"", "a?b???"},
		{strings.Repeat("a", 300), strings.Repeat("a", 255)},
	}
	for _, tt := range tests {
		if got := traceName(tt.hello); got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.hello, got, tt.want)
		}
	}
	for _, path := range []string{`"jo smith"@a`, "a>b@c", "a\r\n@b", "jö@a", "a;b@c", "(a)@b", "jo@[192.0.2.1]", "", "a\x7f@b", `a\@b`} {
		r := received(func(r *Received) { r.Recipients[0].Path.Received = path })
		if _, ok := r.recipient(); ok {
			t.Errorf("%q is named", path)
		}
	}
	for _, path := range []string{"j\xff@a", "j\u2028@a", "j\u0085@a", "\ufffd@a"} {
		r := received(func(r *Received) { r.UTF8 = true; r.Recipients[0].Path.Received = path })
		if _, ok := r.recipient(); ok {
			t.Errorf("%q is named", path)
		}
	}
}

// FuzzReceived: whatever the peer says, the result is one field, balanced, in lines that are not too long.
func FuzzReceived(f *testing.F) {
	f.Add("mail.example.org", "a.example", "jo@example.com", true)
	f.Add("a\r\nb: c", "(", "a>b@c", false)
	f.Fuzz(func(t *testing.T, hello, name, path string, utf8 bool) {
		r := received(func(r *Received) {
			r.Session.Hello, r.Session.ClientName, r.UTF8 = hello, name, utf8
			r.Recipients[0].Path.Received = path
		})
		text := r.String()
		if _, err := ParseField([]byte(text)); err != nil {
			t.Fatalf("not one field: %q", text)
		}
		for _, pair := range []string{"()", "<>", "[]"} {
			if strings.Count(text, pair[:1]) != strings.Count(text, pair[1:]) {
				t.Fatalf("%s are not balanced: %q", pair, text)
			}
		}
		if strings.Count(text, ";") != 1 || len(text) > 4*maxTraceNameOctets+len(path)+300 {
			t.Fatalf("got %q", text)
		}
	})
}
