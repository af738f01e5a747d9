package control

import (
	"context"
	"errors"
	"strings"

	"sluice/internal/mailmanager"
	"sluice/internal/secretsmanager"
	"sluice/internal/store"
)

// ResourceTags returns the tags of a resource of the scope, named by its ARN. What is not there, or not the scope's, has
// none (S36).
func (c *Control) ResourceTags(ctx context.Context, scope Scope, arn string) ([]store.Tag, error) {
	_, key, err := tagged(scope, mailmanager.TaggableResourceArn(arn))
	if err != nil {
		if _, isSecret := secretRefOf(scope, arn); !isSecret {
			return nil, nil
		}
		s, err := c.findSecret(ctx, scope, arn)
		if err != nil {
			return nil, unlessNotFound(err)
		}
		key = s.Key
	}
	tags, err := c.cfg.Store.Tags(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	return tags, err
}

// unknownSuffix stands for the random part of the ARN of a secret that is not there.
const unknownSuffix = "-??????"

// SecretARN returns the ARN of a secret of the scope by any name that it goes by. That of one that is not there ends in
// question marks, and an ARN that is not the scope's is returned as it is.
func (c *Control) SecretARN(ctx context.Context, scope Scope, nameOrARN string) (string, error) {
	s, err := c.findSecret(ctx, scope, nameOrARN)
	if err == nil {
		return s.arn(), nil
	}
	if strings.HasPrefix(nameOrARN, "arn:") {
		return nameOrARN, unlessNotFound(err)
	}
	return NewSecretARN(scope, nameOrARN), unlessNotFound(err)
}

// NewSecretARN is the ARN of a secret that is still to be made, with question marks for what is drawn then.
func NewSecretARN(scope Scope, name string) string {
	return mailmanager.ARN(secretsmanager.SigningName, scope.Region, scope.Account, secretResource+name+unknownSuffix)
}

func unlessNotFound(err error) error {
	if isCode(err, mailmanager.CodeResourceNotFound) {
		return nil
	}
	return err
}
