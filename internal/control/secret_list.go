package control

import (
	"context"
	"iter"
	"slices"
	"strings"

	"sluice/internal/mailmanager"
	"sluice/internal/secretsmanager"
	"sluice/internal/store"
)

// defaultSecretPage is how many secrets a page has when the request does not say. Secrets Manager, ListSecrets.
const defaultSecretPage = 100

// listSecrets: Secrets Manager, ListSecrets. Secrets that are scheduled for deletion are listed on demand only.
func (c *Control) listSecrets(ctx context.Context, scope Scope, in *secretsmanager.ListSecretsRequest) (*secretsmanager.ListSecretsResponse, error) {
	after, err := c.position(scope, "ListSecrets", in.NextToken)
	if isCode(err, mailmanager.CodeValidation) {
		return nil, mailmanager.Errorf(secretsmanager.CodeInvalidNextToken, "The next token is not one of this list")
	}
	if err != nil {
		return nil, err
	}
	size := int32(defaultSecretPage)
	replace(&size, in.MaxResults)
	page := store.Page{Scope: scope, Kind: kindSecret.store, After: after, N: int(size) + 1, Descending: mailmanager.Value(in.SortOrder) == "desc"}
	out := &secretsmanager.ListSecretsResponse{SecretList: []secretsmanager.SecretListEntry{}}
	var last store.Resource
	for r, err := range c.resourcesFrom(ctx, page) {
		if err != nil {
			return nil, err
		}
		entry, listed, err := c.listedSecret(ctx, r, in)
		if err != nil {
			return nil, err
		}
		if listed && len(out.SecretList) == int(size) {
			out.NextToken = c.nextToken(scope, "ListSecrets", last)
			break
		}
		if listed {
			out.SecretList, last = append(out.SecretList, entry), r
		}
	}
	return out, nil
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

// listedSecret is a secret as the list shows it, and whether the request asks for it.
func (c *Control) listedSecret(ctx context.Context, r store.Resource, in *secretsmanager.ListSecretsRequest) (entry secretsmanager.SecretListEntry, listed bool, err error) {
	s, err := asSecret(r)
	if err != nil {
		return entry, false, err
	}
	if s.record.gone(c.now()) || s.record.Deleted != nil && !mailmanager.Value(in.IncludePlannedDeletion) {
		return entry, false, nil
	}
	entry, err = c.secretEntry(ctx, s)
	if isCode(err, mailmanager.CodeResourceNotFound) { // it went while we listed
		return entry, false, nil
	}
	return entry, err == nil && passes(entry, in.Filters), err
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
