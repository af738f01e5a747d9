package control

import (
	"cmp"
	"context"
	"slices"
	"time"

	"sluice/internal/mailmanager"
	"sluice/internal/secretsmanager"
	"sluice/internal/store"
)

// Stages that we give to versions. A third one, AWSPENDING, is that of who rotates a secret, and is as any other here.
const (
	stageCurrent  = "AWSCURRENT"
	stagePrevious = "AWSPREVIOUS"
)

// Limits of versions. Source: Secrets Manager, PutSecretValue and UpdateSecretVersionStage.
const (
	maxIdleVersions = 100 // without a stage, which are kept
	maxStages       = 20  // of all versions of a secret
)

// secretVersion is one version of a secret. Each stage is at one version at most.
type secretVersion struct {
	ID      string
	Stages  []string
	Created time.Time
}

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
		r.stage(current.ID, stagePrevious)
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

// stages is how many stages all versions have.
func (r *secretRecord) stages() (n int) {
	for _, v := range r.Versions {
		n += len(v.Stages)
	}
	return n
}

// checkStages refuses more stages than a secret may have.
func (r *secretRecord) checkStages() error {
	if r.stages() > maxStages {
		return mailmanager.Errorf(secretsmanager.CodeLimitExceeded, "The versions of a secret can have %d stages", maxStages)
	}
	return nil
}

// addVersion adds a version with a value to a secret. It returns the parts to be stored: none when the version is there already,
// with that value, and then it sets the stages that it has.
func (c *Control) addVersion(ctx context.Context, s *foundSecret, version *secretVersion, value *secretValue) (parts map[string][]byte, err error) {
	if s.record.Deleted != nil {
		return nil, deletedSecret()
	}
	same, known, err := c.hasValue(ctx, *s, version.ID, value)
	switch {
	case err != nil:
		return nil, err
	case known && same:
		*version, _ = s.record.version(version.ID)
		return nil, nil
	case known:
		return nil, mailmanager.Errorf(secretsmanager.CodeResourceExists, "The version %s has another value", version.ID)
	}
	sealed, err := c.sealPart(s.Key, version.ID, value)
	if err != nil {
		return nil, err
	}
	if len(s.record.Versions) == 0 && !slices.Contains(version.Stages, stageCurrent) { // the first one is current in any case
		version.Stages = append(slices.Clone(version.Stages), stageCurrent)
	}
	parts = map[string][]byte{version.ID: sealed}
	for _, id := range s.record.add(*version) {
		parts[id] = nil
	}
	return parts, s.record.checkStages()
}

// listSecretVersionIds: Secrets Manager, ListSecretVersionIds. The oldest is first.
func (c *Control) listSecretVersionIds(ctx context.Context, scope Scope, in *secretsmanager.ListSecretVersionIdsRequest) (*secretsmanager.ListSecretVersionIdsResponse, error) {
	s, err := c.findSecret(ctx, scope, *in.SecretId)
	if err != nil {
		return nil, err
	}
	operation := "ListSecretVersionIds " + s.ID
	after, err := c.secretPosition(scope, operation, in.NextToken)
	if err != nil {
		return nil, err
	}
	size := int32(defaultSecretPage)
	replace(&size, in.MaxResults)
	out := &secretsmanager.ListSecretVersionIdsResponse{ARN: mailmanager.Ptr(s.arn()), Name: &s.Name, Versions: []secretsmanager.SecretVersionsListEntry{}}
	slices.SortFunc(s.record.Versions, func(a, b secretVersion) int { return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID)) })
	var last secretVersion
	for _, v := range s.record.Versions {
		listed := len(v.Stages) > 0 || mailmanager.Value(in.IncludeDeprecated)
		if before := cmp.Or(v.Created.Compare(after.Created), cmp.Compare(v.ID, after.ID)) <= 0; before || !listed {
			continue
		}
		if len(out.Versions) == int(size) {
			out.NextToken = c.nextToken(scope, operation, store.Resource{Key: store.Key{ID: last.ID}, Created: last.Created})
			break
		}
		last = v
		out.Versions = append(out.Versions, secretsmanager.SecretVersionsListEntry{
			VersionId: mailmanager.Ptr(v.ID), VersionStages: v.Stages, CreatedDate: milliseconds(v.Created),
		})
	}
	return out, nil
}

// updateSecretVersionStage: Secrets Manager, UpdateSecretVersionStage.
func (c *Control) updateSecretVersionStage(ctx context.Context, scope Scope, in *secretsmanager.UpdateSecretVersionStageRequest) (*secretsmanager.UpdateSecretVersionStageResponse, error) {
	if in.RemoveFromVersionId == nil && in.MoveToVersionId == nil {
		return nil, invalidSecret("RemoveFromVersionId or MoveToVersionId must be given")
	}
	s, err := c.findSecret(ctx, scope, *in.SecretId)
	if err != nil {
		return nil, err
	}
	err = c.changeSecret(ctx, s.Key, func(s foundSecret) (draft, error) {
		if s.record.Deleted != nil {
			return draft{}, deletedSecret()
		}
		if err := s.record.restage(*in.VersionStage, mailmanager.Value(in.RemoveFromVersionId), mailmanager.Value(in.MoveToVersionId)); err != nil {
			return draft{}, err
		}
		return c.draftSecret(ctx, s, nil, nil)
	})
	if err != nil {
		return nil, err
	}
	return &secretsmanager.UpdateSecretVersionStageResponse{ARN: mailmanager.Ptr(s.arn()), Name: &s.Name}, nil
}

// restage takes a stage from a version and gives it to another; one of them may be empty. Whoever moves a stage must know where it
// is, so that two who do it at once do not undo each other. What was current is previous from then on.
func (r *secretRecord) restage(stage, from, to string) error {
	for _, id := range []string{from, to} {
		if _, ok := r.version(id); id != "" && !ok {
			return noVersion()
		}
	}
	holder, held := r.staged(stage)
	switch {
	case held && holder.ID == to && (from == "" || from == to):
		return errUnchanged
	case from != "" && (!held || holder.ID != from):
		return invalidSecret("The stage " + stage + " is not at the version that RemoveFromVersionId names")
	case held && from == "":
		return invalidSecret("RemoveFromVersionId must name the version " + holder.ID + ", which the stage " + stage + " is at")
	case stage == stageCurrent && to == "":
		return invalidSecret("The stage AWSCURRENT can be moved to another version, and not be removed")
	}
	if stage == stageCurrent && held {
		r.unstage(stagePrevious)
		r.stage(from, stagePrevious)
	}
	r.unstage(stage)
	r.stage(to, stage)
	return r.checkStages()
}

// stage gives a version a stage that no version has; an empty id is none.
func (r *secretRecord) stage(id, stage string) {
	if i := slices.IndexFunc(r.Versions, func(v secretVersion) bool { return v.ID == id }); i >= 0 {
		r.Versions[i].Stages = append(r.Versions[i].Stages, stage)
	}
}

func noVersion() error {
	return mailmanager.Errorf(mailmanager.CodeResourceNotFound, "The secret has no such version")
}
