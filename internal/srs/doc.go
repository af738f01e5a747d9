// Package srs rewrites reverse-paths so that a next hop, which asks by SPF whether we may send for their domain, sees a domain
// of ours, and so that what comes back to a rewritten path finds its way (Mail Manager, E3 and E19). It is the Sender Rewriting
// Scheme with guarded forms:
//
//	jo@example.com                      SRS0=HHHHHHHH=TT=example.com=jo@ours
//	SRS0=hash=tt=example.com=jo@hop1    SRS1=HHHHHHHH=hop1==hash=tt=example.com=jo@ours
//	SRS1=hash=hop1==rest@hop2           SRS1=HHHHHHHH=hop1==rest@ours
//
// TT is the day of the rewriting, modulo 1024; H is the first 40 bits of an HMAC-SHA-256 over what follows it. Nobody can test a
// guess but by asking us, once for each, so that 40 bits are enough; the 20 of other implementations are not.
//
// Hosts on the way may change the case of letters, so that neither the hash nor what it covers depends on it. A path with SRS1
// has no day: the host that it leads back to has put one into the path inside.
//
// Start with New. Left out: any separator but "=" in what we make, databases, and rewriting without a hash.
package srs
