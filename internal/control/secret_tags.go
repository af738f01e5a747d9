package control

import (
	"context"
	"errors"
	"strings"

	"sluice/internal/mailmanager"
	"sluice/internal/secretsmanager"
	"sluice/internal/store"
)

// tagSecret: Secrets Manager, TagResource.
func (c *Control) tagSecret(ctx context.Context, scope Scope, in *secretsmanager.TagResourceRequest) (*secretsmanager.TagResourceResponse, error) {
	if err := c.checkSecretTags(scope.Account, in.Tags); err != nil {
		return nil, err
	}
	room := c.tagQuota(scope.Account)
	err := c.retagSecret(ctx, scope, *in.SecretId, func(key store.Key) error {
		return c.cfg.Store.SetTags(ctx, key, secretTags(in.Tags), room.most)
	})
	if errors.Is(err, store.ErrQuota) {
		err = room.exceeded(scope.Account, secretsmanager.CodeInvalidParameter)
	}
	if err != nil {
		return nil, err
	}
	return &secretsmanager.TagResourceResponse{}, nil
}

// untagSecret: Secrets Manager, UntagResource. Keys that the secret does not have are no error.
func (c *Control) untagSecret(ctx context.Context, scope Scope, in *secretsmanager.UntagResourceRequest) (*secretsmanager.UntagResourceResponse, error) {
	err := c.retagSecret(ctx, scope, *in.SecretId, func(key store.Key) error { return c.cfg.Store.RemoveTags(ctx, key, in.TagKeys) })
	if err != nil {
		return nil, err
	}
	return &secretsmanager.UntagResourceResponse{}, nil
}

// retagSecret changes the tags of a secret that is not marked for deletion.
func (c *Control) retagSecret(ctx context.Context, scope Scope, nameOrARN string, change func(store.Key) error) error {
	s, err := c.findSecret(ctx, scope, nameOrARN)
	if err != nil {
		return err
	}
	if s.record.Deleted != nil {
		return deletedSecret()
	}
	if err = change(s.Key); errors.Is(err, store.ErrNotFound) {
		return noSecret()
	}
	return err
}

func (c *Control) checkSecretTags(account string, tags []secretsmanager.Tag) error {
	keys := map[string]struct{}{}
	for _, t := range tags {
		if t.Key == nil || strings.HasPrefix(strings.ToLower(*t.Key), reservedTag) {
			return invalidSecret("The key of a tag must be given and must not begin with aws:")
		}
		if _, again := keys[*t.Key]; again {
			return invalidSecret("The keys of tags must be unique")
		}
		keys[*t.Key] = struct{}{}
	}
	return c.tagQuota(account).within(len(tags), account, secretsmanager.CodeInvalidParameter)
}

func secretTags(tags []secretsmanager.Tag) []store.Tag {
	stored := make([]store.Tag, len(tags))
	for i, t := range tags {
		stored[i] = store.Tag{Key: *t.Key, Value: mailmanager.Value(t.Value)}
	}
	return stored
}
