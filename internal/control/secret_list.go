package control

import (
	"context"
	"errors"
	"iter"
	"slices"
	"strings"

	"sluice/internal/mailmanager"
	"sluice/internal/secretsmanager"
	"sluice/internal/store"
)

// How many secrets a page has when the request does not say. Secrets Manager, ListSecrets and BatchGetSecretValue.
const (
	defaultSecretPage = 100
	maxSecretBatch    = 20
)

// listSecrets: Secrets Manager, ListSecrets. Secrets that are scheduled for deletion are listed on demand only.
func (c *Control) listSecrets(ctx context.Context, scope Scope, in *secretsmanager.ListSecretsRequest) (*secretsmanager.ListSecretsResponse, error) {
	size := int32(defaultSecretPage)
	replace(&size, in.MaxResults)
	found, next, err := c.secretsOf(ctx, secretQuery{
		scope: scope, operation: "ListSecrets", token: in.NextToken, size: int(size), filters: in.Filters,
		descending: mailmanager.Value(in.SortOrder) == "desc", deleted: mailmanager.Value(in.IncludePlannedDeletion),
	})
	out := &secretsmanager.ListSecretsResponse{SecretList: make([]secretsmanager.SecretListEntry, len(found)), NextToken: next}
	for i := range found {
		out.SecretList[i] = found[i].entry
	}
	return out, err
}

// secretQuery asks for a page of secrets.
type secretQuery struct {
	scope      Scope
	operation  string
	token      *string
	size       int
	filters    []secretsmanager.Filter
	descending bool
	deleted    bool // those that are scheduled for deletion, too
}

// listedSecret is a secret of a page.
type listedSecret struct {
	foundSecret
	entry secretsmanager.SecretListEntry
}

// secretsOf returns a page of secrets, and the token of the next page: nil when there is none.
func (c *Control) secretsOf(ctx context.Context, q secretQuery) (found []listedSecret, next *string, err error) {
	after, err := c.secretPosition(q.scope, q.operation, q.token)
	if err != nil {
		return nil, nil, err
	}
	page := store.Page{Scope: q.scope, Kind: kindSecret.store, After: after, N: q.size + 1, Descending: q.descending}
	for r, err := range c.resourcesFrom(ctx, page) {
		if err != nil {
			return nil, nil, err
		}
		s, listed, err := c.listSecret(ctx, r, q)
		if err != nil {
			return nil, nil, err
		}
		if listed && len(found) == q.size {
			return found, c.nextToken(q.scope, q.operation, found[q.size-1].Resource), nil
		}
		if listed {
			found = append(found, s)
		}
	}
	return found, nil, nil
}

// secretPosition is position with the error of Secrets Manager.
func (c *Control) secretPosition(scope Scope, operation string, token *string) (store.Position, error) {
	after, err := c.position(scope, operation, token)
	if isCode(err, mailmanager.CodeValidation) {
		return after, mailmanager.Errorf(secretsmanager.CodeInvalidNextToken, "The next token is not one of this list")
	}
	return after, err
}

// resourcesFrom yields the resources of a page and of those that follow: filters may pass over any number of them.
func (c *Control) resourcesFrom(ctx context.Context, page store.Page) iter.Seq2[store.Resource, error] {
	return func(yield func(store.Resource, error) bool) {
		for {
			found, err := c.cfg.Store.List(ctx, page)
			if err != nil {
				yield(store.Resource{}, err)
				return
			}
			wanted := !slices.ContainsFunc(found, func(r store.Resource) bool { return !yield(r, nil) })
			if !wanted || len(found) < page.N {
				return
			}
			last := found[len(found)-1]
			page.After = store.Position{Created: last.Created, ID: last.ID}
		}
	}
}

// listSecret is a secret as a list shows it, and whether the query asks for it.
func (c *Control) listSecret(ctx context.Context, r store.Resource, q secretQuery) (s listedSecret, listed bool, err error) {
	if s.foundSecret, err = asSecret(r); err != nil {
		return s, false, err
	}
	if s.record.gone(c.now()) || s.record.Deleted != nil && !q.deleted {
		return s, false, nil
	}
	s.entry, err = c.secretEntry(ctx, s.foundSecret)
	if isCode(err, mailmanager.CodeResourceNotFound) { // it went while we listed
		return s, false, nil
	}
	return s, err == nil && passes(s.entry, q.filters), err
}

// batchGetSecretValue: Secrets Manager, BatchGetSecretValue. A secret that cannot be read does not keep the others.
func (c *Control) batchGetSecretValue(ctx context.Context, scope Scope, in *secretsmanager.BatchGetSecretValueRequest) (*secretsmanager.BatchGetSecretValueResponse, error) {
	switch {
	case (in.SecretIdList == nil) == (len(in.Filters) == 0):
		return nil, invalidSecret("One of SecretIdList and Filters must be given")
	case in.SecretIdList != nil && (in.MaxResults != nil || in.NextToken != nil):
		return nil, invalidSecret("MaxResults and NextToken go with Filters only")
	}
	out := &secretsmanager.BatchGetSecretValueResponse{SecretValues: []secretsmanager.SecretValueEntry{}, Errors: []secretsmanager.APIErrorType{}}
	for _, id := range in.SecretIdList {
		s, err := c.findSecret(ctx, scope, id)
		if err := c.readInto(ctx, out, id, s, err); err != nil {
			return nil, err
		}
	}
	if in.SecretIdList != nil {
		return out, nil
	}
	size := int32(maxSecretBatch)
	replace(&size, in.MaxResults)
	found, next, err := c.secretsOf(ctx, secretQuery{scope: scope, operation: "BatchGetSecretValue", token: in.NextToken, size: int(size), filters: in.Filters})
	if err != nil {
		return nil, err
	}
	for _, s := range found {
		if err := c.readInto(ctx, out, s.arn(), s.foundSecret, nil); err != nil {
			return nil, err
		}
	}
	out.NextToken = next
	return out, nil
}

// readInto adds a secret's value to a batch, or why it cannot be read: not found, or marked for deletion. Any other error is returned.
func (c *Control) readInto(ctx context.Context, out *secretsmanager.BatchGetSecretValueResponse, id string, s foundSecret, err error) error {
	var version secretVersion
	var value secretValue
	if err == nil {
		version, value, err = c.valueOf(ctx, s, nil, nil)
	}
	var failure *mailmanager.Error
	switch {
	case err == nil:
		out.SecretValues = append(out.SecretValues, secretsmanager.SecretValueEntry{
			ARN: mailmanager.Ptr(s.arn()), Name: &s.Name, VersionId: &version.ID, VersionStages: version.Stages, CreatedDate: milliseconds(version.Created),
			SecretBinary: value.Binary, SecretString: (*secretsmanager.SecretString)(value.Text),
		})
		return nil
	case errors.As(err, &failure) && failure.Code != "":
		out.Errors = append(out.Errors, secretsmanager.APIErrorType{SecretId: &id, ErrorCode: (*string)(&failure.Code), Message: &failure.Message})
		return nil
	default:
		return err
	}
}

// passes reports whether a secret satisfies every filter. Secrets Manager, ListSecrets.
func passes(entry secretsmanager.SecretListEntry, filters []secretsmanager.Filter) bool {
	return !slices.ContainsFunc(filters, func(f secretsmanager.Filter) bool { return !satisfies(entry, f) })
}

// satisfies reports whether one of the filter's values is the beginning of the property that it names, or, written with
// ! in front, is not. Letter case counts in names and tags only, and not when anything is asked for.
func satisfies(entry secretsmanager.SecretListEntry, f secretsmanager.Filter) bool {
	key := mailmanager.Value(f.Key)
	fold := func(text string) string { return text }
	if key == "description" || key == "all" {
		fold = strings.ToLower
	}
	return slices.ContainsFunc(f.Values, func(wanted string) bool {
		wanted, negated := strings.CutPrefix(fold(wanted), "!")
		return negated != slices.ContainsFunc(properties(entry, key), func(p string) bool {
			return strings.HasPrefix(fold(p), wanted)
		})
	})
}

// properties are the texts of a secret that a filter's key stands for; secrets here have no region of their own and no
// owning service.
func properties(entry secretsmanager.SecretListEntry, key string) []string {
	switch key {
	case "name":
		return []string{*entry.Name}
	case "description":
		return []string{mailmanager.Value(entry.Description)}
	case "tag-key":
		return tagTexts(entry.Tags, func(t secretsmanager.Tag) string { return *t.Key })
	case "tag-value":
		return tagTexts(entry.Tags, func(t secretsmanager.Tag) string { return *t.Value })
	case "all":
		return slices.Concat(properties(entry, "name"), properties(entry, "description"),
			properties(entry, "tag-key"), properties(entry, "tag-value"))
	default:
		return nil
	}
}

func tagTexts(tags []secretsmanager.Tag, text func(secretsmanager.Tag) string) []string {
	texts := make([]string, len(tags))
	for i, t := range tags {
		texts[i] = text(t)
	}
	return texts
}
