package dialogues

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// What stands in place of a command in the table of codes.
const (
	anyCommand = "any"        // codes that RFC 5321, section 4.3.2 has for every command
	connecting = "connection" // before the client has said anything
	unknown    = "unknown"    // what is no command of ours
	http       = "HTTP"       // what is a command of HTTP or of the PROXY protocol
)

// exchange is a command and a reply code to it.
type exchange struct {
	command string
	code    int
}

// entry is a row of codes: shown names the dialogue in which we give the code to the command; tested the test of a code that only
// trouble inside brings, as file:function; never says why we do not give it.
type entry struct {
	exchange
	shown, tested, never string
}

func shown(command string, code int, dialogue string) entry {
	return entry{exchange: exchange{command, code}, shown: dialogue}
}

func tested(command string, code int, test string) entry {
	return entry{exchange: exchange{command, code}, tested: test}
}

func never(command string, code int, why string) entry {
	return entry{exchange: exchange{command, code}, never: why}
}

// Why codes are never given.
const (
	noMailboxes = "there are no mailboxes here to know of, to be full or to have moved: the next hop knows"
	forEveryone = "what is implemented is there for everyone"
	noArguments = "no argument of it is looked at"
)

// troubles is where trouble inside is made up.
const troubles = "internal/ingress/binding_test.go:TestRefusals"

// codes is the table of RFC 5321, section 4.3.2, in its order, and behind it what extensions and we add.
var codes = []entry{
	shown(anyCommand, 500, "limits_command_line"),
	shown(anyCommand, 501, "rfc5321_4.1.1.5_argument"),
	shown(anyCommand, 421, "limits_errors"),

	shown(connecting, 220, "rfc5321_4.1.1.10_quit"),
	shown(connecting, 554, "S5_early_talker"),

	shown("EHLO", 250, "rfc5321_4.1.1.1_ehlo"),
	never("EHLO", 504, forEveryone),
	never("EHLO", 550, "who a client says it is, is no reason to refuse it"),
	never("EHLO", 502, forEveryone),
	shown("HELO", 250, "rfc5321_4.1.1.1_helo"),
	never("HELO", 504, forEveryone),
	never("HELO", 550, "who a client says it is, is no reason to refuse it"),
	never("HELO", 502, forEveryone),

	shown("MAIL", 250, "rfc5321_D.1_message"),
	shown("MAIL", 552, "B9_size_declared"),
	never("MAIL", 451, "nothing is processed for it that could fail"),
	tested("MAIL", 452, troubles),
	never("MAIL", 550, "a traffic policy decides at RCPT: Mail Manager, B7 and B8"),
	shown("MAIL", 553, "utf8_sender_without"),
	shown("MAIL", 503, "S4_mail_nested"),
	never("MAIL", 455, "parameters that are known are taken, whenever they come"),
	shown("MAIL", 555, "rfc5321_4.1.1.11_parameters_unknown"),

	shown("RCPT", 250, "rfc5321_D.1_message"),
	never("RCPT", 251, noMailboxes),
	shown("RCPT", 550, "policy_denied_recipient"),
	never("RCPT", 551, noMailboxes),
	never("RCPT", 552, noMailboxes),
	shown("RCPT", 553, "utf8_recipient_without"),
	never("RCPT", 450, noMailboxes),
	never("RCPT", 451, "a traffic policy is compiled before it is used, and decides without anything that could fail: Mail Manager, B7"),
	shown("RCPT", 452, "B10_recipients"),
	shown("RCPT", 503, "S4_rcpt_before_mail"),
	never("RCPT", 455, "parameters that are known are taken, whenever they come"),
	shown("RCPT", 555, "rfc5321_4.1.1.11_parameters_unknown"),

	shown("DATA", 354, "rfc5321_D.1_message"),
	shown("DATA", 250, "rfc5321_D.1_message"),
	shown("DATA", 552, "B9_size_sent"),
	shown("DATA", 554, "S4_no_recipient"),
	tested("DATA", 451, troubles),
	never("DATA", 452, "room is asked for at MAIL; what fails later is 451"),
	never("DATA", 450, "a traffic policy decides at RCPT: Mail Manager, B7"),
	never("DATA", 550, "a traffic policy decides at RCPT: Mail Manager, B7"),
	shown("DATA", 503, "S4_rcpt_before_mail"),

	shown("RSET", 250, "rfc5321_4.1.1.5_rset"),

	never("VRFY", 250, noMailboxes),
	never("VRFY", 251, noMailboxes),
	shown("VRFY", 252, "rfc5321_4.1.1.6_vrfy"),
	never("VRFY", 550, noMailboxes),
	never("VRFY", 551, noMailboxes),
	never("VRFY", 553, noMailboxes),
	never("VRFY", 502, forEveryone),
	never("VRFY", 504, noArguments),

	never("EXPN", 250, noMailboxes),
	never("EXPN", 252, noMailboxes),
	never("EXPN", 550, noMailboxes),
	never("EXPN", 500, "it is known, and not implemented: 502"),
	shown("EXPN", 502, "rfc5321_4.1.1.7_expn"),
	never("EXPN", 504, noArguments),

	never("HELP", 211, "214 has it all"),
	shown("HELP", 214, "rfc5321_4.1.1.8_help"),
	never("HELP", 502, forEveryone),
	never("HELP", 504, noArguments),

	shown("NOOP", 250, "rfc5321_4.1.1.9_noop"),
	shown("QUIT", 221, "rfc5321_4.1.1.10_quit"),

	// RFC 3207, section 4.
	shown("STARTTLS", 220, "tls_starttls"),
	never("STARTTLS", 454, "what fails is the handshake, and nothing is sent in clear after it"),
	shown("STARTTLS", 502, "tls_not_offered"),
	shown("STARTTLS", 503, "tls_twice"),
	shown("MAIL", 530, "tls_required_in_clear"),

	// RFC 4954, sections 4 and 6.
	shown("AUTH", 334, "auth_login"),
	shown("AUTH", 235, "auth_plain"),
	never("AUTH", 432, "nobody's password has to be changed before it is used"),
	never("AUTH", 454, "passwords are checked in memory"),
	shown("AUTH", 502, "auth_not_offered"),
	shown("AUTH", 503, "auth_twice"),
	shown("AUTH", 504, "auth_other_mechanism"),
	never("AUTH", 534, "every mechanism that is offered is strong enough in TLS"),
	shown("AUTH", 535, "auth_failed"),
	shown("AUTH", 538, "auth_in_clear"),

	// RFC 3030, section 2.
	shown("BDAT", 250, "bdat_one_chunk"),
	shown("BDAT", 503, "bdat_no_transaction"),
	shown("BDAT", 552, "bdat_too_big"),
	shown("BDAT", 554, "bdat_no_recipient"),

	shown(unknown, 500, "rfc5321_4.1.1_unknown"),
	shown(http, 554, "S9_http"),
}

// exchanges are the commands and codes that a dialogue shows, as far as it is plain which belong together.
func (s *script) exchanges() map[exchange]bool {
	found := map[exchange]bool{}
	pending := connecting // what the next replies belong to; empty: to the next command
	for _, step := range s.steps {
		if pending == "" {
			pending = commandOf(step)
		}
		if len(step.server) == 0 {
			if step.tls != nil && pending == startTLS {
				pending = ""
			}
			continue
		}
		for _, line := range step.server {
			code, _ := strconv.Atoi(line.code())
			found[exchange{pending, code}] = true
			if strings.Count(step.client, "\r\n") > 1 { // several commands: the first reply is the first one's
				break
			}
		}
		pending = goingOn[step.server[len(step.server)-1].code()]
	}
	return found
}

const startTLS = "STARTTLS"

// goingOn are the commands that are not over after a reply, by its code.
var goingOn = map[string]string{"354": "DATA", "334": "AUTH"}

// commands are those that codes has.
var commands = []string{"EHLO", "HELO", "MAIL", "RCPT", "DATA", "RSET", "VRFY", "EXPN", "HELP", "NOOP", "QUIT", startTLS, "AUTH", "BDAT"}

// commandOf is the command that a step begins with; a handshake belongs to the command before it.
func commandOf(s step) string {
	if s.tls != nil {
		return startTLS
	}
	word, _, _ := strings.Cut(strings.TrimPrefix(s.client, encodedMark), "\r\n")
	word, _, _ = strings.Cut(word, " ")
	word = strings.ToUpper(strings.TrimSuffix(word, "\n"))
	switch {
	case slices.Contains(commands, word):
		return word
	case slices.Contains([]string{"GET", "POST", "CONNECT", "PROXY"}, word):
		return http
	default:
		return unknown
	}
}

// TestEveryReplyCodeHasADialogue holds that every code of RFC 5321, section 4.3.2 is shown where we give it, and that no code is
// shown that the table does not have.
func TestEveryReplyCodeHasADialogue(t *testing.T) {
	t.Parallel()
	shown := map[string]map[exchange]bool{} // by dialogue
	for _, s := range readScripts(t) {
		shown[s.name] = s.exchanges()
	}
	given := map[exchange]bool{}
	for _, e := range codes {
		if given[e.exchange] {
			t.Errorf("%s %d is there twice", e.command, e.code)
		}
		given[e.exchange] = e.never == ""
		e.check(t, shown[e.shown])
	}
	for dialogue, exchanges := range shown {
		for e := range exchanges {
			if !given[e] && !given[exchange{anyCommand, e.code}] {
				t.Errorf("%s shows %d to %s, which the table does not have", dialogue, e.code, e.command)
			}
		}
	}
}

// check holds that what an entry names is there.
func (e entry) check(t *testing.T, exchanges map[exchange]bool) {
	t.Helper()
	switch {
	case e.never != "":
	case e.tested != "":
		file, function, _ := strings.Cut(e.tested, ":")
		text, err := os.ReadFile(filepath.Join("../..", file))
		if err != nil || !strings.Contains(string(text), "func "+function+"(") {
			t.Errorf("%s %d: %s is not there: %v", e.command, e.code, e.tested, err)
		}
	case e.command == anyCommand:
		for found := range exchanges {
			if found.code == e.code {
				return
			}
		}
		t.Errorf("%s does not show %d", e.shown, e.code)
	case !exchanges[e.exchange]:
		t.Errorf("%s does not show %d to %s", e.shown, e.code, e.command)
	}
}

func TestExchanges(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		lines []string
		want  []exchange
	}{
		{"greeting", []string{"S: 220 x"}, []exchange{{connecting, 220}}},
		{"command", []string{"S: 220 x", "C: NOOP", "S: 250 x"}, []exchange{{connecting, 220}, {"NOOP", 250}}},
		{"any case", []string{"S: 220 x", "C: rset", "S: 250 x"}, []exchange{{connecting, 220}, {"RSET", 250}}},
		{"content", []string{"S: 220 x", "C: DATA", "S: 354 x", "C: NOOP", "C: .", "S: 554 x"}, []exchange{{connecting, 220}, {"DATA", 354}, {"DATA", 554}}},
		{"challenge", []string{"S: 220 x", "B: AUTH PLAIN |x", "S: 334 x", "C: NOOP", "S: 535 x"}, []exchange{{connecting, 220}, {"AUTH", 334}, {"AUTH", 535}}},
		{"handshake", []string{"T: tls", "S: 220 x", "C: STARTTLS", "S: 220 x", "T: tls", "C: NOOP", "S: 250 x"},
			[]exchange{{connecting, 220}, {"STARTTLS", 220}, {"NOOP", 250}}},
		{"group that ends in content", []string{"S: 220 x", `C> MAIL\r\nDATA\r\n`, "S: 250 x", "S: 354 x", "C: .", "S: 554 x"},
			[]exchange{{connecting, 220}, {"MAIL", 250}, {"DATA", 554}}},
		{"several commands", []string{"S: 220 x", `C> NOOP\r\nDATA\r\n`, "S: 250 x", "S: 503 x"}, []exchange{{connecting, 220}, {"NOOP", 250}}},
		{"no command", []string{"S: 220 x", "C: FOO", "S: 500 x", "C: GET /", "S: 554 x"}, []exchange{{connecting, 220}, {unknown, 500}, {http, 554}}},
	} {
		s := &script{steps: make([]step, 1)}
		for _, line := range test.lines {
			if err := s.read(line); err != nil {
				t.Fatal(err)
			}
		}
		got := s.exchanges()
		for _, want := range test.want {
			if !got[want] {
				t.Errorf("%s: %v is not found", test.name, want)
			}
		}
		if len(got) != len(test.want) {
			t.Errorf("%s: got %v, want %v", test.name, got, test.want)
		}
	}
}
