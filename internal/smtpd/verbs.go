package smtpd

import (
	"strings"

	"sluice/internal/smtp"
)

// step is one half of a verb. A nil reply of check lets the command proceed; proceed answers it. What check answers, and what proceed
// passes through refuse, is smtpd's own; any other reply comes from the host.
type step func(d *dialogue, c *command) *smtp.Reply

// verb is a command that is known. check looks at order, syntax and limits and changes nothing; proceed has the effect.
// A proceed that takes over the input (DATA, AUTH, STARTTLS) writes its intermediate reply itself.
type verb struct {
	name           string
	check, proceed step
}

// command is one command line, with what check found in its argument.
type command struct {
	verb     *verb
	argument string
	path     smtp.Path
	mail     smtp.MailParameters
	rcpt     smtp.RcptParameters
	chunk    smtp.Chunk
}

// verbs is every command that is known. RFC 5321, section 4.1.1.
var verbs = [...]verb{
	{"EHLO", checkHello, proceedEHLO},
	{"HELO", checkHello, proceedHELO},
	{"MAIL", checkMail, proceedMail},
	{"RCPT", checkRcpt, proceedRcpt},
	{"DATA", checkData, proceedData},
	{"RSET", checkNoArgument, proceedRset},
	{"NOOP", checkNothing, proceedNoop},
	{"QUIT", checkNoArgument, proceedQuit},
	{"VRFY", checkArgument, proceedVrfy},
	{"HELP", checkNothing, proceedHelp},
	{"EXPN", notImplemented, nil},
	{"STARTTLS", checkStartTLS, proceedStartTLS},
	{"AUTH", checkAuth, proceedAuth},
	{"BDAT", checkChunk, proceedChunk},
	{"GET", notSMTP, nil},
	{"POST", notSMTP, nil},
	{"CONNECT", notSMTP, nil},
	{"PROXY", notSMTP, nil},
	{unknownVerb, unknownCommand, nil},
}

// unknownVerb is what an unknown command is called in logs, traces and metrics: its own text may be a password that was
// sent too early.
const unknownVerb = "unknown"

// findVerb finds a verb in any case; the last of the table stands for all that are not there. A letter outside ASCII may fold
// to one of a verb, but none is as long.
func findVerb(name string) *verb {
	for i := range verbs[:len(verbs)-1] {
		if len(verbs[i].name) == len(name) && strings.EqualFold(verbs[i].name, name) {
			return &verbs[i]
		}
	}
	return &verbs[len(verbs)-1]
}

// Replies that several verbs give. RFC 5321, section 4.2.2.
var (
	okReply            = smtp.NewReply(250, 2, 0, 0, "OK")
	badSequence        = smtp.NewReply(503, 5, 5, 1, "Bad sequence of commands")
	argumentMissing    = smtp.NewReply(501, 5, 5, 4, "Argument missing")
	argumentUnexpected = smtp.NewReply(501, 5, 5, 4, "No argument allowed")
	commandUnknown     = smtp.NewReply(500, 5, 5, 1, "Command unknown")
	commandNotOffered  = smtp.NewReply(502, 5, 5, 1, "Command not implemented")
	helpReply          = smtp.NewReply(214, 2, 0, 0, "EHLO HELO STARTTLS AUTH MAIL RCPT DATA BDAT\nRSET NOOP QUIT VRFY HELP\nsee RFC 5321")
	cannotVerify       = smtp.NewReply(252, 2, 5, 0, "Cannot verify, send some mail and see")
	notAClient         = smtp.NewReply(554, 5, 5, 1, "SMTP is spoken here")
	goodbye            = smtp.NewReply(221, 2, 0, 0, "Bye")
)

func checkNothing(*dialogue, *command) *smtp.Reply { return nil }

func checkArgument(_ *dialogue, c *command) *smtp.Reply {
	if c.argument == "" {
		return argumentMissing
	}
	return nil
}

func checkNoArgument(_ *dialogue, c *command) *smtp.Reply {
	if c.argument != "" {
		return argumentUnexpected
	}
	return nil
}

func unknownCommand(*dialogue, *command) *smtp.Reply { return commandUnknown }

func notImplemented(*dialogue, *command) *smtp.Reply { return commandNotOffered }

// notSMTP sends away who speaks another protocol: a browser that was made to, or somebody who would be another's proxy (S9).
func notSMTP(d *dialogue, c *command) *smtp.Reply {
	d.hangUp(c.verb.name + " is no SMTP command")
	return notAClient
}

func proceedRset(d *dialogue, _ *command) *smtp.Reply {
	d.reset()
	return okReply
}

func proceedNoop(*dialogue, *command) *smtp.Reply { return okReply }

func proceedVrfy(*dialogue, *command) *smtp.Reply { return cannotVerify }

func proceedHelp(*dialogue, *command) *smtp.Reply { return helpReply }

func proceedQuit(*dialogue, *command) *smtp.Reply { return goodbye }
