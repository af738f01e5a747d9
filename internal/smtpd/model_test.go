package smtpd

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// model says what a session may do. It is written from the RFCs, slow and plain, and shares no reading with smtpd: it walks
// over what the client sent and what the server answered at once, and knows for each command which replies are allowed, what
// the host is asked, and when the session is over. It leaves two things to the server: which of several reasons it refuses
// for, and, where the grammar of an argument is wide (see unsure), whether that is good. What the host is then told of it, the
// model reads by itself.
// RFC 5321, RFC 3030 (BDAT), RFC 3207 (STARTTLS), RFC 4954 (AUTH); Mail Manager, B9 to B11 and B21; S1 to S12.
type model struct {
	point point
	sent  []byte // by the client, not read yet
	heard []byte // from the server, not matched yet

	greeted, proved, utf8 bool
	open, chunked         bool // a transaction is; content of it has come by BDAT
	reverse               string
	forward               []string
	content               []byte
	errors, failures      int // budgets
	spent                 int
	over, secured         bool // secured: what was heard last are the octets of a handshake

	asked              []string // what the host was asked, in order
	refused            []int    // codes that refused something, in order
	commands, messages int
	wrong              string // the first reply that is not allowed
}

// run goes through the whole session.
func (m *model) run() {
	m.answered(220)
	for !m.over {
		m.step()
	}
	m.reset()
	m.note("closed after %d commands and %d messages", m.commands, m.messages)
	switch {
	case m.wrong != "":
	case m.secured && !isAlert(m.heard), !m.secured && len(m.heard) > 0:
		m.wrong = fmt.Sprintf("said %q when it was over", m.heard)
	}
}

// step is one command, or a line that is none, and what it costs of the budgets. S12
func (m *model) step() {
	line, faults := m.line()
	switch {
	case m.over:
		return
	case len(faults) > 0:
		m.answered(faults...)
	default:
		m.commands++
		m.spent++
		m.execute(line)
	}
	if !m.over && (m.errors >= 20 || m.failures >= 3 || m.spent >= 2_000) {
		m.answered(421)
	}
}

func (m *model) execute(line string) {
	name, argument, _ := strings.Cut(line, " ")
	argument = strings.Trim(argument, " ")
	switch upper(name) {
	case "EHLO", "HELO":
		m.hello(argument)
	case "MAIL":
		m.mail(argument)
	case "RCPT":
		m.rcpt(argument)
	case "DATA":
		m.data(argument)
	case "BDAT":
		m.bdat(argument)
	case "RSET":
		if m.ruled(when(argument != "", 501), 250) == 250 {
			m.reset()
		}
	case "AUTH":
		m.auth(argument)
	case "STARTTLS":
		m.startTLS(argument)
	case "QUIT":
		m.ruled(when(argument != "", 501), 221)
	case "VRFY":
		m.ruled(when(argument == "", 501), 252)
	case "NOOP":
		m.answered(250)
	case "HELP":
		m.answered(214)
	case "EXPN":
		m.answered(502)
	case "GET", "POST", "CONNECT", "PROXY": // S9
		m.answered(554)
		m.over = true
	default:
		m.answered(500)
	}
}

func (m *model) hello(argument string) {
	sound := unsure
	switch {
	case argument == "" || len(argument) > 255 || hasControl(argument):
		sound = bad
	case plainName.MatchString(argument):
		sound = good
	}
	if m.ruled(sound.ruling(501), 250) == 250 {
		m.reset()
		m.greeted = true
	}
}

func (m *model) mail(argument string) {
	path, rest, sound := readPath(argument, "FROM:")
	given, parameters := readParameters(rest, sureOfMail, likelyOfMail)
	_, utf8 := given["SMTPUTF8"]
	reply := m.ruled(slices.Concat(
		when(!m.greeted || m.open, 503),
		sound.ruling(501, 553), parameters.ruling(501, 555),
		when(!utf8 && !isASCII(path), 501, 553),
		when(exceeds(given["SIZE"], m.point.maxSize), 552),
		hostRuling("mail", path),
	), 250)
	if reply == 250 || reply == says("mail", path) {
		m.note("mail %q", path)
	}
	if reply == 250 {
		m.open, m.reverse, m.utf8 = true, path, utf8
	}
}

func (m *model) rcpt(argument string) {
	path, rest, sound := readPath(argument, "TO:")
	_, parameters := readParameters(rest, sureOfRcpt, likelyOfRcpt)
	reply := m.ruled(slices.Concat(
		when(!m.open || m.chunked, 503),
		sound.ruling(501, 553), parameters.ruling(501, 555),
		when(path == "", 501),
		when(!m.utf8 && !isASCII(path), 501, 553),
		when(len(m.forward) >= m.point.maxRecipients, 452),
		hostRuling("rcpt", path),
	), 250)
	if reply == 250 || reply == says("rcpt", path) {
		m.note("rcpt %q", path)
	}
	if reply == 250 {
		m.forward = append(m.forward, path)
		m.spent--
	}
}

func (m *model) data(argument string) {
	reply := m.ruled(slices.Concat(
		when(!m.open || m.chunked, 503),
		when(argument != "", 501),
		when(m.open && len(m.forward) == 0, 554, 503),
		hostRuling("data", m.reverse),
	), 354)
	if reply == 354 || reply == says("data", m.reverse) {
		m.note("data")
	}
	if reply != 354 {
		return
	}
	m.chunked = true // from here on there is content to throw away
	if m.content, m.over = m.dotted(); m.over {
		return
	}
	m.complete()
}

// dotted reads content up to CRLF "." CRLF, octet by octet, and takes the dots off that were stuffed before lines.
// RFC 5321, section 4.5.2; S1
func (m *model) dotted() (content []byte, cutOff bool) {
	for i := 0; i < len(m.sent); i++ {
		begins := i == 0 || i >= 2 && m.sent[i-2] == '\r' && m.sent[i-1] == '\n'
		if begins && bytes.HasPrefix(m.sent[i:], []byte(".\r\n")) {
			m.sent = m.sent[i+3:]
			return content, false
		}
		if !begins || m.sent[i] != '.' {
			content = append(content, m.sent[i])
		}
	}
	return nil, true
}

// bdat is a chunk, which is read whatever is answered, unless nobody can tell how long it is. RFC 3030, section 2; S8
func (m *model) bdat(argument string) {
	size, last, ok := readChunk(argument)
	if !ok {
		m.answered(501)
		m.over = true
		return
	}
	refusals := slices.Concat(when(!m.open, 503), when(m.open && len(m.forward) == 0, 554, 503))
	var hosts ruling
	if len(refusals) == 0 && !m.chunked {
		m.note("data")
		hosts = hostRuling("data", m.reverse)
		m.chunked = len(hosts) == 0
	}
	if m.over = size > len(m.sent); m.over {
		m.refused = append(m.refused, hosts...) // which nobody hears
		return
	}
	chunk := m.sent[:size]
	m.sent = m.sent[size:]
	if refusals = append(refusals, hosts...); len(refusals) > 0 {
		m.ruled(refusals, 0)
		return
	}
	m.content = append(m.content, chunk...)
	switch {
	case last:
		m.complete()
	case m.ruled(m.faults(false), 250) != 250:
		m.reset()
	case size >= 1<<10:
		m.spent--
	}
}

// complete ends a transaction whose content is there.
func (m *model) complete() {
	if faults := m.faults(true); len(faults) > 0 {
		m.ruled(faults, 0)
		m.reset()
		return
	}
	m.note("commit %q > %q: %q", m.reverse, m.forward, m.content)
	if m.ruled(hostRuling("commit", m.reverse), 250) == 250 {
		m.messages++
		m.errors, m.spent = 0, 0
	}
	m.chunked = false
	m.reset()
}

// faults are the codes for what is wrong with content, or is already with a part of it. S2; Mail Manager, B9, B11, B21.
func (m *model) faults(whole bool) ruling {
	text := string(m.content)
	if !whole { // the LF may follow
		text = strings.TrimSuffix(text, "\r")
	}
	longest, octets, received, header := 0, 0, 0, true
	for line := range strings.SplitAfterSeq(text, "\r\n") {
		inner, ended := strings.CutSuffix(line, "\r\n")
		longest = max(longest, len(inner))
		if header {
			octets += len(line)
			header = line != "\r\n"
		}
		if header && ended && strings.HasPrefix(upper(line), "RECEIVED:") {
			received++
		}
	}
	return slices.Concat(
		when(isBare(text) || longest > 64<<10 || received > 50, 554),
		when(octets > 256<<10 || len(m.content) > m.point.maxSize, 552),
		when(len(m.content) > 0, hostRuling("write", m.reverse)...),
	)
}

// reset ends what is open: the content is thrown away that was not complete.
func (m *model) reset() {
	if m.chunked {
		m.note("abort")
	}
	if m.open {
		m.note("ended")
	}
	m.open, m.chunked, m.utf8 = false, false, false
	m.reverse, m.forward, m.content = "", nil, nil
}

// startTLS: no handshake succeeds here, and what follows is never read as commands. S3
func (m *model) startTLS(argument string) {
	m.secured = m.ruled(slices.Concat(
		when(!m.point.startTLS, 502),
		when(argument != "", 501),
		when(!m.greeted || m.open, 503),
	), 220) == 220
	if m.secured {
		m.over = true
		m.refused = append(m.refused, 421)
	}
}

func (m *model) auth(argument string) {
	mechanism, response, _ := strings.Cut(argument, " ")
	mechanism, response = upper(mechanism), strings.Trim(response, " ")
	plain, decodable := "", true
	if response != "" && response != "=" {
		plain, decodable = decode(response)
	}
	refusals := slices.Concat(
		when(!m.point.auth, 502),
		when(!m.point.auth && m.point.startTLS, 538),
		when(!m.greeted || m.open || m.proved, 503),
		when(argument == "", 501),
		when(mechanism != "PLAIN" && mechanism != "LOGIN", 504, 501),
		when(!decodable, 501),
	)
	if len(refusals) > 0 {
		m.ruled(refusals, 0)
		return
	}
	ok := true
	if response == "" {
		plain, ok = m.response()
	}
	switch {
	case !ok:
	case mechanism == "PLAIN":
		m.plain(strings.Split(plain, "\x00"))
	default:
		if password, ok := m.response(); ok {
			m.prove(plain, password)
		}
	}
}

// plain is what PLAIN says: on whose behalf, who, and the password. RFC 4616, section 2.
func (m *model) plain(parts []string) {
	switch {
	case len(parts) != 3:
		m.answered(501)
	case parts[0] != "" && parts[0] != parts[1]: // nobody acts for another
		m.prove("", parts[2])
	default:
		m.prove(parts[1], parts[2])
	}
}

// response is the answer to a challenge, a line of base64.
func (m *model) response() (plain string, ok bool) {
	if m.answered(334); m.over {
		return "", false
	}
	line, faults := m.line()
	if m.over {
		return "", false
	}
	plain, decodable := decode(line)
	if faults = append(faults, when(!decodable, 501)...); len(faults) > 0 {
		m.answered(faults...)
		return "", false
	}
	return plain, true
}

func (m *model) prove(user, password string) {
	m.note("auth %q %q", user, password)
	m.proved = user == "user" && password == "right"
	if m.proved {
		m.answered(235)
		return
	}
	m.failures++
	m.answered(535)
}

// line reads up to the next LF. What is wrong with the line is said in codes.
func (m *model) line() (line string, faults ruling) {
	end := bytes.IndexByte(m.sent, '\n') + 1
	if m.over = end == 0; m.over {
		return "", nil
	}
	line, m.sent = string(m.sent[:end]), m.sent[end:]
	faults = slices.Concat(when(end > 2_048, 500), when(!strings.HasSuffix(line, "\r\n"), 501))
	return strings.TrimSuffix(line, "\r\n"), faults
}

// ruled wants a reply that is allowed, and returns its code: that of acceptance only when no refusal must be.
func (m *model) ruled(refusals ruling, accepted int) int {
	certain := slices.ContainsFunc(refusals, func(code int) bool { return code > 0 })
	allowed := []int{accepted}
	if certain {
		allowed = nil
	}
	for _, code := range refusals {
		allowed = append(allowed, max(code, -code))
	}
	return m.answered(allowed...)
}

// answered wants one reply, of one of the codes, and returns it. 221 and 421 end the session; so does what is not allowed, for
// the model then knows nothing more of it.
func (m *model) answered(allowed ...int) int {
	heard := m.heard
	code, rest, ok := readReply(heard)
	if !ok || !slices.Contains(allowed, code) {
		m.over = true
		if m.wrong == "" {
			m.wrong = fmt.Sprintf("answered %.80q, want one of %v, before %.80q", heard, allowed, m.sent)
		}
		return -1
	}
	m.heard = rest
	if code >= 400 {
		m.refused = append(m.refused, code)
	}
	if code >= 500 && code <= 504 {
		m.errors++
	}
	m.over = m.over || code == 221 || code == 421
	return code
}

func (m *model) note(format string, arguments ...any) {
	m.asked = append(m.asked, fmt.Sprintf(format, arguments...))
}
