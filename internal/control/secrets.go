package control

import (
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

// Limits of secrets. Source: Secrets Manager, DeleteSecret and PutSecretValue.
const (
	minRecoveryDays     = 7
	maxRecoveryDays     = 30
	defaultRecoveryDays = 30
	// maxIdleVersions is how many versions without a stage are kept.
	maxIdleVersions = 100
)

// Stages that we give to versions.
const (
	stageCurrent  = "AWSCURRENT"
	stagePrevious = "AWSPREVIOUS"
)

// secretRecord is a secret as it is stored, its values aside: each is a sealed part, named like its version.
type secretRecord struct {
	Description *string         `json:",omitempty"`
	KmsKeyID    *string         `json:",omitempty"`
	Deleted     *time.Time      `json:",omitempty"` // when it goes for good; nil: it stays
	Versions    []secretVersion // the oldest first
}

// secretVersion is one version of a secret. Each stage is at one version at most.
type secretVersion struct {
	ID      string
	Stages  []string
	Created time.Time
}

// secretValue is a version's value: one of the two.
type secretValue struct {
	Text   *string `json:",omitempty"`
	Binary []byte  `json:",omitempty"`
}

// gone reports whether the secret's recovery window has ended: it is as if it had been removed already.
func (r *secretRecord) gone(now time.Time) bool { return r.Deleted != nil && !now.Before(*r.Deleted) }

func (r *secretRecord) version(id string) (secretVersion, bool) {
	i := slices.IndexFunc(r.Versions, func(v secretVersion) bool { return v.ID == id })
	if i < 0 {
		return secretVersion{}, false
	}
	return r.Versions[i], true
}

func (r *secretRecord) staged(stage string) (secretVersion, bool) {
	i := slices.IndexFunc(r.Versions, func(v secretVersion) bool { return slices.Contains(v.Stages, stage) })
	if i < 0 {
		return secretVersion{}, false
	}
	return r.Versions[i], true
}

// add adds a version and gives it its stages, which others lose; what was current is previous from then on. It returns
// the versions that go because nothing stands for them any more.
func (r *secretRecord) add(v secretVersion) (dropped []string) {
	if current, ok := r.staged(stageCurrent); ok && slices.Contains(v.Stages, stageCurrent) {
		r.unstage(stagePrevious)
		i := slices.IndexFunc(r.Versions, func(v secretVersion) bool { return v.ID == current.ID })
		r.Versions[i].Stages = append(r.Versions[i].Stages, stagePrevious)
	}
	for _, stage := range v.Stages {
		r.unstage(stage)
	}
	r.Versions = append(r.Versions, v)
	idle := 0
	for i := len(r.Versions) - 1; i >= 0; i-- {
		if len(r.Versions[i].Stages) > 0 {
			continue
		}
		if idle++; idle > maxIdleVersions {
			dropped = append(dropped, r.Versions[i].ID)
		}
	}
	r.Versions = slices.DeleteFunc(r.Versions, func(v secretVersion) bool { return slices.Contains(dropped, v.ID) })
	return dropped
}

func (r *secretRecord) unstage(stage string) {
	for i := range r.Versions {
		r.Versions[i].Stages = slices.DeleteFunc(r.Versions[i].Stages, func(s string) bool { return s == stage })
	}
}

// stagesByID are the versions that have stages, as the API shows them.
func (r *secretRecord) stagesByID() map[string][]string {
	stages := map[string][]string{}
	for _, v := range r.Versions {
		if len(v.Stages) > 0 {
			stages[v.ID] = v.Stages
		}
	}
	return stages
}

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
		return nil, deletedSecret()
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
		return version, value, mailmanager.Errorf(mailmanager.CodeResourceNotFound, "The secret has no such version")
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
	err = c.updateSecret(ctx, s.Key, func(s foundSecret) (draft, error) { return c.withVersion(ctx, s, &version, value) })
	if err != nil {
		return nil, err
	}
	return &secretsmanager.PutSecretValueResponse{
		ARN: mailmanager.Ptr(s.arn()), Name: &s.Name, VersionId: &version.ID, VersionStages: version.Stages,
	}, nil
}

// withVersion is the secret with one more version. A version that is there already sets the argument's stages.
func (c *Control) withVersion(ctx context.Context, s foundSecret, version *secretVersion, value *secretValue) (d draft, err error) {
	if s.record.Deleted != nil {
		return d, deletedSecret()
	}
	same, known, err := c.hasValue(ctx, s, version.ID, value)
	switch {
	case err != nil:
		return d, err
	case known && same:
		*version, _ = s.record.version(version.ID)
		return d, errUnchanged
	case known:
		return d, mailmanager.Errorf(secretsmanager.CodeResourceExists, "The version %s has another value", version.ID)
	}
	sealed, err := c.sealPart(s.Key, version.ID, value)
	if err != nil {
		return d, err
	}
	if len(s.record.Versions) == 0 && !slices.Contains(version.Stages, stageCurrent) { // the first one is current in any case
		version.Stages = append(slices.Clone(version.Stages), stageCurrent)
	}
	d.Parts = map[string][]byte{version.ID: sealed}
	for _, id := range s.record.add(*version) {
		d.Parts[id] = nil
	}
	d.Resource = s.Resource
	d.Resource.Modified = version.Created
	if d.Resource.Body, err = encode(s.record); err != nil {
		return d, err
	}
	shown, err := c.passwordsOf(ctx, s, version.ID, value)
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
		err = c.updateSecret(ctx, s.Key, func(s foundSecret) (draft, error) { return c.deletedAt(s, at) })
	}
	if err != nil {
		return nil, err
	}
	return &secretsmanager.DeleteSecretResponse{ARN: mailmanager.Ptr(s.arn()), Name: &s.Name, DeletionDate: milliseconds(at)}, nil
}

// deletedAt is the secret once it is scheduled for deletion.
func (c *Control) deletedAt(s foundSecret, at time.Time) (d draft, err error) {
	if s.record.Deleted != nil {
		return d, deletedSecret()
	}
	s.record.Deleted = &at
	d.Resource = s.Resource
	d.Resource.Body, err = encode(s.record)
	d.publish = func() { c.publishSecret(s.Key, s.Name, passwords{}) }
	return d, err
}
