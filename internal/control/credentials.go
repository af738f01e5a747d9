package control

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"strings"
	"time"

	"sluice/internal/mailmanager"
	"sluice/internal/match"
	"sluice/internal/seal"
	"sluice/internal/store"
)

// partCredentials is the sealed part of an ingress point with what its clients prove themselves by.
const partCredentials = "credentials"

// passwordGrace is how long the password before the newest one is accepted (Mail Manager, section 2.2).
const passwordGrace = 14 * 24 * time.Hour

// credentials are what an ingress point's clients prove themselves by. The zero value is that of an OPEN point.
type credentials struct {
	Password   *password               `json:",omitempty"`
	Previous   *password               `json:",omitempty"`
	SecretArn  *mailmanager.SecretArn  `json:",omitempty"`
	TrustStore *mailmanager.TrustStore `json:",omitempty"`
}

// password is enough to check a password, in a microsecond, and not enough to tell it: a keyed hash with a salt, whose
// key is derived from the master key.
type password struct {
	Version string
	Salt    []byte
	Hash    []byte
	Expires *time.Time `json:",omitempty"` // of the previous password
}

const saltOctets = 16

func (c *Control) newPassword(text mailmanager.SmtpPassword) *password {
	p := &password{Version: newUUID(), Salt: make([]byte, saltOctets)}
	rand.Read(p.Salt) // never fails: crypto/rand ends the process instead
	p.Hash = c.hashPassword(p.Salt, string(text))
	return p
}

func (c *Control) hashPassword(salt []byte, text string) []byte {
	return seal.MAC(c.keys.password, append(salt[:len(salt):len(salt)], text...))
}

// newCredentials makes the credentials of a new point from its configuration, which must suit its type.
func (c *Control) newCredentials(t mailmanager.IngressPointType, config *mailmanager.IngressPointConfiguration) (*credentials, error) {
	if err := checkConfiguration(t, config); err != nil {
		return nil, err
	}
	switch {
	case config == nil:
		return &credentials{}, nil
	case config.SmtpPassword != nil:
		return &credentials{Password: c.newPassword(*config.SmtpPassword)}, nil
	case config.SecretArn != nil:
		return &credentials{SecretArn: config.SecretArn}, nil
	default:
		return &credentials{TrustStore: config.TlsAuthConfiguration.TrustStore}, nil
	}
}

// changedCredentials makes the credentials after an update; nil when they stay as they are. A password that is replaced
// by another is accepted for passwordGrace more.
func (c *Control) changedCredentials(ctx context.Context, key store.Key, t mailmanager.IngressPointType, config *mailmanager.IngressPointConfiguration) (*credentials, error) {
	if config == nil {
		return nil, nil
	}
	next, err := c.newCredentials(t, config)
	if err != nil || next.Password == nil {
		return next, err
	}
	before, err := c.readCredentials(ctx, key)
	if err != nil {
		return nil, err
	}
	if before.Password != nil {
		before.Password.Expires = mailmanager.Ptr(c.now().Add(passwordGrace))
		next.Previous = before.Password
	}
	return next, nil
}

func (c *Control) readCredentials(ctx context.Context, key store.Key) (*credentials, error) {
	sealed, err := c.part(ctx, kindIngressPoint, key, partCredentials)
	if err != nil {
		return nil, err
	}
	found, err := openPart[credentials](c, key, partCredentials, sealed)
	return &found, err
}

// checkConfiguration refuses a configuration that does not suit the type of ingress point. Source: Mail Manager, section 1.3.
func checkConfiguration(t mailmanager.IngressPointType, config *mailmanager.IngressPointConfiguration) error {
	const path = "ingressPointConfiguration"
	switch t {
	case mailmanager.IngressPointTypeOpen:
		if config != nil {
			return match.Invalid(path, "Member must be absent for ingress points of type OPEN")
		}
	case mailmanager.IngressPointTypeAuth:
		if config == nil || config.SmtpPassword == nil && config.SecretArn == nil {
			return match.Invalid(path, "Member must have smtpPassword or secretArn for ingress points of type AUTH")
		}
	case mailmanager.IngressPointTypeMtls:
		if config == nil || config.TlsAuthConfiguration == nil || config.TlsAuthConfiguration.TrustStore == nil {
			return match.Invalid(path, "Member must have a tlsAuthConfiguration with a trustStore for ingress points of type MTLS")
		}
		return checkTrustStore(path+".tlsAuthConfiguration.trustStore", config.TlsAuthConfiguration.TrustStore)
	}
	return nil
}

// Types of PEM blocks. RFC 7468, sections 5.1 and 6.
const (
	pemCertificate = "CERTIFICATE"
	pemCRL         = "X509 CRL"
)

func checkTrustStore(path string, t *mailmanager.TrustStore) error {
	err := checkPEM(string(mailmanager.Value(t.CAContent)), pemCertificate, func(der []byte) error {
		_, err := x509.ParseCertificate(der)
		return err
	})
	if err != nil {
		return match.Invalid(path+".cAContent", "Member must be one or more certificates in PEM form")
	}
	if t.CrlContent == nil {
		return nil
	}
	err = checkPEM(string(*t.CrlContent), pemCRL, func(der []byte) error {
		_, err := x509.ParseRevocationList(der)
		return err
	})
	if err != nil {
		return match.Invalid(path+".crlContent", "Member must be one or more certificate revocation lists in PEM form")
	}
	return nil
}

var errNotPEM = errors.New("not a sequence of such PEM blocks")

// pemBegin is how every block begins. RFC 7468, section 2.
const pemBegin = "-----BEGIN "

// checkPEM refuses text that is not one or more PEM blocks of a type that parse. Every block that begins must end, too:
// the decoder passes over others, and a revocation list that was cut off would revoke nothing in silence.
func checkPEM(text, blockType string, parse func(der []byte) error) error {
	rest := []byte(text)
	for n := 0; ; n++ {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		if block == nil && n > 0 && n == strings.Count(text, pemBegin) {
			return nil
		}
		if block == nil || block.Type != blockType {
			return errNotPEM
		}
		if err := parse(block.Bytes); err != nil {
			return err
		}
	}
}

// show is what GetIngressPoint tells of the credentials: versions, ARNs and, on demand, the trust store; never a password
// (S40). It is nil for an OPEN point.
func (s *credentials) show(now time.Time, contents mailmanager.TrustStoreResponseOption) *mailmanager.IngressPointAuthConfiguration {
	switch {
	case s.Password != nil:
		return &mailmanager.IngressPointAuthConfiguration{IngressPointPasswordConfiguration: s.passwordVersions(now)}
	case s.SecretArn != nil:
		return &mailmanager.IngressPointAuthConfiguration{SecretArn: s.SecretArn}
	case s.TrustStore != nil:
		shown := &mailmanager.TlsAuthConfiguration{}
		if contents == mailmanager.TrustStoreResponseOptionInclude {
			shown.TrustStore = s.TrustStore
		}
		return &mailmanager.IngressPointAuthConfiguration{TlsAuthConfiguration: shown}
	default:
		return nil
	}
}

func (s *credentials) passwordVersions(now time.Time) *mailmanager.IngressPointPasswordConfiguration {
	shown := &mailmanager.IngressPointPasswordConfiguration{SmtpPasswordVersion: &s.Password.Version}
	if s.Previous != nil && now.Before(*s.Previous.Expires) {
		shown.PreviousSmtpPasswordVersion = &s.Previous.Version
		shown.PreviousSmtpPasswordExpiryTimestamp = milliseconds(*s.Previous.Expires)
	}
	return shown
}
