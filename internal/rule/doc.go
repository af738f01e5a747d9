// Package rule decides what is done with an accepted message: a rule set, compiled, and an evaluator that is resumable and
// pure. It never acts: Set.Next returns a step, one action for one group of recipients in one message state, is told its
// outcome, and goes on; it changes the message's own state by itself (AddHeader, ReplaceRecipient, Drop). The Cursor is the
// evaluation and can wait, encoded, in the spool; Reasons are why things were decided as they were, rule by rule.
//
// Conditions that need outside help (verdicts, DMARC, add-ons) cannot tell, and say so. Start with Compile,
// Cursor.Reset and Set.Next. Source: Mail Manager, sections 4 and 5; Mail Manager, D1 to D12, D16, D19, D20 and E12.
package rule
