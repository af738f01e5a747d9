package message

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"net/textproto"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/internal/smtp"
)

var rewrite = flag.Bool("rewrite", false, "write the notifications into testdata, to be reviewed as a diff")

const original = "From: Jo <jo@example.com>\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n\r\nHello,\r\n.\r\nGrüße\r\n"

func mailbox(t testing.TB, text string) smtp.Path {
	t.Helper()
	path, err := smtp.ParseMailbox(text)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return path
}

// failure is a report on one recipient; change makes it another.
func failure(t testing.TB, change func(*Report)) *Report {
	r := &Report{
		ID: "4f.dsn.1@gw.example", From: mailbox(t, "postmaster@gw.example"), ReportingMTA: "gw.example",
		Made: receivedAt.Add(5 * time.Minute), Arrived: receivedAt,
		Envelope: Envelope{ReversePath: mailbox(t, "jo@example.com")},
		Recipients: []DeliveryStatus{{
			Recipient: Recipient{Path: mailbox(t, "bob@example.net")}, Action: ActionFailed,
			Reply: smtp.NewReply(550, 5, 1, 1, "No such user"), Remote: "mx.example.net", LastAttempt: receivedAt.Add(time.Minute),
		}},
		Content: []byte(strings.ReplaceAll(original, "Grüße", "Bye")),
	}
	change(r)
	return r
}

func everything(t testing.TB) func(*Report) {
	return func(r *Report) {
		r.Envelope.EnvelopeID = "QQ 314159"
		add := func(d DeliveryStatus, path, original string) {
			d.Recipient = Recipient{Path: mailbox(t, path), Original: original}
			r.Recipients = append(r.Recipients, d)
		}
		long := "4.2.2 The mailbox is full,\nand has been so for longer than anybody here can remember; ask its owner by telephone to make room"
		add(DeliveryStatus{Action: ActionFailed, Reply: &smtp.Reply{Code: 452, Text: long}, Remote: "[192.0.2.1]"}, "full@example.net", "rfc822;Full+2Bbox@example.net")
		add(DeliveryStatus{Action: ActionFailed}, `"silent one"@example.org`, `utf-8;s\x{F6}\x{20}@example.org`)
		add(DeliveryStatus{Action: ActionFailed, Status: smtp.EnhancedCode{Class: 5, Subject: 3, Detail: 5}, Explanation: "the relay does not exist any more"}, "odd@example.org", "")
		add(DeliveryStatus{Action: ActionDelayed, Reply: smtp.NewReply(451, 4, 7, 1, "Greylisted"), Remote: "mx.example.org", RetryUntil: receivedAt.AddDate(0, 0, 5)}, "slow@example.org", "")
		add(DeliveryStatus{Action: ActionRelayed, Reply: smtp.NewReply(250, 2, 0, 0, "Queued"), Remote: "mx.example.org"}, "on@example.org", "")
		add(DeliveryStatus{Action: ActionDelivered}, "there@example.org", "")
		add(DeliveryStatus{Action: ActionExpanded}, "all@example.org", "")
	}
}

// Each file of testdata/dsn is a notification as it is written, but for its line ends.
func TestReportGolden(t *testing.T) {
	t.Parallel()
	only := func(action DeliveryAction, reply *smtp.Reply) func(*Report) {
		return func(r *Report) { r.Recipients[0].Action, r.Recipients[0].Reply = action, reply }
	}
	tests := []struct {
		file   string
		change func(*Report)
		want   Envelope
	}{
		{"failed", func(*Report) {}, Envelope{}},
		{"delayed", func(r *Report) {
			r.Recipients[0].RetryUntil = receivedAt.AddDate(0, 0, 5)
			only(ActionDelayed, nil)(r)
		}, Envelope{}},
		{"relayed", only(ActionRelayed, smtp.NewReply(250, 2, 6, 0, "Queued as 42")), Envelope{}},
		{"delivered", only(ActionDelivered, nil), Envelope{}},
		{"everything", everything(t), Envelope{}},
		{"headers", func(r *Report) { r.Envelope.Return = "HDRS" }, Envelope{}},
		{"8bit", func(r *Report) { r.Content = []byte(original) }, Envelope{EightBit: true}},
		{"international", func(r *Report) {
			r.Envelope = Envelope{UTF8: true, ReversePath: mailbox(t, "jö@müller.example"), Return: "FULL"}
			r.Recipients[0].Recipient = Recipient{Path: mailbox(t, "böb@example.net"), Original: `utf-8;b\x{F6}bö@example.net`}
			r.Recipients[0].Reply.Text = "Kein Briefkasten: böb \u202e"
			r.Content = []byte("Subject: Grüße\r\n\r\nHello\r\n")
		}, Envelope{EightBit: true, UTF8: true}},
		{"international_headers", func(r *Report) {
			r.Recipients[0].Recipient.Path, r.Recipients[0].Action = mailbox(t, "böb@example.net"), ActionDelayed
		}, Envelope{EightBit: true}},
		{"bounce_action", func(r *Report) {
			r.From, r.Text = mailbox(t, "bounces@example.net"), "We do not take invoices here.\nSend them to billing@example.net."
			r.Recipients[0].Remote, r.Recipients[0].Status = "", smtp.EnhancedCode{Class: 5, Subject: 7, Detail: 1}
			r.Recipients[0].Reply = &smtp.Reply{Code: 554, Enhanced: smtp.EnhancedCode{Class: 5, Subject: 7, Detail: 1}, Text: "Invoices are refused"}
			r.Content = nil
		}, Envelope{}},
	}
	for _, tt := range tests {
		t.Run(tt.file, func(t *testing.T) {
			t.Parallel()
			report := failure(t, tt.change)
			envelope, content, err := report.Message()
			if err != nil {
				t.Fatal(err)
			}
			golden(t, tt.file, content)
			if !envelope.ReversePath.IsNull() || envelope.EightBit != tt.want.EightBit || envelope.UTF8 != tt.want.UTF8 ||
				len(envelope.Recipients) != 1 || envelope.Recipients[0] != (Recipient{Path: report.Envelope.ReversePath}) {
				t.Errorf("got %+v", envelope)
			}
			checkReport(t, report, content)
		})
	}
}

func golden(t *testing.T, name string, content []byte) {
	t.Helper()
	file := filepath.Join("testdata", "dsn", name+".eml")
	got := bytes.ReplaceAll(content, []byte("\r\n"), []byte("\n"))
	if *rewrite {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

// parsed is a notification as packages net/mail and mime/multipart read it, which know nothing of how it was written.
type parsed struct {
	header     mail.Header
	kind       string
	parts      []string // media types
	text       string
	status     []textproto.MIMEHeader // of the message, then of each recipient
	returned   []byte
	beforeLast []byte // all that we wrote ourselves
}

func parseReport(t testing.TB, content []byte) parsed {
	t.Helper()
	m, err := mail.ReadMessage(bytes.NewReader(content))
	if err != nil {
		t.Fatalf("%v: %q", err, content)
	}
	kind, parameters, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/report" {
		t.Fatalf("got %s, %v", kind, err)
	}
	p := parsed{header: m.Header, kind: parameters["report-type"]}
	reader := multipart.NewReader(m.Body, parameters["boundary"])
	for {
		part, err := reader.NextRawPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%v: %q", err, content)
		}
		p.add(t, part, content)
	}
	if rest, err := io.ReadAll(m.Body); err != nil || len(rest) > 0 {
		t.Fatalf("%q follows, %v", rest, err)
	}
	return p
}

func (p *parsed) add(t testing.TB, part *multipart.Part, content []byte) {
	t.Helper()
	body, err := io.ReadAll(part)
	if err != nil {
		t.Fatal(err)
	}
	eightBit := part.Header.Get("Content-Transfer-Encoding") == "8bit"
	if ascii := !slices.ContainsFunc(body, func(c byte) bool { return c >= 0x80 }); ascii == eightBit {
		t.Errorf("8bit is %v for %q", eightBit, body)
	}
	p.parts = append(p.parts, part.Header.Get("Content-Type"))
	switch len(p.parts) {
	case 1:
		p.text = string(body)
		p.beforeLast = content
	case 2:
		p.status = parseStatus(t, body)
	case 3:
		p.returned = body
		p.beforeLast = content[:len(content)-len(body)-len("\r\n----\r\n")-len("=_")-32]
	}
}

func parseStatus(t testing.TB, body []byte) []textproto.MIMEHeader {
	t.Helper()
	reader := textproto.NewReader(bufio.NewReader(bytes.NewReader(body)))
	var groups []textproto.MIMEHeader
	for {
		group, err := reader.ReadMIMEHeader()
		if len(group) > 0 {
			groups = append(groups, group)
		}
		if errors.Is(err, io.EOF) {
			return groups
		}
		if err != nil {
			t.Fatalf("%v: %q", err, body)
		}
	}
}

// checkReport holds what is true of every notification, whatever is in it.
func checkReport(t testing.TB, r *Report, content []byte) parsed {
	t.Helper()
	p := parseReport(t, content)
	checkLines(t, p.beforeLast)
	allowed := []string{"From", "To", "Subject", "Date", "Message-Id", "Auto-Submitted", "Mime-Version", "Content-Type", "Content-Transfer-Encoding"}
	checkNames(t, textproto.MIMEHeader(p.header), allowed)
	checkNames(t, p.status[0], []string{"Original-Envelope-Id", "Reporting-Mta", "Arrival-Date"})
	if to, err := p.header.AddressList("To"); err != nil || len(to) != 1 {
		t.Errorf("to %v, %v", to, err)
	}
	if p.header.Get("Auto-Submitted") != "auto-replied" || p.header.Get("Mime-Version") != "1.0" {
		t.Errorf("got %v", p.header)
	}
	if len(p.status) != 1+len(r.Recipients) {
		t.Fatalf("%d recipients, want %d: %q", len(p.status)-1, len(r.Recipients), content)
	}
	for i := range r.Recipients {
		checkRecipient(t, &r.Recipients[i], p.status[1+i])
	}
	if want := min(len(r.Content), 1) + 2; len(p.parts) != want {
		t.Fatalf("%d parts, want %d", len(p.parts), want)
	}
	if !bytes.HasPrefix(r.Content, p.returned) {
		t.Errorf("%q is returned of %q", p.returned, r.Content)
	}
	return p
}

func checkRecipient(t testing.TB, d *DeliveryStatus, got textproto.MIMEHeader) {
	t.Helper()
	checkNames(t, got, []string{"Original-Recipient", "Final-Recipient", "Action", "Status", "Remote-Mta", "Diagnostic-Code", "Last-Attempt-Date", "Will-Retry-Until"})
	if got.Get("Action") != string(d.Action) || got.Get("Status") != d.Code().String() {
		t.Errorf("%v: got %v", d.Recipient, got)
	}
}

// checkNames holds that a group of fields has each field once, and none but those.
func checkNames(t testing.TB, fields textproto.MIMEHeader, allowed []string) {
	t.Helper()
	for name, values := range fields {
		if !slices.Contains(allowed, name) || len(values) != 1 {
			t.Errorf("%d of %s", len(values), name)
		}
	}
}

// checkLines holds that lines end in CRLF, and only there, and are not too long. RFC 5322, section 2.1.1.
func checkLines(t testing.TB, text []byte) {
	t.Helper()
	for line := range bytes.SplitSeq(text, []byte("\r\n")) {
		if bytes.ContainsAny(line, "\r\n\x00\x1b") || len(line) > 998 {
			t.Errorf("line %q", line)
		}
	}
}

func TestReportRefuses(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*Report){
		"null reverse-path": func(r *Report) { r.Envelope.ReversePath = smtp.Path{} },
		"nobody":            func(r *Report) { r.Recipients = nil },
		"no envelope":       func(r *Report) { r.Envelope = Envelope{} },
	} {
		if _, content, err := failure(t, change).Message(); !errors.Is(err, ErrNoReport) || content != nil {
			t.Errorf("%s: got %q, %v", name, content, err)
		}
	}
}

// What is returned, and as what. RFC 3461, section 4.3.
func TestReportReturns(t *testing.T) {
	t.Parallel()
	header := "Subject: a\r\n"
	whole := func(octets int) []byte {
		return append([]byte(header+"\r\n"), bytes.Repeat([]byte("a"), octets-len(header)-2)...)
	}
	action := func(a DeliveryAction, ret string) func(*Report) {
		return func(r *Report) { r.Recipients[0].Action, r.Envelope.Return = a, ret }
	}
	tests := []struct {
		name       string
		content    []byte
		change     func(*Report)
		kind, want string
	}{
		{"failure, no RET", whole(30), action(ActionFailed, ""), "message/rfc822", string(whole(30))},
		{"failure, FULL", whole(30), action(ActionFailed, "FULL"), "message/rfc822", string(whole(30))},
		{"failure, HDRS", whole(30), action(ActionFailed, "HDRS"), "text/rfc822-headers", header},
		{"as large as may be", whole(MaxReturnedOctets), action(ActionFailed, "FULL"), "message/rfc822", string(whole(MaxReturnedOctets))},
		{"too large", whole(MaxReturnedOctets + 1), action(ActionFailed, "FULL"), "text/rfc822-headers", header},
		{"delay, FULL", whole(30), action(ActionDelayed, "FULL"), "text/rfc822-headers", header},
		{"success, FULL", whole(30), action(ActionDelivered, "FULL"), "text/rfc822-headers", header},
		{"relayed, FULL", whole(30), action(ActionRelayed, "FULL"), "text/rfc822-headers", header},
		{"header section alone", []byte(header), action(ActionFailed, "HDRS"), "text/rfc822-headers", header},
		{"empty header section", []byte("\r\na"), action(ActionFailed, "HDRS"), "text/rfc822-headers", ""},
		{"international", whole(30), func(r *Report) { r.Envelope.UTF8 = true }, "message/global", string(whole(30))},
		{"international, HDRS", whole(30), func(r *Report) { r.Envelope.UTF8, r.Envelope.Return = true, "HDRS" }, "message/global-headers", header},
		{"endless header section", bytes.Repeat([]byte("a"), MaxHeaderOctets+1), action(ActionFailed, ""), "text/rfc822-headers", strings.Repeat("a", MaxHeaderOctets)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := failure(t, tt.change)
			r.Content = tt.content
			_, content, err := r.Message()
			if err != nil {
				t.Fatal(err)
			}
			p := checkReport(t, r, content)
			if p.parts[2] != tt.kind || string(p.returned) != tt.want {
				t.Errorf("got %s of %d octets, want %s of %d", p.parts[2], len(p.returned), tt.kind, len(tt.want))
			}
		})
	}
}

// A message that knows our boundary, because the id is not secret, gets another.
func TestReportBoundary(t *testing.T) {
	t.Parallel()
	first := boundaryOf("4f.dsn.1@gw.example", nil)
	second := boundaryOf("4f.dsn.1@gw.example", []part{{"", []byte(first)}})
	if first == second {
		t.Fatal("the boundary is in the part")
	}
	for _, inside := range []string{first, first + second} {
		r := failure(t, func(r *Report) {
			r.Content = []byte("A: b\r\n\r\n--" + inside + "--\r\n\r\n--" + second + "\r\n")
			r.Recipients[0].Reply.Text = first
			r.Text = "--" + first + "\n--" + first + "--"
		})
		_, content, err := r.Message()
		if err != nil {
			t.Fatal(err)
		}
		if p := checkReport(t, r, content); !bytes.Equal(p.returned, r.Content) {
			t.Errorf("got %q", p.returned)
		}
	}
}

// S38: what others said ends no line, no field and no part.
func TestS38ReportInjection(t *testing.T) {
	t.Parallel()
	evil := "a\r\nStatus: 2.0.0\r\n\r\nFinal-Recipient: rfc822; x@y\r\n\r\n--b\x00\x1b[31m\u202e"
	r := failure(t, func(r *Report) {
		d := &r.Recipients[0]
		r.ID, r.ReportingMTA, r.Text, r.Envelope.EnvelopeID = evil, evil, evil, evil
		d.Reply.Text, d.Remote, d.Recipient.Original = evil, evil, "rfc822;"+evil
		d.Recipient.Path.Received, r.From.Received = evil, evil
		r.Recipients = append(r.Recipients, DeliveryStatus{Recipient: d.Recipient, Action: ActionFailed, Explanation: evil})
	})
	_, content, err := r.Message()
	if err != nil {
		t.Fatal(err)
	}
	checkReport(t, r, content)
}

func TestReportIsBounded(t *testing.T) {
	t.Parallel()
	for _, letter := range []string{"a", "ä", "\xff", "a "} {
		much := strings.Repeat(letter, 100_000)
		r := failure(t, func(r *Report) {
			r.Envelope.UTF8 = true
			r.ID, r.Text, r.ReportingMTA, r.Recipients[0].Reply.Text, r.Recipients[0].Remote = much, much, much, much, much
		})
		_, content, err := r.Message()
		if err != nil {
			t.Fatal(err)
		}
		if checkReport(t, r, content); len(content) > 6_000 {
			t.Errorf("%q: %d octets", letter, len(content))
		}
	}
}

func FuzzReport(f *testing.F) {
	f.Add("No such user", "", "mx.example.net", "rfc822;bob@example.net", "QQ", []byte(original), false)
	f.Add("a\r\nb: c\n--x", "x\r\n\r\ny", "a b", "utf-8;\\x{F6}", "\r\n", []byte("\r\n--"), true)
	f.Add("\x00\xff\u202e", "\r", "[", "rfc822;+0D", "ä", []byte("a\n\n\x00"), false)
	f.Fuzz(func(t *testing.T, said, text, remote, orcpt, envid string, content []byte, international bool) {
		r := failure(t, everything(t))
		r.Text, r.Content = text, content
		r.Envelope.EnvelopeID, r.Envelope.UTF8 = envid, international
		d := &r.Recipients[0]
		d.Reply.Text, d.Remote, d.Recipient.Original = said, remote, orcpt
		r.Recipients[2].Explanation = said
		envelope, written, err := r.Message()
		if err != nil {
			t.Fatal(err)
		}
		p := checkReport(t, r, written)
		if eightBit := slices.ContainsFunc(written, func(c byte) bool { return c >= 0x80 }); eightBit != envelope.EightBit {
			t.Errorf("8bit is %v", envelope.EightBit)
		}
		if whole := len(content) > 0 && len(content) <= MaxReturnedOctets; whole && !bytes.Equal(p.returned, content) {
			t.Errorf("%q is returned of %q", p.returned, content)
		}
	})
}
