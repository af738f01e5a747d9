package identity

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"slices"

	"sluice/internal/mailmanager"
)

// What access keys are made of. AWS clients accept ids of 16 to 128 characters; secrets have 40, as AWS has them.
const (
	keyIDPrefix  = "AKSL"
	keyIDLength  = 20 // the 16 that are drawn have 80 random bits: nobody guesses another's (S36)
	secretOctets = 30
)

// NewKey is an access key that was just made. Its secret is shown once.
type NewKey struct {
	ID     string
	Secret string
}

// GenerateKey draws an access key.
func GenerateKey() NewKey {
	secret := make([]byte, secretOctets)
	rand.Read(secret) // never fails: crypto/rand ends the process instead
	return NewKey{ID: keyIDPrefix + rand.Text()[:keyIDLength-len(keyIDPrefix)], Secret: base64.StdEncoding.EncodeToString(secret)}
}

// addKey adds a new key to a user. There is none of its id yet.
func (u *Users) addKey(d *draft) NewKey {
	made := GenerateKey()
	for _, taken := u.key(made.ID); taken; _, taken = u.key(made.ID) {
		made = GenerateKey()
	}
	d.record.Keys = append(d.record.Keys, keyRecord{ID: made.ID, Created: u.now()})
	d.parts[made.ID] = u.cfg.Seal.Seal([]byte(made.Secret), d.key.Place(made.ID))
	return made
}

// CreateKey gives a user another access key, whose secret is not shown again. Errors are CodeServiceQuotaExceeded when the
// user has MaxKeys, and CodeResourceNotFound.
func (u *Users) CreateKey(ctx context.Context, account, name string) (made NewKey, err error) {
	err = u.change(ctx, userKey(account, name), func(d *draft) error {
		if len(d.record.Keys) >= MaxKeys {
			return mailmanager.Errorf(mailmanager.CodeServiceQuotaExceeded, "The user %s has %d access keys already: delete one", name, MaxKeys)
		}
		made = u.addKey(d)
		return nil
	})
	if err != nil {
		return NewKey{}, err
	}
	return made, nil
}

// SetKey makes an access key active or inactive: then it is refused as if it did not exist. The error for none is
// CodeResourceNotFound.
func (u *Users) SetKey(ctx context.Context, account, name string, k KeyState) error {
	return u.change(ctx, userKey(account, name), func(d *draft) error {
		stored, ok := d.record.find(k.ID)
		if !ok {
			return noKey(name, k.ID)
		}
		stored.Inactive = k.Inactive
		return nil
	})
}

// DeleteKey removes an access key. The error for none is CodeResourceNotFound.
func (u *Users) DeleteKey(ctx context.Context, account, name, id string) error {
	return u.change(ctx, userKey(account, name), func(d *draft) error {
		if _, ok := d.record.find(id); !ok {
			return noKey(name, id)
		}
		d.record.Keys = slices.DeleteFunc(d.record.Keys, func(k keyRecord) bool { return k.ID == id })
		d.parts[id] = nil
		return nil
	})
}

func noKey(user, id string) error {
	return mailmanager.Errorf(mailmanager.CodeResourceNotFound, "The user %s has no access key %s", user, id)
}
