package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"sluice/test/peers/peer"
)

// Outcomes that are not a reply.
const (
	accepted   = "accepted"
	noTLS      = "no TLS"      // the handshake failed
	noStartTLS = "no STARTTLS" // it was not offered
	noAuth     = "no AUTH"     // it was not offered
)

// swaksCase is a call of swaks and what comes of it. In args, $name stands for the id of the ingress point of that name, and
// $dir for the folder with the certificates.
type swaksCase struct {
	name string
	to   string // listener
	args string
	want string // an outcome, or the first reply that refuses something
	why  string // in what the server has as the reason for the session's end; empty: the reply says it
}

// Which of its certificates a client has.
const (
	certGood     = " --tls-cert $dir/good.pem --tls-key $dir/good.key"
	certExpired  = " --tls-cert $dir/expired.pem --tls-key $dir/expired.key"
	certRevoked  = " --tls-cert $dir/revoked.pem --tls-key $dir/revoked.key"
	certForeign  = " --tls-cert $dir/foreign.pem --tls-key $dir/foreign.key"
	certImpostor = " --tls-cert $dir/impostor.pem --tls-key $dir/impostor.key"
	certLapsed   = " --tls-cert $dir/lapsed.pem --tls-key $dir/lapsed.key"
)

// How a client logs in: a mechanism, and a user and a password to come.
const (
	authPlain = " --auth PLAIN --auth-user "
	authLogin = " --auth LOGIN --auth-user "

	withFirst  = " --auth-password " + firstPassword
	withSecond = " --auth-password " + secondPassword
	withThird  = " --auth-password " + thirdPassword
	withWrong  = " --auth-password a-wrong-password"
)

const sni = " --tls-sni "

// onEveryPath are the cases whose outcome is the same however the client comes to TLS, of either version.
var onEveryPath = []swaksCase{
	{"open point", "", sni + "open.example", accepted, ""},
	{"open point, no name", "", "", accepted, ""},
	{"open point, another name", "", sni + "nobody.example", accepted, ""},
	{"FIPS point", "", sni + "fips.example", accepted, ""},

	{"certificate good", "", sni + "mtls.example" + certGood, accepted, ""},
	{"certificate absent", "", sni + "mtls.example", noTLS, "client didn't provide a certificate"},
	{"certificate expired", "", sni + "mtls.example" + certExpired, noTLS, "is expired"},
	{"certificate revoked", "", sni + "mtls.example" + certRevoked, noTLS, "is revoked"},
	{"certificate of a foreign CA", "", sni + "mtls.example" + certForeign, noTLS, "is of no CA"},
	{"certificate of a CA of the same name", "", sni + "mtls.example" + certImpostor, noTLS, "is of no CA"},
	{"certificate of a CA whose CRL expired", "", sni + "lapsed.example" + certLapsed, noTLS, "revocation list is expired"},
	{"certificate where none is wanted", "", sni + "open.example" + certRevoked, accepted, ""},

	{"PLAIN", "", sni + "auth.example" + authPlain + "$auth" + withSecond, accepted, ""},
	{"LOGIN", "", sni + "auth.example" + authLogin + "$auth" + withSecond, accepted, ""},
	{"PLAIN, the user says which point", "", authPlain + "$auth" + withSecond, accepted, ""},
	{"PLAIN, bad password", "", sni + "auth.example" + authPlain + "$auth" + withWrong, "535 5.7.8 ", ""},
	{"LOGIN, bad password", "", sni + "auth.example" + authLogin + "$auth" + withWrong, "535 5.7.8 ", ""},
	{"no AUTH", "", sni + "auth.example", "530 5.7.0 Authentication required", ""},
}

// The paths of onEveryPath.
var paths = []swaksCase{
	{"STARTTLS, TLS 1.2", "mx", "--tls --tls-protocol tlsv1_2", "", ""},
	{"STARTTLS, TLS 1.3", "mx", "--tls --tls-protocol tlsv1_3", "", ""},
	{"implicit, TLS 1.2", "mxs", "--tls-on-connect --tls-protocol tlsv1_2", "", ""},
	{"implicit, TLS 1.3", "mxs", "--tls-on-connect --tls-protocol tlsv1_3", "", ""},
}

const (
	oldTLS   = " --tls-protocol tlsv1_1 --tls-cipher DEFAULT@SECLEVEL=0"
	cbc      = " --tls-protocol tlsv1_2 --tls-cipher ECDHE-ECDSA-AES128-SHA256"
	chaCha   = " --tls-protocol tlsv1_2 --tls-cipher ECDHE-ECDSA-CHACHA20-POLY1305"
	firstCA  = " --tls-verify --tls-ca-path $dir/first-ca.pem"
	secondCA = " --tls-verify --tls-ca-path $dir/second-ca.pem"
)

// otherTLS are the cases of the TLS policies, and of what TLS is refused.
var otherTLS = []swaksCase{
	{"TLS 1.1", "mx", "--tls" + oldTLS, noTLS, "unsupported versions"},
	{"TLS 1.1, implicit", "mxs", "--tls-on-connect" + oldTLS, noTLS, "unsupported versions"},
	{"TLS 1.1, FIPS point", "fipsAlone", "--tls" + oldTLS, noTLS, "unsupported versions"},
	{"a suite with CBC", "mx", "--tls" + cbc, noTLS, "no cipher suite"},
	{"a suite of no FIPS", "mx", "--tls" + chaCha, accepted, ""},
	{"a suite of no FIPS, FIPS point", "mx", "--tls" + chaCha + sni + "fips.example", noTLS, "no cipher suite"},
	{"TLS on the clear port", "mx", "--tls-on-connect", noTLS, ""},
	{"a listener without TLS", "clear", "--tls", noStartTLS, ""},
	{"a listener without TLS, in clear", "clear", "", accepted, ""},
	{"the best there is", "mx", "--tls", accepted, ""},

	{"our certificate", "mx", "--tls" + firstCA, accepted, ""},
	{"our certificate, implicit", "mxs", "--tls-on-connect" + firstCA, accepted, ""},
	{"our certificate, another CA", "mx", "--tls --tls-protocol tlsv1_2" + secondCA, noTLS, "unknown certificate authority"},
	{"our second certificate", "mx", "--tls" + secondCA + sni + "second.example", accepted, ""},
	{"our second certificate, another CA", "mx", "--tls --tls-protocol tlsv1_2" + firstCA + sni + "second.example", noTLS, "unknown certificate authority"},
	{"our certificate, a name we have none for", "mx", "--tls" + firstCA + sni + "third.example", accepted, ""},

	{"clear, OPTIONAL", "mx", "", accepted, ""},
	{"clear, REQUIRED", "required", "", "530 5.7.0 Must issue a STARTTLS command first", ""},
	{"STARTTLS, REQUIRED", "required", "--tls", accepted, ""},
	{"clear, FIPS", "fipsAlone", "", "530 5.7.0 Must issue a STARTTLS command first", ""},
	{"clear, AUTH point", "authAlone", "", "530 5.7.0 Must issue a STARTTLS command first", ""},
	{"clear, MTLS point", "mtlsAlone", "", "530 5.7.0 Must issue a STARTTLS command first", ""},
	{"MTLS point with an address of its own", "mtlsAlone", "--tls" + certGood, accepted, ""},
	{"MTLS point with an address of its own, nothing proved", "mtlsAlone", "--tls", noTLS, "client didn't provide a certificate"},
}

// otherAuth are the cases of passwords. Those of auth and authAlone are first and second, of stale too: the second is 14 days old there.
var otherAuth = []swaksCase{
	{"PLAIN, old password within grace", "mx", "--tls" + sni + "auth.example" + authPlain + "$auth" + withFirst, accepted, ""},
	{"LOGIN, old password within grace", "mx", "--tls" + sni + "auth.example" + authLogin + "$auth" + withFirst, accepted, ""},
	{"PLAIN, old password after grace", "mx", "--tls" + sni + "stale.example" + authPlain + "$stale" + withFirst, "535 5.7.8 ", ""},
	{"LOGIN, old password after grace", "mx", "--tls" + sni + "stale.example" + authLogin + "$stale" + withFirst, "535 5.7.8 ", ""},
	{"PLAIN, new password after grace", "mx", "--tls" + sni + "stale.example" + authPlain + "$stale" + withSecond, accepted, ""},
	{"LOGIN, new password after grace", "mx", "--tls" + sni + "stale.example" + authLogin + "$stale" + withSecond, accepted, ""},

	{"PLAIN, current version of the secret", "mx", "--tls" + sni + "secret.example" + authPlain + "$secret" + withThird, accepted, ""},
	{"LOGIN, current version of the secret", "mx", "--tls" + sni + "secret.example" + authLogin + "$secret" + withThird, accepted, ""},
	{"PLAIN, previous version of the secret", "mx", "--tls" + sni + "secret.example" + authPlain + "$secret" + withSecond, accepted, ""},
	{"LOGIN, previous version of the secret", "mx", "--tls" + sni + "secret.example" + authLogin + "$secret" + withSecond, accepted, ""},
	{"PLAIN, version before the previous one", "mx", "--tls" + sni + "secret.example" + authPlain + "$secret" + withFirst, "535 5.7.8 ", ""},
	{"LOGIN, version before the previous one", "mx", "--tls" + sni + "secret.example" + authLogin + "$secret" + withFirst, "535 5.7.8 ", ""},

	{"PLAIN, wrong user", "mx", "--tls" + authPlain + "inp-nobody" + withSecond, "535 5.7.8 ", ""},
	{"LOGIN, wrong user", "mx", "--tls" + authLogin + "inp-nobody" + withSecond, "535 5.7.8 ", ""},
	{"PLAIN, the point's name", "mx", "--tls" + authPlain + "auth" + withSecond, "535 5.7.8 ", ""},
	{"PLAIN, the user of another point than the name's", "mx", "--tls" + sni + "auth.example" + authPlain + "$stale" + withSecond, "535 5.7.8 ", ""},
	{"PLAIN, the user of another listener", "mx", "--tls" + authPlain + "$authAlone" + withFirst, "535 5.7.8 ", ""},
	{"PLAIN, the user of an OPEN point", "mx", "--tls" + authPlain + "$open" + withSecond, "535 5.7.8 ", ""},
	{"PLAIN, point with an address of its own", "authAlone", "--tls" + authPlain + "$authAlone" + withFirst, accepted, ""},

	{"PLAIN in clear", "authAlone", authPlain + "$authAlone" + withFirst, noAuth, ""},
	{"LOGIN in clear", "authAlone", authLogin + "$authAlone" + withFirst, noAuth, ""},
	{"PLAIN in clear, shared listener", "mx", authPlain + "$auth" + withSecond, noAuth, ""},
	{"PLAIN in clear all the same", "authAlone", authPlain + "$authAlone" + withFirst + " --auth-optional", "530 5.7.0 Must issue a STARTTLS", ""},
	{"CRAM-MD5", "mx", "--tls --auth CRAM-MD5 --auth-user $auth" + withSecond, noAuth, ""},
	{"PLAIN, OPEN point", "mx", "--tls" + sni + "open.example" + authPlain + "$auth" + withSecond, noAuth, ""},
}

// What a proxy says of its client, whose address is to come.
const (
	v1     = " --proxy-version 1 --proxy-dest 203.0.113.1 --proxy-dest-port 25 --proxy-source-port 40000 --proxy-family TCP4 --proxy-source "
	v1IPv6 = " --proxy-version 1 --proxy-dest 2001:db8::1 --proxy-dest-port 25 --proxy-source-port 40000 --proxy-family TCP6 --proxy-source "
	v2     = " --proxy-version 2 --proxy-dest 203.0.113.1 --proxy-dest-port 25 --proxy-source-port 40000 --proxy-family AF_INET --proxy-source "
	v2IPv6 = " --proxy-version 2 --proxy-dest 2001:db8::1 --proxy-dest-port 25 --proxy-source-port 40000 --proxy-family AF_INET6 --proxy-source "

	byProxy  = " a-proxy" // that is put in place of this, one a case
	tls12    = " --tls --tls-protocol tlsv1_2"
	tls13    = " --tls --tls-protocol tlsv1_3"
	wrapped2 = " --tls-on-connect --tls-protocol tlsv1_2"
	wrapped3 = " --tls-on-connect --tls-protocol tlsv1_3"
)

// fromProxies are the cases of a point whose traffic policy allows 198.51.100.0/24 only.
var fromProxies = []swaksCase{
	{"v1", "edge", byProxy + v1 + "198.51.100.1", accepted, ""},
	{"v2", "edge", byProxy + v2 + "198.51.100.2", accepted, ""},
	{"v1, STARTTLS 1.2", "edge", byProxy + v1 + "198.51.100.3" + tls12, accepted, ""},
	{"v2, STARTTLS 1.2", "edge", byProxy + v2 + "198.51.100.4" + tls12, accepted, ""},
	{"v1, STARTTLS 1.3", "edge", byProxy + v1 + "198.51.100.5" + tls13, accepted, ""},
	{"v2, STARTTLS 1.3", "edge", byProxy + v2 + "198.51.100.6" + tls13, accepted, ""},
	{"v1, implicit 1.2", "edges", byProxy + v1 + "198.51.100.7" + wrapped2, accepted, ""},
	{"v2, implicit 1.2", "edges", byProxy + v2 + "198.51.100.8" + wrapped2, accepted, ""},
	{"v1, implicit 1.3", "edges", byProxy + v1 + "198.51.100.9" + wrapped3, accepted, ""},
	{"v2, implicit 1.3", "edges", byProxy + v2 + "198.51.100.10" + wrapped3, accepted, ""},

	{"v1, a client that the policy denies", "edge", byProxy + v1 + "192.0.2.1", "550 5.7.1 ", ""},
	{"v2, a client that the policy denies", "edge", byProxy + v2 + "192.0.2.2", "550 5.7.1 ", ""},
	{"v1, a client that the policy denies, implicit", "edges", byProxy + v1 + "192.0.2.3" + wrapped3, "550 5.7.1 ", ""},
	{"v2, a client that the policy denies, implicit", "edges", byProxy + v2 + "192.0.2.4" + wrapped3, "550 5.7.1 ", ""},
	{"v1, IPv6 to an IPv4 point", "edge", byProxy + v1IPv6 + "2001:db8::2", "421 4.3.2 ", ""},
	{"v2, IPv6 to an IPv4 point", "edge", byProxy + v2IPv6 + "2001:db8::3", "421 4.3.2 ", ""},
	{"v2, of no TCP connection", "edge", byProxy + v2 + "198.51.100.11 --proxy-protocol DGRAM", "421 4.7.0 Malformed PROXY header", ""},
	{"v2, of nobody: the proxy's address counts", "edge", byProxy + v2 + "198.51.100.12 --proxy-protocol UNSPEC", "550 5.7.1 ", ""},
	{"v1, malformed", "edge", byProxy + " --proxy-version 1 --proxy malformed", "421 4.7.0 Malformed PROXY header", ""},
	{"v2, malformed", "edge", byProxy + " --proxy-version 2 --proxy malformed", "421 4.7.0 Malformed PROXY header", ""},
	{"v1, malformed, implicit", "edges", byProxy + " --proxy-version 1 --proxy malformed" + wrapped3, noTLS, "PROXY header: "},
	{"no header, implicit", "edges", byProxy + wrapped3, noTLS, "PROXY header: "},
	{"no header, not from a proxy: its address counts", "edge", "", "550 5.7.1 ", ""},
}

// notFromProxies are the cases of a header that is not asked for. The server waits before it greets, so that it never greets
// first.
var notFromProxies = []swaksCase{
	{"v1 from elsewhere", "edge", v1 + "198.51.100.1", "554 5.5.1 ", ""},
	{"v2 from elsewhere", "edge", v2 + "198.51.100.1", "554 5.5.1 ", ""},
	{"v1 from elsewhere, STARTTLS", "edge", v1 + "198.51.100.1" + tls13, "554 5.5.1 ", ""},
	{"v2 from elsewhere, STARTTLS", "edge", v2 + "198.51.100.1" + tls13, "554 5.5.1 ", ""},
	{"v1 from elsewhere, implicit", "edges", v1 + "198.51.100.1" + wrapped3, noTLS, "does not look like a TLS handshake"},
	{"v2 from elsewhere, implicit", "edges", v2 + "198.51.100.1" + wrapped3, noTLS, "does not look like a TLS handshake"},
	{"v1 to a listener without proxies", "mx", v1 + "198.51.100.1", "554 5.5.1 ", ""},
	{"v2 to a listener without proxies", "mx", v2 + "198.51.100.1", "554 5.5.1 ", ""},
	{"v1 to a listener without proxies, implicit", "mxs", v1 + "198.51.100.1" + wrapped3, noTLS, "does not look like a TLS handshake"},
	{"v2 to a listener without proxies, implicit", "mxs", v2 + "198.51.100.1" + wrapped3, noTLS, "does not look like a TLS handshake"},
}

// TestSwaksMatrix lets swaks come to every kind of ingress point in every way, and holds what becomes of it.
func TestSwaksMatrix(t *testing.T) {
	t.Parallel()
	peer.Require(t, "swaks", "apt-get install swaks")
	peer.RequireRun(t, "apt-get install libnet-ssleay-perl", "perl", "-MNet::SSLeay", "-e1")
	var cases []swaksCase
	for _, path := range paths {
		for _, c := range onEveryPath {
			cases = append(cases, swaksCase{path.name + ": " + c.name, path.to, path.args + c.args, c.want, c.why})
		}
	}
	openFront(t, 0).meet(t, slices.Concat(cases, otherTLS, otherAuth, fromProxies))
	openFront(t, longDelay).meet(t, notFromProxies)
}

// longDelay is a delay of the greeting that no client waits for which speaks at once, and that swaks would wait for.
const longDelay = 10 * time.Second

const localInterface = " --local-interface "

// meet runs cases. Each has a source address of its own, so that failed logins of one slow down no other (S10), and
// why its session ended is told from why another's did.
func (f *front) meet(t *testing.T, cases []swaksCase) {
	for i, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			network := "127.1"
			args, proxied := strings.CutPrefix(c.args, byProxy)
			if proxied {
				network = "127.2"
			}
			source := fmt.Sprintf("%s.%d.%d", network, i/250, i%250+1)
			c.args = args + localInterface + source
			transcript, err := f.swaks(t, c)
			got := outcome(transcript, err)
			if !strings.HasPrefix(got, c.want) || (err == nil) != (c.want == accepted) {
				t.Fatalf("got %q and %v, want %q\n%s", got, err, c.want, transcript)
			}
			if version := versionOf(c.args); c.want == accepted && !strings.Contains(transcript, version) {
				t.Errorf("%q is not in\n%s", version, transcript)
			}
			if c.why == "" {
				return
			}
			if why := f.sessions.end(t, source); !strings.Contains(why, c.why) {
				t.Errorf("the session ended because of %q, want %q", why, c.why)
			}
		})
	}
}

// swaks runs swaks for a case, with the defaults of OpenSSL, whatever the machine's are.
func (f *front) swaks(t *testing.T, c swaksCase) (transcript string, err error) {
	t.Helper()
	args := os.Expand(c.args, func(name string) string {
		if name == "dir" {
			return f.dir
		}
		return f.points[name]
	})
	command := exec.CommandContext(t.Context(), "swaks", strings.Fields(args)...)
	command.Args = append(command.Args, "--server", f.listeners[c.to], "--from", "a@example.org", "--to", "b@example.com", "--helo", "client.example")
	command.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + f.dir, "OPENSSL_CONF=" + os.DevNull}
	out, err := command.CombinedOutput()
	return string(out), err
}

var (
	acceptance = regexp.MustCompile(`(?m)^<[-~]  250 2\.0\.0 OK [0-9a-v]{40}$`)
	refusal    = regexp.MustCompile(`(?m)^<[*~]\* (\d{3} .*)$`)
	complaint  = regexp.MustCompile(`(?m)^\*\*\* (.*)$`)
)

// complaints are what swaks says about an outcome that is not a reply.
var complaints = map[string]string{
	"Host did not advertise STARTTLS":                  noStartTLS,
	"Host did not advertise authentication":            noAuth,
	"Auth not attempted, requested type not available": noAuth,
	"TLS startup failed":                               noTLS,
	"STARTTLS attempted but failed":                    noTLS,
	"Remote host closed connection unexpectedly.":      noTLS, // TLS 1.3: the client is done before the server has looked
}

// outcome is what a run of swaks comes to.
func outcome(transcript string, err error) string {
	if acceptance.MatchString(transcript) {
		return accepted
	}
	if found := refusal.FindStringSubmatch(transcript); found != nil {
		return found[1]
	}
	if found := complaint.FindStringSubmatch(transcript); found != nil {
		for begin, result := range complaints {
			if strings.HasPrefix(found[1], begin) {
				return result
			}
		}
	}
	if failed, ok := errors.AsType[*exec.ExitError](err); ok && failed.Sys().(syscall.WaitStatus).Signal() == syscall.SIGPIPE {
		return noTLS // it writes its hello to a connection that is closed
	}
	return "nothing that is known"
}

// versionOf is what swaks says once it speaks the version that the arguments ask for; empty when they do not.
func versionOf(args string) string {
	_, rest, ok := strings.Cut(args, "--tls-protocol tlsv")
	if !ok {
		return ""
	}
	version, _, _ := strings.Cut(rest, " ")
	return "TLS started with cipher TLSv" + strings.Replace(version, "_", ".", 1) + ":"
}
