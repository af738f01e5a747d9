// Package dialogues has what SMTP clients and Sluice say to each other as text, in testdata: one topic each, played against
// the real server over TCP, with everything that is accepted compared as it arrives at the next hop. A bug of the protocol is
// first a dialogue here. Begin with script, which has the form of the files; codes_test.go has every reply code of RFC 5321,
// section 4.3.2, with the dialogue that shows it.
package dialogues
