package control

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"

	"sluice/internal/store"
)

// passwordMember is the only member that a secret with the password of ingress points has (Mail Manager, section 2.2).
const passwordMember = "password"

// passwordIn returns the password in the text of a secret: a JSON object with passwordMember, 1 to maxPasswordOctets
// octets long, and nothing else. The bounds of an SmtpPassword do not hold: what a secret has was not typed into this API.
func passwordIn(text string) (password string, ok bool) {
	decoder := json.NewDecoder(strings.NewReader(text))
	var tokens [4]json.Token
	for i := range tokens {
		var err error
		if tokens[i], err = decoder.Token(); err != nil {
			return "", false
		}
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return "", false
	}
	password, isText := tokens[2].(string)
	ok = tokens[0] == json.Delim('{') && tokens[1] == passwordMember && isText && tokens[3] == json.Delim('}') &&
		password != "" && len(password) <= maxPasswordOctets
	return password, ok
}

// secretPasswords are the passwords that a secret has for ingress points. The snapshot has them by the secret's name, as
// the store has the secret.
type secretPasswords struct {
	id        string
	passwords passwords
}

// passwordsAt finds the passwords of a secret as findSecret finds the secret. There are none when the secret is not there,
// is scheduled for deletion, or has no such text.
func (s *snapshot) passwordsAt(ref secretRef) passwords {
	if found, ok := s.secrets.load(Key{Scope: ref.scope, ID: ref.base}); ok && found.id == ref.id {
		return found.passwords
	}
	if found, ok := s.secrets.load(Key{Scope: ref.scope, ID: ref.id}); ok {
		return found.passwords
	}
	return passwords{}
}

// passwordsOf makes the passwords of a secret. value, when it is not nil, is that of the version with an id, which need
// not be stored yet. A version that does not open is logged and not there; the error is the store's.
func (c *Control) passwordsOf(ctx context.Context, s foundSecret, id string, value *secretValue) (all passwords, err error) {
	if s.record.Deleted != nil {
		return all, nil
	}
	for i, stage := range [...]string{stageCurrent, stagePrevious} {
		version, ok := s.record.staged(stage)
		if !ok {
			continue
		}
		shown := value
		if value == nil || version.ID != id {
			if shown, err = c.storedValue(ctx, s, version.ID); err != nil {
				return all, err
			}
		}
		if text, ok := passwordOf(shown); ok {
			all[i] = c.hasher.newPassword(version.ID, text)
		}
	}
	return all, nil
}

func passwordOf(value *secretValue) (password string, ok bool) {
	if value == nil || value.Text == nil {
		return "", false
	}
	return passwordIn(*value.Text)
}

// storedValue reads the value of a version; nil when it does not open.
func (c *Control) storedValue(ctx context.Context, s foundSecret, versionID string) (*secretValue, error) {
	sealed, err := c.part(ctx, kindSecret, s.Key, versionID)
	if err != nil {
		return nil, err
	}
	value, err := openPart[secretValue](c, s.Key, versionID, sealed)
	if err != nil {
		c.cfg.Logger.Error("version of a secret cannot be used", "account", s.Account, "region", s.Region, "id", s.ID, "error", err)
		return nil, nil
	}
	return &value, nil
}

// publishSecret makes a secret's passwords visible, or what was visible of it invisible. Another secret may have its name
// by now: that one's stay.
func (c *Control) publishSecret(key store.Key, name string, all passwords) {
	at := Key{Scope: key.Scope, ID: name}
	if all != (passwords{}) {
		c.secrets.store(at, &secretPasswords{id: key.ID, passwords: all})
		return
	}
	if shown, ok := c.secrets.load(at); ok && shown.id == key.ID {
		c.secrets.removeOnly(at, shown)
	}
}

func (c *Control) loadSecret(ctx context.Context, r store.Resource) error {
	s, err := asSecret(r)
	if err != nil {
		return err
	}
	all, err := c.passwordsOf(ctx, s, "", nil)
	if err == nil {
		c.publishSecret(s.Key, s.Name, all)
	}
	return err
}

// removeSecret removes a secret for good.
func (c *Control) removeSecret(ctx context.Context, s foundSecret) error {
	return c.remove(ctx, kindSecret, s.Key, func(Key) { c.publishSecret(s.Key, s.Name, passwords{}) })
}
