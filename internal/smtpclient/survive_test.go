package smtpclient

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sluice/internal/certs/certtest"
	"sluice/internal/smtp"
)

// Beginnings of dialogues.
const (
	greeted  = "S: 220 host|C: EHLO mail.example.org|"
	offered  = greeted + "S: 250-host|S: 250 STARTTLS|"
	asked    = offered + "C: STARTTLS|"
	secured  = asked + "S: 220 go ahead|handshake|C: EHLO mail.example.org|"
	sentOne  = "|C: MAIL FROM:<a@example.org>|S: 250 ok|C: RCPT TO:<b@example.net>|S: 250 ok|C: DATA|S: 354 go|C: x|C: .|S: 250 ok|C: QUIT|S: 221 bye"
	password = "hunter2-secret"
)

// script is a dialogue whose lines are separated by "|", with one message to be sent.
func script(mode, wire string) dialogue {
	transaction := newTransaction([]string{"a@example.org", "b@example.net"})
	transaction.Content.(*content).WriteString("x\r\n")
	return dialogue{tls: mode, wire: strings.Split(wire, "|"), transactions: []*Transaction{transaction}}
}

// TestS3InjectedBeforeTLS: octets that came in clear behind the host's consent to STARTTLS are an error, whatever they are: what
// an attacker put there would count as said within TLS. So is a reply that came before STARTTLS was asked for.
func TestS3InjectedBeforeTLS(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, wire string }{
		{"a reply", asked + `S: 220 go ahead\r\n250 host`},
		{"EHLO's reply and more", asked + `S: 220 go ahead\r\n250-host\r\n250 AUTH PLAIN\r\n235 ok`},
		{"a refusal", asked + `S: 220 go ahead\r\n554 no`},
		{"no reply", asked + `S: 220 go ahead\r\nx`},
		{"an empty line", asked + `S: 220 go ahead\r\n`},
		{"a TLS record", asked + "S: 220 go ahead\\r\\n\x16\x03\x03\x00\x02\x02\x00"},
		{"consent before it was asked for", greeted + `S: 250-host\r\n250 STARTTLS\r\n220 go ahead`},
		{"a refusal before it was asked for", greeted + `S: 250-host\r\n250 STARTTLS\r\n454 not now`},
	}
	for _, test := range tests {
		for _, mode := range []string{"opportunistic", "opportunistic unverified", "required"} {
			t.Run(test.name+" "+mode, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					d := script(mode, test.wire)
					if done, err := d.talk(t); !errors.Is(err, ErrProtocol) || len(done) > 0 {
						t.Errorf("got %v, want a protocol error", err)
					}
				})
			})
		}
	}
}

// TestS3ForgetsClear: nothing that EHLO said in clear is believed within TLS, nor that a mechanism of AUTH was offered.
func TestS3ForgetsClear(t *testing.T) {
	t.Parallel()
	const clear = greeted + "S: 250-host|S: 250-STARTTLS|S: 250-PIPELINING|S: 250-CHUNKING|S: 250-DSN|S: 250-SMTPUTF8|" +
		"S: 250-SIZE 1|S: 250 AUTH PLAIN LOGIN|C: STARTTLS|S: 220 go ahead|handshake|C: EHLO mail.example.org|"
	synctest.Test(t, func(t *testing.T) {
		d := script("required", clear+"S: 250 host"+sentOne)
		d.chunking = true
		d.transactions[0].Size, d.transactions[0].Return = 3, "FULL"
		if done, err := d.talk(t); err != nil || deliveries(done) != 1 || done[0].DSN {
			t.Errorf("got %v", outcomes(done, err))
		}
		d = script("required", clear+"S: 250 host")
		d.auth = &Credentials{User: "user", Password: password}
		if _, err := d.talk(t); !errors.Is(err, ErrNoAuth) {
			t.Errorf("got %v, want ErrNoAuth", err)
		}
	})
}

// TestS26RequiredIsNeverClear: where TLS is required, there is no way to a transaction without it.
func TestS26RequiredIsNeverClear(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, wire string
		noTLS      bool // else the handshake fails
	}{
		{"not offered", greeted + "S: 250-host|S: 250 PIPELINING", true},
		{"stripped", greeted + "S: 250-host|S: 250-XXXXXXXA|S: 250 PIPELINING", true},
		{"HELO", greeted + "S: 502 what?|C: HELO mail.example.org|S: 250-host|S: 250 STARTTLS", true},
		{"not now", asked + "S: 454 4.7.0 TLS not available", true},
		{"refused", asked + "S: 502 5.5.1 what?", true},
		{"syntax", asked + "S: 501 5.5.4 no", true},
		{"mail is refused anyhow", asked + "S: 554 5.7.1 no", true},
		{"closing", asked + "S: 421 4.3.2 bye", true},
		{"junk in the handshake", asked + "S: 220 go ahead|junk 250 host", false},
		{"a refusal in the handshake", asked + "S: 220 go ahead|junk 454 4.7.0 changed my mind", false},
		{"lost in the handshake", asked + "S: 220 go ahead|close", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d := script("required", test.wire)
				done, err := d.talk(t)
				handshake := new(HandshakeError)
				if errors.Is(err, ErrNoTLS) != test.noTLS || errors.As(err, &handshake) == test.noTLS || len(done) > 0 {
					t.Errorf("got %v, want ErrNoTLS: %v", err, test.noTLS)
				}
			})
		})
	}
}

// TestS26Certificates: a host that cannot prove its name gets nothing, and nothing in clear either; with Opportunistic too, where
// the caller may dial again.
func TestS26Certificates(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		security func(trusted, other *certtest.CA) *tls.Config
	}{
		{"another's name", func(ca, _ *certtest.CA) *tls.Config { return securityOf(ca.Issue("other.example.net", nil)) }},
		{"a name below", func(ca, _ *certtest.CA) *tls.Config { return securityOf(ca.Issue("mx."+hostName, nil)) }},
		{"expired", func(ca, _ *certtest.CA) *tls.Config { return securityOf(ca.Issue(hostName, certtest.Expired)) }},
		{"unknown authority", func(_, other *certtest.CA) *tls.Config { return securityOf(other.Issue(hostName, nil)) }},
		{"for clients only", func(ca, _ *certtest.CA) *tls.Config {
			return securityOf(ca.Issue(hostName, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }))
		}},
		{"TLS 1.1", func(ca, _ *certtest.CA) *tls.Config {
			old := securityOf(ca.Issue(hostName, nil))
			old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
			return old
		}},
	}
	for _, test := range tests {
		for mode, wire := range map[string]string{
			"opportunistic": asked + "S: 220 go ahead|handshake", "required": asked + "S: 220 go ahead|handshake", "implicit": "handshake",
		} {
			t.Run(test.name+" "+mode, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					d := script(mode, wire)
					cfg := d.config()
					cfg.TLS.Config.RootCAs = x509.NewCertPool()
					cfg.TLS.Config.MinVersion = tls.VersionTLS10 // which is not obeyed
					good, other := certtest.New(t, "good", nil), certtest.New(t, "other", nil)
					cfg.TLS.Config.RootCAs.AddCert(good.Certificate())
					done, err := d.talkAs(t, cfg, test.security(good, other))
					if handshake := new(HandshakeError); !errors.As(err, &handshake) || len(done) > 0 {
						t.Errorf("got %v, want a failed handshake", err)
					}
				})
			})
		}
	}
}

// TestS27OnlyVerified: credentials are not sent to a host that TLS has not verified, nor by a mechanism that is not ours. The
// scripts end before AUTH.
func TestS27OnlyVerified(t *testing.T) {
	t.Parallel()
	const auth = "S: 250-host|S: 250 AUTH PLAIN LOGIN"
	tests := []struct{ name, mode, wire string }{
		{"in clear", "never", greeted + auth},
		{"in clear where STARTTLS is offered", "never", greeted + "S: 250-host|S: 250-STARTTLS|S: 250 AUTH PLAIN"},
		{"TLS is not offered", "opportunistic", greeted + auth},
		{"TLS is refused", "opportunistic", greeted + "S: 250-host|S: 250-STARTTLS|S: 250 AUTH PLAIN|C: STARTTLS|S: 454 no"},
		{"a stranger, opportunistic", "opportunistic unverified", secured + auth},
		{"a stranger, required", "required unverified", secured + auth},
		{"a stranger, implicit", "implicit unverified", "handshake|" + greeted + auth},
		{"no AUTH", "required", secured + "S: 250 host"},
		{"AUTH with nothing", "required", secured + "S: 250-host|S: 250 AUTH"},
		{"others only", "required", secured + "S: 250-host|S: 250 AUTH CRAM-MD5 DIGEST-MD5 NTLM XOAUTH2 PLAINER XLOGIN"},
		{"old spelling", "required", secured + "S: 250-host|S: 250 AUTH=PLAIN"},
		{"HELO", "required", secured + "S: 502 what?|C: HELO mail.example.org|" + auth},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d := script(test.mode, test.wire)
				d.auth = &Credentials{User: "user", Password: password}
				done, err := d.talk(t)
				if !errors.Is(err, ErrNoAuth) || len(done) > 0 {
					t.Errorf("got %v, want ErrNoAuth", err)
				}
			})
		})
	}
	t.Run("NUL", func(t *testing.T) { // would be a password that ends early
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			d := script("required", secured+"S: 250-host|S: 250 AUTH PLAIN")
			d.auth = &Credentials{User: "user", Password: "a\x00b"}
			if _, err := d.talk(t); !errors.Is(err, ErrNoAuth) {
				t.Errorf("got %v, want ErrNoAuth", err)
			}
		})
	})
}

// TestS27Replies: whatever a host answers to credentials, only 2yz is a welcome, and no error repeats the password.
func TestS27Replies(t *testing.T) {
	t.Parallel()
	const (
		plain = secured + "S: 250-host|S: 250 AUTH PLAIN LOGIN|C: AUTH PLAIN AHVzZXIAaHVudGVyMi1zZWNyZXQ=|"
		login = secured + "S: 250-host|S: 250 AUTH LOGIN|C: AUTH LOGIN|"
		user  = login + "S: 334 VXNlcm5hbWU6|C: dXNlcg==|"
		both  = user + "S: 334 UGFzc3dvcmQ6|C: aHVudGVyMi1zZWNyZXQ=|"
	)
	tests := []struct{ name, wire, want string }{
		{"refused", plain + "S: 535 5.7.8 bad credentials", "permanent"},
		{"too weak", plain + "S: 534 5.7.9 mechanism is too weak", "permanent"},
		{"not now", plain + "S: 454 4.7.0 temporary failure", "transient"},
		{"closing", plain + "S: 421 4.3.2 bye", "transient"},
		{"redirected", plain + "S: 551 5.1.6 log in at mx2.example.net", "permanent"},
		{"redirected by 3yz", plain + "S: 351 try mx2.example.net", "protocol"},
		{"354", plain + "S: 354 go", "protocol"},
		{"1yz", plain + "S: 134 go", "protocol"},
		{"PLAIN asks for more", plain + "S: 334 ", "protocol"},
		{"echo", plain + "S: 535 5.7.8 " + password + " is wrong", "permanent"},
		{"echo in lines", plain + "S: 535-5.7.8 wrong|S: 535 5.7.8 " + password, "permanent"},
		{"echo as sent", plain + "S: 535 5.7.8 AHVzZXIAaHVudGVyMi1zZWNyZXQ= is wrong", "permanent"},
		{"echo out of turn", plain + `S: 334 \r\n535 ` + password, "protocol"},
		{"LOGIN refused", login + "S: 504 5.5.4 unknown mechanism", "permanent"},
		{"user refused", user + "S: 535 5.7.8 no such user", "permanent"},
		{"password refused", both + "S: 535 5.7.8 bad credentials", "permanent"},
		{"password echoed", both + "S: 454 4.7.0 aHVudGVyMi1zZWNyZXQ=", "transient"},
		{"LOGIN asks for more", both + "S: 334 T1RQOg==", "protocol"},
		{"LOGIN with 3yz", login + "S: 354 VXNlcm5hbWU6", "protocol"},
		{"endless challenge", login + "S: 334 " + strings.Repeat("V", 4_096), "protocol"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d := script("required", test.wire)
				d.auth = &Credentials{User: "user", Password: password}
				done, err := d.talk(t)
				if got := kindOf(err); got != test.want || len(done) > 0 {
					t.Errorf("got %v, want %s", err, test.want)
				}
				if text := err.Error(); strings.Contains(text, password) || strings.Contains(text, "aHVudGVyMi1zZWNyZXQ") {
					t.Errorf("the error repeats the password: %s", text)
				}
			})
		})
	}
}

// kindOf is what a failed authentication means to the caller.
func kindOf(err error) string {
	refused, reply := new(AuthError), new(smtp.Reply)
	switch {
	case errors.Is(err, ErrProtocol):
		return "protocol"
	case !errors.As(err, &refused) || !errors.As(err, &reply):
		return "neither"
	case reply.Permanent():
		return "permanent"
	}
	return "transient"
}

// TestS27EchoLater: nor does any later reply, which traces would keep.
func TestS27EchoLater(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := script("required", secured+"S: 250-host|S: 250 AUTH PLAIN|C: AUTH PLAIN AHVzZXIAaHVudGVyMi1zZWNyZXQ=|S: 235 ok|"+
			"C: MAIL FROM:<a@example.org>|S: 550 5.7.1 not with "+password+"|C: QUIT|S: 221 bye")
		d.auth = &Credentials{User: "user", Password: password}
		done, err := d.talk(t)
		if got, want := strings.Join(outcomes(done, err), "\n"), "answered | 550 5.7.1 "+withheld+"\nconnection: <nil>"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func TestCredentialsPrintWithoutPassword(t *testing.T) {
	t.Parallel()
	credentials := Credentials{User: "user", Password: password}
	inJSON, err := json.Marshal(credentials)
	if err != nil {
		t.Fatal(err)
	}
	texts := []string{string(inJSON), fmt.Sprint(credentials, &credentials)}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		texts = append(texts, fmt.Sprintf(verb, credentials), fmt.Sprintf(verb, &credentials), fmt.Sprintf(verb, Config{Auth: &credentials}))
	}
	for _, text := range texts {
		if strings.Contains(text, password) {
			t.Errorf("%s", text)
		}
	}
}

// TestSecurityTimeouts shows that STARTTLS, the handshake and AUTH end by themselves.
func TestSecurityTimeouts(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, mode, wire string
		want             time.Duration
		handshake        bool
	}{
		{"STARTTLS", "required", asked + "hang", 5 * time.Minute, false},
		{"handshake", "required", asked + "S: 220 go ahead|hang", time.Minute, true},
		{"half a handshake", "opportunistic", asked + "S: 220 go ahead|junk \x16\x03\x03\x40\x00|hang", time.Minute, true},
		{"implicit", "implicit", "hang", time.Minute, true},
		{"greeting within TLS", "implicit", "handshake|hang", 5 * time.Minute, false},
		{"EHLO within TLS", "required", secured + "hang", 5 * time.Minute, false},
		{"AUTH", "required", secured + "S: 250-host|S: 250 AUTH PLAIN|C: AUTH PLAIN AHVzZXIAaHVudGVyMi1zZWNyZXQ=|hang", 5 * time.Minute, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d := script(test.mode, test.wire)
				d.auth = &Credentials{User: "user", Password: password}
				start := time.Now()
				_, err := d.talk(t)
				took := time.Since(start)
				if handshake := new(HandshakeError); !errors.Is(err, os.ErrDeadlineExceeded) || took != test.want || errors.As(err, &handshake) != test.handshake {
					t.Errorf("got %v after %v, want a timeout after %v", err, took, test.want)
				}
			})
		})
	}
}
