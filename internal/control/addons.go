package control

import (
	"context"
	"slices"
	"strings"

	"sluice/internal/mailmanager"
	"sluice/internal/match"
	"sluice/internal/store"
)

// addonNames are the add-ons that there are at AWS. Source: Mail Manager, F16.
var addonNames = []string{"ABUSIX_MAIL_INTELLIGENCE", "SPAMHAUS_DBL", "TRENDMICRO_VSAPI", "VADE_ADVANCED_EMAIL_SECURITY"}

// AddonNames are the names of the add-ons that can be configured.
func AddonNames() []string { return slices.Clone(addonNames) }

// addonRecord is an instance of an add-on as it is stored, under the id of its subscription as its name: so that there is one
// instance a subscription. A subscription is nothing but its name, which is that of its add-on.
type addonRecord struct{ AddonName mailmanager.AddonName }

// createAddonSubscription: Mail Manager, CreateAddonSubscription. It needs a configured analyzer (Mail Manager, F17).
func (c *Control) createAddonSubscription(ctx context.Context, scope Scope, in *mailmanager.CreateAddonSubscriptionRequest) (*mailmanager.CreateAddonSubscriptionResponse, error) {
	req := request{scope: scope, operation: "CreateAddonSubscription", token: in.ClientToken, tags: in.Tags, input: in}
	id, err := c.create(ctx, kindAddonSubscription, req, func(r store.Resource) (d draft, err error) {
		r.Name, r.Counted = string(*in.AddonName), notCounted
		d.Resource = r
		return d, c.checkAddon(r.Name)
	})
	if err != nil {
		return nil, err
	}
	return &mailmanager.CreateAddonSubscriptionResponse{AddonSubscriptionId: (*mailmanager.AddonSubscriptionId)(&id)}, nil
}

// checkAddon refuses an add-on that nothing stands for here.
func (c *Control) checkAddon(name string) error {
	switch {
	case !slices.Contains(addonNames, name):
		return match.Invalid("addonName", "Member must be one of "+strings.Join(addonNames, ", "))
	case c.cfg.HasAnalyzer == nil || !c.cfg.HasAnalyzer(name):
		return match.Invalid("addonName", "Member must name an analyzer that the server is configured with: [analyzers."+name+"] in its configuration")
	}
	return nil
}

// getAddonSubscription: Mail Manager, GetAddonSubscription.
func (c *Control) getAddonSubscription(ctx context.Context, scope Scope, in *mailmanager.GetAddonSubscriptionRequest) (*mailmanager.GetAddonSubscriptionResponse, error) {
	id := string(*in.AddonSubscriptionId)
	if err := kindAddonSubscription.checkID(id); err != nil {
		return nil, err
	}
	r, err := c.read(ctx, kindAddonSubscription, kindAddonSubscription.key(scope, id))
	if err != nil {
		return nil, err
	}
	return &mailmanager.GetAddonSubscriptionResponse{
		AddonName:            (*mailmanager.AddonName)(&r.Name),
		AddonSubscriptionArn: mailmanager.Ptr(mailmanager.AddonSubscriptionArn(kindAddonSubscription.arnOf(scope, id))),
		CreatedTimestamp:     milliseconds(r.Created),
	}, nil
}

// listAddonSubscriptions: Mail Manager, ListAddonSubscriptions.
func (c *Control) listAddonSubscriptions(ctx context.Context, scope Scope, in *mailmanager.ListAddonSubscriptionsRequest) (*mailmanager.ListAddonSubscriptionsResponse, error) {
	l := listing{scope: scope, kind: kindAddonSubscription.store, operation: "ListAddonSubscriptions", token: in.NextToken, size: pageSize(in.PageSize)}
	subscriptions, next, err := list(ctx, c, l, func(r store.Resource) (mailmanager.AddonSubscription, error) {
		return mailmanager.AddonSubscription{
			AddonSubscriptionId:  (*mailmanager.AddonSubscriptionId)(&r.ID),
			AddonName:            (*mailmanager.AddonName)(&r.Name),
			AddonSubscriptionArn: mailmanager.Ptr(mailmanager.AddonSubscriptionArn(kindAddonSubscription.arnOf(scope, r.ID))),
			CreatedTimestamp:     milliseconds(r.Created),
		}, nil
	})
	return &mailmanager.ListAddonSubscriptionsResponse{AddonSubscriptions: subscriptions, NextToken: next}, err
}

// deleteAddonSubscription: Mail Manager, DeleteAddonSubscription. It stays while it has an instance.
func (c *Control) deleteAddonSubscription(ctx context.Context, scope Scope, in *mailmanager.DeleteAddonSubscriptionRequest) (*mailmanager.DeleteAddonSubscriptionResponse, error) {
	id := string(*in.AddonSubscriptionId)
	if err := kindAddonSubscription.checkID(id); err != nil {
		return nil, err
	}
	return &mailmanager.DeleteAddonSubscriptionResponse{}, c.remove(ctx, kindAddonSubscription, kindAddonSubscription.key(scope, id), nil)
}

// createAddonInstance: Mail Manager, CreateAddonInstance.
func (c *Control) createAddonInstance(ctx context.Context, scope Scope, in *mailmanager.CreateAddonInstanceRequest) (*mailmanager.CreateAddonInstanceResponse, error) {
	subscription := kindAddonSubscription.key(scope, string(*in.AddonSubscriptionId))
	if err := kindAddonSubscription.checkID(subscription.ID); err != nil {
		return nil, err
	}
	req := request{scope: scope, operation: "CreateAddonInstance", token: in.ClientToken, tags: in.Tags, input: in}
	id, err := c.create(ctx, kindAddonInstance, req, func(r store.Resource) (d draft, err error) {
		of, err := c.read(ctx, kindAddonSubscription, subscription)
		if err != nil {
			return d, err
		}
		r.Name, r.Counted = subscription.ID, notCounted
		r.Body, err = encode(addonRecord{mailmanager.AddonName(of.Name)})
		d.Resource, d.Uses = r, []store.Reference{{Kind: subscription.Kind, ID: subscription.ID}}
		return d, err
	})
	if err != nil {
		return nil, err
	}
	return &mailmanager.CreateAddonInstanceResponse{AddonInstanceId: (*mailmanager.AddonInstanceId)(&id)}, nil
}

// getAddonInstance: Mail Manager, GetAddonInstance.
func (c *Control) getAddonInstance(ctx context.Context, scope Scope, in *mailmanager.GetAddonInstanceRequest) (*mailmanager.GetAddonInstanceResponse, error) {
	id := string(*in.AddonInstanceId)
	if err := kindAddonInstance.checkID(id); err != nil {
		return nil, err
	}
	r, err := c.read(ctx, kindAddonInstance, kindAddonInstance.key(scope, id))
	if err != nil {
		return nil, err
	}
	record, err := decode[addonRecord](r.Key, r.Body)
	if err != nil {
		return nil, err
	}
	return &mailmanager.GetAddonInstanceResponse{
		AddonSubscriptionId: (*mailmanager.AddonSubscriptionId)(&r.Name),
		AddonName:           &record.AddonName,
		AddonInstanceArn:    mailmanager.Ptr(mailmanager.AddonInstanceArn(kindAddonInstance.arnOf(scope, id))),
		CreatedTimestamp:    milliseconds(r.Created),
	}, nil
}

// listAddonInstances: Mail Manager, ListAddonInstances.
func (c *Control) listAddonInstances(ctx context.Context, scope Scope, in *mailmanager.ListAddonInstancesRequest) (*mailmanager.ListAddonInstancesResponse, error) {
	l := listing{scope: scope, kind: kindAddonInstance.store, operation: "ListAddonInstances", token: in.NextToken, size: pageSize(in.PageSize)}
	instances, next, err := list(ctx, c, l, func(r store.Resource) (mailmanager.AddonInstance, error) {
		record, err := decode[addonRecord](r.Key, r.Body)
		return mailmanager.AddonInstance{
			AddonInstanceId:     (*mailmanager.AddonInstanceId)(&r.ID),
			AddonSubscriptionId: (*mailmanager.AddonSubscriptionId)(&r.Name),
			AddonName:           &record.AddonName,
			AddonInstanceArn:    mailmanager.Ptr(mailmanager.AddonInstanceArn(kindAddonInstance.arnOf(scope, r.ID))),
			CreatedTimestamp:    milliseconds(r.Created),
		}, err
	})
	return &mailmanager.ListAddonInstancesResponse{AddonInstances: instances, NextToken: next}, err
}

// deleteAddonInstance: Mail Manager, DeleteAddonInstance. It stays while a traffic policy or a rule set asks it.
func (c *Control) deleteAddonInstance(ctx context.Context, scope Scope, in *mailmanager.DeleteAddonInstanceRequest) (*mailmanager.DeleteAddonInstanceResponse, error) {
	id := string(*in.AddonInstanceId)
	if err := kindAddonInstance.checkID(id); err != nil {
		return nil, err
	}
	return &mailmanager.DeleteAddonInstanceResponse{}, c.remove(ctx, kindAddonInstance, kindAddonInstance.key(scope, id), nil)
}
