package control

import (
	"context"
	"time"

	"sluice/internal/mailmanager"
	"sluice/internal/match"
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

// newCredentials makes the credentials of a new point from its configuration, which must suit its type.
func (c *Control) newCredentials(t mailmanager.IngressPointType, config *mailmanager.IngressPointConfiguration) (*credentials, error) {
	if err := checkConfiguration(t, config); err != nil {
		return nil, err
	}
	switch {
	case config == nil:
		return &credentials{}, nil
	case config.SmtpPassword != nil:
		return &credentials{Password: c.hasher.newPassword(newUUID(), string(*config.SmtpPassword))}, nil
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

// admit gives a point what its clients prove themselves by, as sessions need it.
func (c *Control) admit(view *IngressPoint, s *credentials) (err error) {
	view.passwords = passwords{s.Password, s.Previous}
	if s.SecretArn != nil {
		view.SecretARN = string(*s.SecretArn)
		view.secret, _ = secretRefOf(view.Scope, view.SecretARN) // one that is not the scope's is never found
	}
	if s.TrustStore != nil {
		view.Trust, err = compileTrust(s.TrustStore)
	}
	return err
}

// admitAsBefore is admit for a point whose credentials have not changed.
func (p *IngressPoint) admitAsBefore(before *IngressPoint) {
	p.passwords, p.SecretARN, p.secret, p.Trust = before.passwords, before.SecretARN, before.secret, before.Trust
}

// admitStored is admit with the credentials that are stored. A point whose credentials cannot be used lets nobody in, and
// is there all the same: it can be seen and changed. The error is that of ctx.
func (c *Control) admitStored(ctx context.Context, view *IngressPoint, key store.Key) error {
	stored, err := c.readCredentials(ctx, key)
	if err == nil {
		err = c.admit(view, stored)
	}
	if err == nil || ctx.Err() != nil {
		return ctx.Err()
	}
	c.cfg.Logger.Error("credentials of an ingress point cannot be used: it lets nobody in", "account", key.Account, "region", key.Region,
		"ingress_point_id", key.ID, "error", err)
	return nil
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
	}
	return nil
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
	if s.Previous != nil && !s.Previous.expired(now) {
		shown.PreviousSmtpPasswordVersion = &s.Previous.Version
		shown.PreviousSmtpPasswordExpiryTimestamp = milliseconds(*s.Previous.Expires)
	}
	return shown
}
