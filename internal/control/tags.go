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

// Tags of ours on ingress points. Source: Mail Manager, B19.
const (
	tagListener = "sluice:listener" // one or two names of listeners, joined by +
	tagDefault  = "sluice:default"  // true: the point for sessions on a shared listener that name no other

	maxListeners = 2
)

// reservedTag is what keys of AWS's own tags begin with (Mail Manager, A17).
const reservedTag = "aws:"

// checkTags refuses tags that no resource can have. The model has checked their lengths and characters.
func checkTags(tags []mailmanager.Tag) error {
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
	if len(tags) > maxTags {
		return tooManyTags()
	}
	return nil
}

func tooManyTags() error {
	return mailmanager.Errorf(mailmanager.CodeServiceQuotaExceeded, "A resource can have %d tags", maxTags)
}

// storedTags are tags as the store has them.
func storedTags(tags []mailmanager.Tag) []store.Tag {
	stored := make([]store.Tag, len(tags))
	for i, t := range tags {
		stored[i] = store.Tag{Key: string(*t.Key), Value: string(*t.Value)}
	}
	return stored
}

// checkPointTags refuses tags of ours that an ingress point cannot follow (Mail Manager, B19).
func (c *Control) checkPointTags(tags []store.Tag) error {
	for _, t := range tags {
		if t.Key == tagDefault && t.Value != "true" && t.Value != "false" {
			return match.Invalid("tags", "The value of "+tagDefault+" must be true or false")
		}
	}
	listeners, _ := pointTags(tags)
	if len(listeners) > maxListeners || len(listeners) == maxListeners && listeners[0] == listeners[1] {
		return match.Invalid("tags", "The value of "+tagListener+" must be one or two different names joined by +")
	}
	for _, name := range listeners {
		if !c.cfg.Sockets.HasListener(name) {
			return match.Invalid("tags", "The value of "+tagListener+" must name listeners of the configuration")
		}
	}
	return nil
}

// pointTags reads the tags of ours.
func pointTags(tags []store.Tag) (listeners []string, isDefault bool) {
	for _, t := range tags {
		switch t.Key {
		case tagListener:
			listeners = strings.Split(t.Value, "+")
		case tagDefault:
			isDefault = t.Value == "true"
		}
	}
	return listeners, isDefault
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
	if err := checkTags(in.Tags); err != nil {
		return nil, err
	}
	k, key, err := tagged(scope, *in.ResourceArn)
	if err != nil {
		return nil, err
	}
	tags := storedTags(in.Tags)
	if k == kindIngressPoint {
		if err := c.checkPointTags(tags); err != nil {
			return nil, err
		}
	}
	err = c.retag(ctx, k, key, func() error { return c.cfg.Store.SetTags(ctx, key, tags, maxTags) })
	return &mailmanager.TagResourceResponse{}, refuseTags(*in.ResourceArn, err)
}

// untagResource: Mail Manager, UntagResource. Keys that the resource does not have are no error.
func (c *Control) untagResource(ctx context.Context, scope Scope, in *mailmanager.UntagResourceRequest) (*mailmanager.UntagResourceResponse, error) {
	k, key, err := tagged(scope, *in.ResourceArn)
	if err != nil {
		return nil, err
	}
	keys := make([]string, len(in.TagKeys))
	for i, name := range in.TagKeys {
		keys[i] = string(name)
	}
	err = c.retag(ctx, k, key, func() error { return c.cfg.Store.RemoveTags(ctx, key, keys) })
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
	switch {
	case errors.Is(err, store.ErrNotFound):
		return noTaggedResource(text)
	case errors.Is(err, store.ErrQuota):
		return tooManyTags()
	default:
		return err
	}
}

// retag changes the tags of a resource; an ingress point follows its own.
func (c *Control) retag(ctx context.Context, k kind, key store.Key, change func() error) error {
	defer c.locks.lock(key)()
	if err := change(); err != nil {
		return err
	}
	if k != kindIngressPoint {
		return nil
	}
	return c.updateLocked(ctx, k, key, func(r store.Resource) (draft, error) { return c.retaggedPoint(ctx, r) })
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
	listeners, isDefault := pointTags(tags)
	before, ok := c.IngressPoint(snapshotKey(r.Key))
	moves := !ok || !slices.Equal(before.Listeners, listeners)
	if !moves && before.Default == isDefault {
		return d, errUnchanged
	}
	if moves && (p.settled() || p.Status == mailmanager.IngressPointStatusFailed) {
		p.Status, p.Reason = mailmanager.IngressPointStatusUpdating, ""
	}
	return c.draftPoint(r, p, tags, nil)
}
