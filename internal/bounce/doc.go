// Package bounce decides who is told what became of a message, and what happens to mail that failed and may not be sent back. It
// is pure; how a notification reads is message.Report. Start with Decide. In words (Mail Manager, E14, E18 and E21; RFC 3461,
// sections 4.1, 5.2 and 6):
//
// Who asked to hear nothing (NOTIFY=NEVER, or a NOTIFY without what happened) hears nothing, and mail that failed then ends. Who
// did not ask hears of failures, and of a delay unless the message came from a machine or a list. A delay is told once, after 4
// hours. A success is told only to who asked: when a next hop took the message that does not report itself, and when it reached a
// mailbox.
//
// Nothing is ever told to the null reverse-path, so that no notification begets another, nor to a reverse-path that may be forged:
// the session was authenticated, or SPF passed, or the operator answers for it (bounces.always). Mail that failed and may not be
// told of is held, never dropped.
//
// A rule's Bounce action tells of a failure in the same way, but never a machine or a list. Where it may not tell, it did not
// succeed, and nothing is held for it: the recipient goes on in the rule set.
package bounce
