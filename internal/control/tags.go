package control

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"sluice/internal/mailmanager"
	"sluice/internal/match"
	"sluice/internal/store"
)

// reservedTag is what keys of AWS's own tags begin with (Mail Manager, A17).
const reservedTag = "aws:"

// checkTags refuses tags that no resource can have. The model has checked their lengths and characters.
func (c *Control) checkTags(account string, tags []mailmanager.Tag) error {
	keys := make(map[mailmanager.TagKey]struct{}, len(tags))
	for i, t := range tags {
		path := fmt.Sprintf("tags.%d.member.key", i+1)
		if strings.HasPrefix(strings.ToLower(string(*t.Key)), reservedTag) {
			return match.Invalid(path, "Member must not begin with aws:")
		}
		if _, again := keys[*t.Key]; again {
			return match.Invalid(path, "Member must be unique")
		}
		keys[*t.Key] = struct{}{}
	}
	return c.tagQuota(account).within(len(tags), account, mailmanager.CodeServiceQuotaExceeded)
}

func (c *Control) tagQuota(account string) quota {
	return quota{"tags_per_resource", c.limits(account).Tags}
}

// storedTags are tags as the store has them.
func storedTags(tags []mailmanager.Tag) []store.Tag {
	stored := make([]store.Tag, len(tags))
	for i, t := range tags {
		stored[i] = store.Tag{Key: string(*t.Key), Value: string(*t.Value)}
	}
	return stored
}

// tagged finds the resource of an ARN among the caller's. Another account's or region's is not found, like one that does
// not exist (S36).
func tagged(scope Scope, text mailmanager.TaggableResourceArn) (kind, store.Key, error) {
	for _, k := range taggable {
		if id, ok := k.idFromARN(scope, string(text)); ok {
			return k, k.key(scope, id), nil
		}
	}
	return kind{}, store.Key{}, noTaggedResource(text)
}

func noTaggedResource(text mailmanager.TaggableResourceArn) error {
	return mailmanager.Errorf(mailmanager.CodeResourceNotFound, "There is no resource %s", text)
}

// tagResource: Mail Manager, TagResource.
func (c *Control) tagResource(ctx context.Context, scope Scope, in *mailmanager.TagResourceRequest) (*mailmanager.TagResourceResponse, error) {
	if err := c.checkTags(scope.Account, in.Tags); err != nil {
		return nil, err
	}
	k, key, err := tagged(scope, *in.ResourceArn)
	if err != nil {
		return nil, err
	}
	tags := storedTags(in.Tags)
	switch k {
	case kindIngressPoint:
		_, err = c.checkPointTags(tags)
	case kindRelay:
		err = c.checkRelayTags(tags)
	}
	if err != nil {
		return nil, err
	}
	set := func(before []store.Tag) []store.Tag { return append(without(before, tags), tags...) }
	room := c.tagQuota(scope.Account)
	err = c.retag(ctx, k, key, set, func() error { return c.cfg.Store.SetTags(ctx, key, tags, room.most) })
	if errors.Is(err, store.ErrQuota) {
		return nil, room.exceeded(scope.Account, mailmanager.CodeServiceQuotaExceeded)
	}
	return &mailmanager.TagResourceResponse{}, refuseTags(*in.ResourceArn, err)
}

// untagResource: Mail Manager, UntagResource. Keys that the resource does not have are no error.
func (c *Control) untagResource(ctx context.Context, scope Scope, in *mailmanager.UntagResourceRequest) (*mailmanager.UntagResourceResponse, error) {
	k, key, err := tagged(scope, *in.ResourceArn)
	if err != nil {
		return nil, err
	}
	keys, gone := make([]string, len(in.TagKeys)), make([]store.Tag, len(in.TagKeys))
	for i, name := range in.TagKeys {
		keys[i], gone[i].Key = string(name), string(name)
	}
	unset := func(before []store.Tag) []store.Tag { return without(before, gone) }
	err = c.retag(ctx, k, key, unset, func() error { return c.cfg.Store.RemoveTags(ctx, key, keys) })
	return &mailmanager.UntagResourceResponse{}, refuseTags(*in.ResourceArn, err)
}

// listTagsForResource: Mail Manager, ListTagsForResource.
func (c *Control) listTagsForResource(ctx context.Context, scope Scope, in *mailmanager.ListTagsForResourceRequest) (*mailmanager.ListTagsForResourceResponse, error) {
	_, key, err := tagged(scope, *in.ResourceArn)
	if err != nil {
		return nil, err
	}
	stored, err := c.cfg.Store.Tags(ctx, key)
	if err != nil {
		return nil, refuseTags(*in.ResourceArn, err)
	}
	tags := make([]mailmanager.Tag, len(stored))
	for i, t := range stored {
		tags[i] = mailmanager.Tag{Key: (*mailmanager.TagKey)(&t.Key), Value: (*mailmanager.TagValue)(&t.Value)}
	}
	return &mailmanager.ListTagsForResourceResponse{Tags: tags}, nil
}

func refuseTags(text mailmanager.TaggableResourceArn, err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return noTaggedResource(text)
	}
	return err
}

// without is the tags whose keys are not those of others.
func without(tags, others []store.Tag) []store.Tag {
	return slices.DeleteFunc(slices.Clone(tags), func(t store.Tag) bool {
		return slices.ContainsFunc(others, func(o store.Tag) bool { return o.Key == t.Key })
	})
}

// retag changes the tags of a resource; ingress points and relays follow their own. after is what change makes of tags.
func (c *Control) retag(ctx context.Context, k kind, key store.Key, after func([]store.Tag) []store.Tag, change func() error) error {
	switch k {
	case kindIngressPoint:
	case kindRelay:
		return c.retagRelay(ctx, key, change)
	default:
		defer c.locks.lock(key)()
		return change()
	}
	c.defaults.Lock()
	defer c.defaults.Unlock()
	defer c.locks.lock(key)()
	before, err := c.cfg.Store.Tags(ctx, key)
	if err != nil {
		return err
	}
	if err := c.checkRetaggedDefault(snapshotKey(key), after(before)); err != nil {
		return err
	}
	if err := change(); err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx) // the tags are there; the point follows them, whether or not the caller has gone
	return c.updateLocked(ctx, k, key, func(r store.Resource) (draft, error) { return c.retaggedPoint(ctx, r) })
}

// retagRelay changes the tags of a relay, which follows them at once; so does the mail that waits for it (Mail Manager, D19).
func (c *Control) retagRelay(ctx context.Context, key store.Key, change func() error) error {
	defer c.locks.lock(key)()
	if err := change(); err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx) // as in retag
	err := c.updateLocked(ctx, kindRelay, key, func(r store.Resource) (draft, error) { return c.retaggedRelay(ctx, r) })
	if err == nil && c.cfg.RelayChanged != nil {
		c.cfg.RelayChanged(snapshotKey(key))
	}
	return err
}

// retaggedPoint is the point after a change of its tags. It is UPDATING when it moves to other listeners.
func (c *Control) retaggedPoint(ctx context.Context, r store.Resource) (d draft, err error) {
	p, err := decode[pointRecord](r.Key, r.Body)
	if err != nil {
		return d, err
	}
	tags, err := c.cfg.Store.Tags(ctx, r.Key)
	if err != nil {
		return d, err
	}
	next, _ := readPointTags(tags)
	before, ok := c.IngressPoint(snapshotKey(r.Key))
	moves := !ok || !slices.Equal(before.Listeners, listenersOf(next, p.endpoint(), p.PoolAddress))
	if !moves && before.Default == next.isDefault && slices.Equal(before.Addresses, next.addresses) && slices.Equal(before.Hostnames, next.hostnames) {
		return d, errUnchanged
	}
	if moves && (p.settled() || HasFailed(p.Status)) {
		p.Status, p.Reason = mailmanager.IngressPointStatusUpdating, ""
	}
	return c.draftPoint(ctx, r, p, tags, nil)
}
