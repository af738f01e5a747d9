// Package smtp has the words of SMTP that its server and its client share: replies with enhanced codes, paths that
// remember what was received, ESMTP parameters and command lines. It parses and prints; it opens no connection.
// Source: RFC 5321, sections 4.1 and 4.2; RFC 3463 and RFC 2034 (enhanced codes); RFC 1870 (SIZE), RFC 6152 (8BITMIME),
// RFC 6531 (SMTPUTF8), RFC 3461 and RFC 6533 (DSN), RFC 3030 (CHUNKING), RFC 4954 (AUTH). Left out on purpose: address
// literals with a tag other than IPv6, and mailboxes without a domain, <postmaster> included (Mail Manager, B15 and B16).
//
// A server begins with ParseCommand, a client with ReadReply.
package smtp
