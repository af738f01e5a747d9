// Package trust decides whom an ingress point with client certificates lets in: the trust store of CAs and revocation lists,
// compiled, and the chain that a client presents. It is told the time and opens nothing. Facts reads what a certificate says
// of its subject, for rules and logs.
//
// Chains are built by crypto/x509. Beyond it: revocation lists; the rules by which a CA leaves the store while its
// certificate, or its list, is out of date; and the alternative names that crypto/x509 does not read. Left out: delta and
// indirect revocation lists, which are refused; OCSP; names of the kinds otherName, x400Address and ediPartyName. Start with
// Compile and Store.Verify. Source: RFC 5280; Mail Manager, section 2.3; Mail Manager, B6 and D16.
package trust
