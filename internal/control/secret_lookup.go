package control

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"sluice/internal/mailmanager"
	"sluice/internal/seal"
	"sluice/internal/secretsmanager"
	"sluice/internal/store"
)

// What a secret may be called, and what its ARN ends in: its name and a random suffix. Secrets Manager, CreateSecret.
const (
	secretResource = "secret:"
	suffixLength   = 6
)

var (
	secretSuffix = regexp.MustCompile(`^-[A-Za-z0-9]{6}$`)
	secretNames  = regexp.MustCompile(`^[A-Za-z0-9/_+=.@!-]{1,512}$`)
)

func newSecretSuffix() string { return rand.Text()[:suffixLength] }

func secretARN(key store.Key) string {
	return arn{partition: mailmanager.Partition(key.Region), service: secretsmanager.SigningName, scope: key.Scope, resource: secretResource + key.ID}.String()
}

// foundSecret is a secret as it is stored.
type foundSecret struct {
	store.Resource
	record secretRecord
}

func (s foundSecret) arn() string { return secretARN(s.Key) }

// Secret returns the current value of a secret, as text, by its ARN, with or without the suffix. The secret must be the
// scope's. It is for use at run time; the error tells people what is wrong and shows no value.
func (c *Control) Secret(ctx context.Context, scope Scope, arn string) (string, error) {
	if !strings.HasPrefix(arn, "arn:") {
		return "", mailmanager.Errorf(mailmanager.CodeValidation, "it is not named by an ARN")
	}
	s, err := c.findSecret(ctx, scope, arn)
	if err != nil {
		return "", err
	}
	_, value, err := c.valueOf(ctx, s, nil, nil)
	if err != nil {
		return "", err
	}
	if value.Text == nil {
		return "", mailmanager.Errorf(mailmanager.CodeValidation, "its current version is binary, not text")
	}
	return *value.Text, nil
}

// secretRef is where a secret is that an ARN names. The zero secretRef is nowhere.
type secretRef struct {
	scope Scope
	id    string // the secret's id; or, in an ARN without the suffix, its name
	base  string // the id without what may be its suffix; empty: it ends in none
}

// secretRefOf reads an ARN of a secret. An ARN of another account or region is as good as none (S36).
func secretRefOf(scope Scope, text string) (ref secretRef, ok bool) {
	a, ok := parseARN(text)
	id, isSecret := strings.CutPrefix(a.resource, secretResource)
	if !ok || !isSecret || a.scope != scope || a.service != secretsmanager.SigningName || a.partition != mailmanager.Partition(scope.Region) {
		return ref, false
	}
	ref = secretRef{scope: scope, id: id}
	if cut := len(id) - suffixLength - 1; cut > 0 && secretSuffix.MatchString(id[cut:]) {
		ref.base = id[:cut]
	}
	return ref, true
}

// findSecret finds a secret by its name or ARN.
func (c *Control) findSecret(ctx context.Context, scope Scope, nameOrARN string) (foundSecret, error) {
	if !strings.HasPrefix(nameOrARN, "arn:") {
		return c.findSecretNamed(ctx, scope, nameOrARN)
	}
	ref, ok := secretRefOf(scope, nameOrARN)
	if !ok {
		return foundSecret{}, noSecret()
	}
	if ref.base != "" {
		s, err := c.findSecretNamed(ctx, scope, ref.base)
		if err == nil && s.ID == ref.id {
			return s, nil
		}
		if err != nil && !isCode(err, mailmanager.CodeResourceNotFound) {
			return foundSecret{}, err
		}
	}
	return c.findSecretNamed(ctx, scope, ref.id)
}

// findSecretNamed finds a secret by its name. One whose recovery window has ended is removed and not found.
func (c *Control) findSecretNamed(ctx context.Context, scope Scope, name string) (foundSecret, error) {
	r, err := c.cfg.Store.Named(ctx, scope, kindSecret.store, name)
	if errors.Is(err, store.ErrNotFound) {
		return foundSecret{}, noSecret()
	}
	if err != nil {
		return foundSecret{}, err
	}
	s, err := asSecret(r)
	if err != nil {
		return foundSecret{}, err
	}
	if s.record.gone(c.now()) {
		if err := c.removeEnded(ctx, s.Key); err != nil {
			return foundSecret{}, err
		}
		return foundSecret{}, noSecret()
	}
	return s, nil
}

func asSecret(r store.Resource) (foundSecret, error) {
	record, err := decode[secretRecord](r.Key, r.Body)
	return foundSecret{Resource: r, record: record}, err
}

// changeSecret changes a secret. edit gets it as it is.
func (c *Control) changeSecret(ctx context.Context, key store.Key, edit func(foundSecret) (draft, error)) error {
	err := c.update(ctx, kindSecret, key, func(r store.Resource) (d draft, err error) {
		s, err := asSecret(r)
		if err != nil {
			return d, err
		}
		if s.record.gone(c.now()) {
			return d, noSecret()
		}
		return edit(s)
	})
	if isCode(err, mailmanager.CodeResourceNotFound) {
		return noSecret()
	}
	return err
}

// hasValue reports whether the secret has a version with that id (known) and that value (same).
func (c *Control) hasValue(ctx context.Context, s foundSecret, versionID string, value *secretValue) (same, known bool, err error) {
	if _, known = s.record.version(versionID); !known {
		return false, false, nil
	}
	sealed, err := c.part(ctx, kindSecret, s.Key, versionID)
	if err != nil {
		return false, true, err
	}
	stored, err := c.cfg.Seal.Open(sealed, s.Key.Place(versionID))
	if err != nil {
		return false, true, fmt.Errorf("open version %s of secret %s: %w", versionID, s.ID, err)
	}
	given, err := encode(value)
	return seal.Equal(stored, given), true, err
}

// sweepSecrets removes the secrets whose recovery window has ended.
func (c *Control) sweepSecrets(ctx context.Context) {
	ended, err := c.endedSecrets(ctx)
	if err != nil {
		c.cfg.Logger.Error("deleted secrets not swept", "error", err)
		return
	}
	for _, key := range ended {
		if err := c.removeEnded(ctx, key); err != nil {
			c.cfg.Logger.Error("deleted secret not swept", "account", key.Account, "region", key.Region, "id", key.ID, "error", err)
			continue
		}
		c.cfg.Logger.Info("deleted secret is gone", "account", key.Account, "region", key.Region, "id", key.ID)
	}
}

// endedSecrets are the secrets that are to be gone.
func (c *Control) endedSecrets(ctx context.Context) (ended []store.Key, err error) {
	for r, err := range c.cfg.Store.All(ctx, kindSecret.store) {
		if err != nil {
			return nil, err
		}
		s, err := asSecret(r)
		if err != nil { // it does not keep the others
			c.cfg.Logger.Error("secret cannot be read", "account", r.Account, "region", r.Region, "id", r.ID, "error", err)
			continue
		}
		if s.record.gone(c.now()) {
			ended = append(ended, r.Key)
		}
	}
	return ended, nil
}

// removeEnded removes a secret for good if its recovery window has ended: it may have been restored meanwhile.
func (c *Control) removeEnded(ctx context.Context, key store.Key) error {
	defer c.locks.lock(key)()
	r, err := c.cfg.Store.Get(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	s, err := asSecret(r)
	if err != nil || !s.record.gone(c.now()) {
		return err
	}
	return c.removeLocked(ctx, kindSecret, key, func(Key) { c.publishSecret(s.Key, s.Name, passwords{}) })
}

// secretValueOf is the value that a request gives: nil for none.
func secretValueOf(text *secretsmanager.SecretString, binary secretsmanager.SecretBinary) (*secretValue, error) {
	switch {
	case text != nil && binary != nil:
		return nil, invalidSecret("SecretString and SecretBinary exclude each other")
	case text == nil && binary == nil:
		return nil, nil
	default:
		return &secretValue{Text: (*string)(text), Binary: binary}, nil
	}
}

// versionIDOf is the id of the version that a request makes: its token, or a new one.
func versionIDOf(token *string) string {
	if token == nil {
		return newUUID()
	}
	return *token
}

func noSecret() error {
	return mailmanager.Errorf(mailmanager.CodeResourceNotFound, "There is no such secret")
}

// deletedSecret has the words in its text that clients tell this error by: Terraform looks for them.
func deletedSecret() error {
	return mailmanager.Errorf(secretsmanager.CodeInvalidRequest, "The secret cannot be used because it was marked for deletion")
}

func invalidSecret(why string) error {
	return &mailmanager.Error{Code: secretsmanager.CodeInvalidParameter, Message: why}
}
