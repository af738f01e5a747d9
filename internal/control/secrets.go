package control

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"sluice/internal/mailmanager"
	"sluice/internal/secretsmanager"
	"sluice/internal/store"
)

// kindSecret is the kind of secrets. Their ids are their names with a random suffix, as in their ARNs.
var kindSecret = kind{store: "secret", noun: "secret"}

// Recovery windows, in days. Source: Secrets Manager, DeleteSecret.
const (
	minRecoveryDays     = 7
	maxRecoveryDays     = 30
	defaultRecoveryDays = 30
)

// secretRecord is a secret as it is stored, its values aside: each is a sealed part, named like its version.
type secretRecord struct {
	Description *string         `json:",omitempty"`
	KmsKeyID    *string         `json:",omitempty"`
	Deleted     *time.Time      `json:",omitempty"` // when it goes for good; nil: it stays
	Versions    []secretVersion // the oldest first
}

// secretValue is a version's value: one of the two.
type secretValue struct {
	Text   *string `json:",omitempty"`
	Binary []byte  `json:",omitempty"`
}

// gone reports whether the secret's recovery window has ended: it is as if it had been removed already.
func (r *secretRecord) gone(now time.Time) bool { return r.Deleted != nil && !now.Before(*r.Deleted) }

// createSecret: Secrets Manager, CreateSecret. ClientRequestToken is the id of the first version: a retry with the same
// token and value is answered like the first request.
func (c *Control) createSecret(ctx context.Context, scope Scope, in *secretsmanager.CreateSecretRequest) (*secretsmanager.CreateSecretResponse, error) {
	if !secretNames.MatchString(*in.Name) {
		return nil, invalidSecret("The name of a secret has 1 to 512 letters, digits and characters of /_+=.@!-")
	}
	if err := c.checkSecretTags(scope.Account, in.Tags); err != nil {
		return nil, err
	}
	value, err := secretValueOf(in.SecretString, in.SecretBinary)
	if err != nil {
		return nil, err
	}
	versionID := versionIDOf(in.ClientRequestToken)
	for range maxAttempts {
		before, err := c.findSecretNamed(ctx, scope, *in.Name)
		if err == nil {
			return c.sameSecret(ctx, before, versionID, value)
		}
		if !isCode(err, mailmanager.CodeResourceNotFound) {
			return nil, err
		}
		out, err := c.insertSecret(ctx, scope, in, versionID, value)
		if !errors.Is(err, store.ErrNameTaken) { // by a concurrent request
			return out, err
		}
	}
	return nil, mailmanager.Errorf(secretsmanager.CodeInvalidRequest, "The secret %s is being changed by others", *in.Name)
}

// sameSecret answers a CreateSecret for a name that is taken: well, when it made that secret, as far as can be told.
func (c *Control) sameSecret(ctx context.Context, s foundSecret, versionID string, value *secretValue) (*secretsmanager.CreateSecretResponse, error) {
	if s.record.Deleted != nil {
		return nil, mailmanager.Errorf(secretsmanager.CodeInvalidRequest, "The name is that of a secret that is already scheduled for deletion")
	}
	if value != nil {
		defer c.locks.lock(s.Key)() // the first request has made it visible when this one is answered
		same, known, err := c.hasValue(ctx, s, versionID, value)
		if err != nil {
			return nil, err
		}
		if known && same {
			return &secretsmanager.CreateSecretResponse{ARN: mailmanager.Ptr(s.arn()), Name: &s.Name, VersionId: &versionID}, nil
		}
	}
	return nil, mailmanager.Errorf(secretsmanager.CodeResourceExists, "The secret %s already exists", s.Name)
}

func (c *Control) insertSecret(ctx context.Context, scope Scope, in *secretsmanager.CreateSecretRequest, versionID string, value *secretValue) (*secretsmanager.CreateSecretResponse, error) {
	now := c.now()
	key := kindSecret.key(scope, *in.Name+"-"+newSecretSuffix())
	record := secretRecord{Description: in.Description, KmsKeyID: in.KmsKeyId}
	room := c.limits(scope.Account).quota(countedSecret)
	creation := store.Creation{Tags: secretTags(in.Tags), Quota: room.most}
	out := &secretsmanager.CreateSecretResponse{ARN: mailmanager.Ptr(secretARN(key)), Name: in.Name}
	if value != nil {
		record.add(secretVersion{ID: versionID, Stages: []string{stageCurrent}, Created: now})
		sealed, err := c.sealPart(key, versionID, value)
		if err != nil {
			return nil, err
		}
		creation.Parts = map[string][]byte{versionID: sealed}
		out.VersionId = &versionID
	}
	body, err := encode(record)
	if err != nil {
		return nil, err
	}
	creation.Resource = store.Resource{Key: key, Name: *in.Name, Counted: countedSecret, Created: now, Modified: now, Body: body}
	shown, err := c.passwordsOf(ctx, foundSecret{creation.Resource, record}, versionID, value)
	if err != nil {
		return nil, err
	}
	defer c.locks.lock(key)()
	err = c.cfg.Store.Create(ctx, creation)
	if errors.Is(err, store.ErrQuota) {
		return nil, room.exceeded(scope.Account, secretsmanager.CodeLimitExceeded)
	}
	if err == nil {
		c.publishSecret(key, *in.Name, shown)
		c.freeRelays(key, *in.Name)
	}
	return out, err
}

// getSecretValue: Secrets Manager, GetSecretValue.
func (c *Control) getSecretValue(ctx context.Context, scope Scope, in *secretsmanager.GetSecretValueRequest) (*secretsmanager.GetSecretValueResponse, error) {
	s, err := c.findSecret(ctx, scope, *in.SecretId)
	if err != nil {
		return nil, err
	}
	version, value, err := c.valueOf(ctx, s, in.VersionId, in.VersionStage)
	if err != nil {
		return nil, err
	}
	return &secretsmanager.GetSecretValueResponse{
		ARN:           mailmanager.Ptr(s.arn()),
		Name:          &s.Name,
		VersionId:     &version.ID,
		SecretBinary:  value.Binary,
		SecretString:  (*secretsmanager.SecretString)(value.Text),
		VersionStages: version.Stages,
		CreatedDate:   milliseconds(version.Created),
	}, nil
}

// valueOf returns the version with an id or a stage, AWSCURRENT when neither is given, and its value.
func (c *Control) valueOf(ctx context.Context, s foundSecret, id, stage *string) (version secretVersion, value secretValue, err error) {
	if s.record.Deleted != nil {
		return version, value, deletedSecret()
	}
	var ok bool
	if id != nil {
		version, ok = s.record.version(*id)
		ok = ok && (stage == nil || slices.Contains(version.Stages, *stage))
	} else {
		wanted := stageCurrent
		replace(&wanted, stage)
		version, ok = s.record.staged(wanted)
	}
	if !ok {
		return version, value, noVersion()
	}
	sealed, err := c.part(ctx, kindSecret, s.Key, version.ID)
	if err != nil {
		return version, value, err
	}
	value, err = openPart[secretValue](c, s.Key, version.ID, sealed)
	return version, value, err
}

// putSecretValue: Secrets Manager, PutSecretValue. ClientRequestToken is the id of the version: with the same value it
// is a retry, with another one an error.
func (c *Control) putSecretValue(ctx context.Context, scope Scope, in *secretsmanager.PutSecretValueRequest) (*secretsmanager.PutSecretValueResponse, error) {
	value, err := secretValueOf(in.SecretString, in.SecretBinary)
	if err != nil {
		return nil, err
	}
	if value == nil {
		return nil, invalidSecret("SecretString or SecretBinary must be given")
	}
	s, err := c.findSecret(ctx, scope, *in.SecretId)
	if err != nil {
		return nil, err
	}
	version := secretVersion{ID: versionIDOf(in.ClientRequestToken), Stages: in.VersionStages, Created: c.now()}
	if version.Stages == nil {
		version.Stages = []string{stageCurrent}
	}
	asked := version
	err = c.changeSecret(ctx, s.Key, func(s foundSecret) (draft, error) {
		version = asked // what it got of a secret that has changed since does not count
		parts, err := c.addVersion(ctx, &s, &version, value)
		if err != nil {
			return draft{}, err
		}
		if parts == nil {
			return draft{}, errUnchanged
		}
		return c.draftSecret(ctx, s, parts, value)
	})
	if err != nil {
		return nil, err
	}
	return &secretsmanager.PutSecretValueResponse{
		ARN: mailmanager.Ptr(s.arn()), Name: &s.Name, VersionId: &version.ID, VersionStages: version.Stages,
	}, nil
}

// updateSecret: Secrets Manager, UpdateSecret. A value makes a new version, as PutSecretValue does, and that is AWSCURRENT.
func (c *Control) updateSecret(ctx context.Context, scope Scope, in *secretsmanager.UpdateSecretRequest) (*secretsmanager.UpdateSecretResponse, error) {
	value, err := secretValueOf(in.SecretString, in.SecretBinary)
	if err != nil {
		return nil, err
	}
	s, err := c.findSecret(ctx, scope, *in.SecretId)
	if err != nil {
		return nil, err
	}
	version := secretVersion{ID: versionIDOf(in.ClientRequestToken), Stages: []string{stageCurrent}, Created: c.now()}
	err = c.changeSecret(ctx, s.Key, func(s foundSecret) (d draft, err error) {
		if s.record.Deleted != nil {
			return d, deletedSecret()
		}
		var parts map[string][]byte
		if value != nil {
			if parts, err = c.addVersion(ctx, &s, &version, value); err != nil {
				return d, err
			}
		}
		s.record.Description = cmp.Or(in.Description, s.record.Description)
		s.record.KmsKeyID = cmp.Or(in.KmsKeyId, s.record.KmsKeyID)
		return c.draftSecret(ctx, s, parts, value)
	})
	if err != nil {
		return nil, err
	}
	out := &secretsmanager.UpdateSecretResponse{ARN: mailmanager.Ptr(s.arn()), Name: &s.Name}
	if value != nil {
		out.VersionId = &version.ID
	}
	return out, nil
}

// draftSecret completes a secret that is about to be stored with parts that are new. value, when it is not nil, is that of the
// newest version. Relays and ingress points have what they need of it at once.
func (c *Control) draftSecret(ctx context.Context, s foundSecret, parts map[string][]byte, value *secretValue) (d draft, err error) {
	s.Modified = c.now()
	if s.Body, err = encode(s.record); err != nil {
		return d, err
	}
	newest := ""
	if parts != nil && value != nil {
		newest = s.record.Versions[len(s.record.Versions)-1].ID
	}
	shown, err := c.passwordsOf(ctx, s, newest, value)
	d.Resource, d.Parts = s.Resource, parts
	d.publish = func() {
		c.publishSecret(s.Key, s.Name, shown)
		c.freeRelays(s.Key, s.Name)
	}
	return d, err
}

// describeSecret: Secrets Manager, DescribeSecret.
func (c *Control) describeSecret(ctx context.Context, scope Scope, in *secretsmanager.DescribeSecretRequest) (*secretsmanager.DescribeSecretResponse, error) {
	s, err := c.findSecret(ctx, scope, *in.SecretId)
	if err != nil {
		return nil, err
	}
	entry, err := c.secretEntry(ctx, s)
	if err != nil {
		return nil, err
	}
	return &secretsmanager.DescribeSecretResponse{
		ARN: entry.ARN, Name: entry.Name, Description: entry.Description, KmsKeyId: entry.KmsKeyId,
		RotationEnabled: entry.RotationEnabled, LastChangedDate: entry.LastChangedDate, DeletedDate: entry.DeletedDate,
		Tags: entry.Tags, VersionIdsToStages: entry.SecretVersionsToStages, CreatedDate: entry.CreatedDate,
	}, nil
}

func (c *Control) secretEntry(ctx context.Context, s foundSecret) (secretsmanager.SecretListEntry, error) {
	stored, err := c.cfg.Store.Tags(ctx, s.Key)
	if errors.Is(err, store.ErrNotFound) {
		err = noSecret()
	}
	tags := make([]secretsmanager.Tag, len(stored))
	for i, t := range stored {
		tags[i] = secretsmanager.Tag{Key: &t.Key, Value: &t.Value}
	}
	entry := secretsmanager.SecretListEntry{
		ARN: mailmanager.Ptr(s.arn()), Name: &s.Name, Description: s.record.Description, KmsKeyId: s.record.KmsKeyID,
		RotationEnabled: mailmanager.Ptr(false), LastChangedDate: milliseconds(s.Modified),
		Tags: tags, SecretVersionsToStages: s.record.stagesByID(), CreatedDate: milliseconds(s.Created),
	}
	if s.record.Deleted != nil {
		entry.DeletedDate = milliseconds(*s.record.Deleted)
	}
	return entry, err
}

// deleteSecret: Secrets Manager, DeleteSecret. Without ForceDeleteWithoutRecovery the secret cannot be read from now on
// and goes when the recovery window ends.
func (c *Control) deleteSecret(ctx context.Context, scope Scope, in *secretsmanager.DeleteSecretRequest) (*secretsmanager.DeleteSecretResponse, error) {
	force, days := mailmanager.Value(in.ForceDeleteWithoutRecovery), int64(defaultRecoveryDays)
	replace(&days, in.RecoveryWindowInDays)
	switch {
	case force && in.RecoveryWindowInDays != nil:
		return nil, invalidSecret("ForceDeleteWithoutRecovery and RecoveryWindowInDays exclude each other")
	case days < minRecoveryDays || days > maxRecoveryDays:
		return nil, invalidSecret("RecoveryWindowInDays must be from 7 to 30")
	}
	at := c.now()
	s, err := c.findSecret(ctx, scope, *in.SecretId)
	if force && isCode(err, mailmanager.CodeResourceNotFound) { // Secrets Manager, DeleteSecret: then it is no error
		return &secretsmanager.DeleteSecretResponse{Name: in.SecretId, DeletionDate: milliseconds(at)}, nil
	}
	if err != nil {
		return nil, err
	}
	if force {
		err = c.removeSecret(ctx, s)
	} else {
		at = at.AddDate(0, 0, int(days))
		err = c.changeSecret(ctx, s.Key, func(s foundSecret) (draft, error) { return c.deletedAt(ctx, s, at) })
	}
	if err != nil {
		return nil, err
	}
	return &secretsmanager.DeleteSecretResponse{ARN: mailmanager.Ptr(s.arn()), Name: &s.Name, DeletionDate: milliseconds(at)}, nil
}

// deletedAt is the secret once it is scheduled for deletion.
func (c *Control) deletedAt(ctx context.Context, s foundSecret, at time.Time) (d draft, err error) {
	if s.record.Deleted != nil {
		return d, deletedSecret()
	}
	s.record.Deleted = &at
	return c.draftSecret(ctx, s, nil, nil)
}

// restoreSecret: Secrets Manager, RestoreSecret. A secret that is not scheduled for deletion stays as it is.
func (c *Control) restoreSecret(ctx context.Context, scope Scope, in *secretsmanager.RestoreSecretRequest) (*secretsmanager.RestoreSecretResponse, error) {
	s, err := c.findSecret(ctx, scope, *in.SecretId)
	if err != nil {
		return nil, err
	}
	err = c.changeSecret(ctx, s.Key, func(s foundSecret) (draft, error) {
		if s.record.Deleted == nil {
			return draft{}, errUnchanged
		}
		s.record.Deleted = nil
		return c.draftSecret(ctx, s, nil, nil)
	})
	if err != nil {
		return nil, err
	}
	return &secretsmanager.RestoreSecretResponse{ARN: mailmanager.Ptr(s.arn()), Name: &s.Name}, nil
}
