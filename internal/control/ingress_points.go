package control

import (
	"context"
	"strings"

	"sluice/internal/mailmanager"
	"sluice/internal/match"
	"sluice/internal/store"
)

// pointRecord is an ingress point as it is stored, its credentials aside.
type pointRecord struct {
	Type        mailmanager.IngressPointType
	Status      mailmanager.IngressPointStatus
	Reason      string                         `json:",omitempty"` // why the status is FAILED
	Target      mailmanager.IngressPointStatus // ACTIVE or CLOSED: what it becomes when its sockets are open
	RuleSetID   string
	PolicyID    string
	TlsPolicy   mailmanager.TlsPolicy
	Network     mailmanager.NetworkConfiguration
	Host        string // its host name, which the API calls ARecord
	Reached     bool   // it has been reachable once: the host name is shown from then on
	PoolAddress string `json:",omitempty"`
}

// uses is what cannot be deleted before the point is gone (Mail Manager, A21).
func (p *pointRecord) uses() []store.Reference {
	return []store.Reference{{Kind: kindRuleSet.store, ID: p.RuleSetID}, {Kind: kindTrafficPolicy.store, ID: p.PolicyID}}
}

// aRecord is the host name as the API shows it (Mail Manager, section 1.3).
func (p *pointRecord) aRecord() *mailmanager.IngressPointARecord {
	if !p.Reached || p.private() {
		return nil
	}
	return mailmanager.Ptr(mailmanager.IngressPointARecord(p.Host))
}

// settled reports whether the point is where it should be; only then it may be changed (Mail Manager, A20).
func (p *pointRecord) settled() bool {
	return p.Status == mailmanager.IngressPointStatusActive || p.Status == mailmanager.IngressPointStatusClosed
}

// createIngressPoint: Mail Manager, CreateIngressPoint. It answers while the point is PROVISIONING.
func (c *Control) createIngressPoint(ctx context.Context, scope Scope, in *mailmanager.CreateIngressPointRequest) (*mailmanager.CreateIngressPointResponse, error) {
	if err := checkUsedIDs((*string)(in.RuleSetId), (*string)(in.TrafficPolicyId)); err != nil {
		return nil, err
	}
	c.defaults.Lock()
	defer c.defaults.Unlock()
	req := request{scope: scope, operation: "CreateIngressPoint", token: in.ClientToken, tags: in.Tags, input: in}
	id, err := c.create(ctx, kindIngressPoint, req, func(r store.Resource) (draft, error) { return c.newPoint(ctx, r, in) })
	if err != nil {
		return nil, err
	}
	return &mailmanager.CreateIngressPointResponse{IngressPointId: (*mailmanager.IngressPointId)(&id)}, nil
}

func (c *Control) newPoint(ctx context.Context, r store.Resource, in *mailmanager.CreateIngressPointRequest) (d draft, err error) {
	p := pointRecord{
		Type:      *in.Type,
		Status:    mailmanager.IngressPointStatusProvisioning,
		Target:    mailmanager.IngressPointStatusActive,
		RuleSetID: string(*in.RuleSetId),
		PolicyID:  string(*in.TrafficPolicyId),
		Network:   networkOf(in.NetworkConfiguration),
		Host:      newHost(r.Region, c.cfg.MailDomain),
	}
	tags := storedTags(in.Tags)
	ours, err := c.checkPointTags(tags)
	if err != nil {
		return d, err
	}
	if err := c.checkEndpoint(r.Scope, &p, ours); err != nil {
		return d, err
	}
	if err := c.checkDefault(snapshotKey(r.Key), listenersOf(ours, p.endpoint(), p.PoolAddress), ours); err != nil {
		return d, err
	}
	if p.TlsPolicy, err = c.tlsPolicy(&p, r.Scope, in.TlsPolicy); err != nil {
		return d, err
	}
	secret, err := c.newCredentials(p.Type, in.IngressPointConfiguration)
	if err != nil {
		return d, err
	}
	r.Name, r.Counted = string(*in.IngressPointName), countedPoint(p.Type)
	return c.draftPoint(ctx, r, p, tags, secret)
}

// checkUsedIDs refuses malformed ids of what a point uses; nil is absent.
func checkUsedIDs(ruleSet, policy *string) error {
	if ruleSet != nil && !kindRuleSet.validID(*ruleSet) {
		return kindRuleSet.checkID(*ruleSet)
	}
	if policy != nil {
		return kindTrafficPolicy.checkID(*policy)
	}
	return nil
}

// draftPoint completes an ingress point that is about to be stored; nil credentials stay as they are. A point on its way
// from one state to another is looked at once it is visible.
func (c *Control) draftPoint(ctx context.Context, r store.Resource, p pointRecord, tags []store.Tag, secret *credentials) (d draft, err error) {
	if r.Body, err = encode(p); err != nil {
		return d, err
	}
	d.Resource, d.Uses = r, p.uses()
	if secret != nil {
		sealed, err := c.sealPart(r.Key, partCredentials, secret)
		if err != nil {
			return d, err
		}
		d.Parts = map[string][]byte{partCredentials: sealed}
	}
	view := pointView(r, p, tags)
	if err := c.admitDrafted(ctx, view, r.Key, secret); err != nil {
		return d, err
	}
	d.publish = func() {
		c.points.store(view.Key, view)
		if !p.settled() && !HasFailed(p.Status) {
			c.settleSoon(view.Key)
		}
	}
	return d, nil
}

// admitDrafted gives a point that is about to be stored what its clients prove themselves by: secret, or what it has.
func (c *Control) admitDrafted(ctx context.Context, view *IngressPoint, key store.Key, secret *credentials) error {
	if secret != nil {
		return c.admit(view, secret)
	}
	if before, ok := c.IngressPoint(view.Key); ok {
		view.admitAsBefore(before)
		return nil
	}
	return c.admitStored(ctx, view, key)
}

// pointView is an ingress point as sessions see it, without its credentials.
func pointView(r store.Resource, p pointRecord, tags []store.Tag) *IngressPoint {
	ours, _ := readPointTags(tags) // they were checked when they were given
	return &IngressPoint{
		Key:         snapshotKey(r.Key),
		Name:        r.Name,
		ARN:         kindIngressPoint.arnOf(r.Scope, r.ID),
		ARecord:     p.Host,
		Type:        p.Type,
		Status:      p.Status,
		Serving:     p.serving(),
		TlsPolicy:   p.TlsPolicy,
		DualStack:   p.dualStack(),
		Private:     p.private(),
		RuleSetID:   p.RuleSetID,
		PolicyID:    p.PolicyID,
		Listeners:   listenersOf(ours, p.endpoint(), p.PoolAddress),
		PoolAddress: p.PoolAddress,
		Default:     ours.isDefault,
		Addresses:   ours.addresses,
		Hostnames:   ours.hostnames,
		Created:     r.Created,
		endpoint:    p.endpoint(),
	}
}

func (p *pointRecord) serving() bool {
	switch p.Status {
	case mailmanager.IngressPointStatusActive:
		return true
	case mailmanager.IngressPointStatusUpdating:
		return p.Target == mailmanager.IngressPointStatusActive
	default:
		return false
	}
}

// getIngressPoint: Mail Manager, GetIngressPoint, with the members StatusReason and Listeners of ours (Mail Manager, B19).
func (c *Control) getIngressPoint(ctx context.Context, scope Scope, in *mailmanager.GetIngressPointRequest) (*mailmanager.GetIngressPointResponse, error) {
	id := string(*in.IngressPointId)
	if err := kindIngressPoint.checkID(id); err != nil {
		return nil, err
	}
	key := kindIngressPoint.key(scope, id)
	r, err := c.read(ctx, kindIngressPoint, key)
	if err != nil {
		return nil, err
	}
	p, err := decode[pointRecord](key, r.Body)
	if err != nil {
		return nil, err
	}
	secret, err := c.readCredentials(ctx, key)
	if err != nil {
		return nil, err
	}
	out := &mailmanager.GetIngressPointResponse{
		IngressPointId:                in.IngressPointId,
		IngressPointName:              (*mailmanager.IngressPointName)(&r.Name),
		IngressPointArn:               mailmanager.Ptr(mailmanager.IngressPointArn(kindIngressPoint.arnOf(scope, id))),
		Status:                        &p.Status,
		Type:                          &p.Type,
		ARecord:                       p.aRecord(),
		RuleSetId:                     (*mailmanager.RuleSetId)(&p.RuleSetID),
		TrafficPolicyId:               (*mailmanager.TrafficPolicyId)(&p.PolicyID),
		IngressPointAuthConfiguration: secret.show(c.now(), mailmanager.Value(in.IncludeTrustStoreContents)),
		NetworkConfiguration:          &p.Network,
		TlsPolicy:                     &p.TlsPolicy,
		CreatedTimestamp:              milliseconds(r.Created),
		LastUpdatedTimestamp:          milliseconds(r.Modified),
		Listeners:                     c.cfg.Sockets.Bound(snapshotKey(key)),
	}
	if p.Reason != "" {
		out.StatusReason = &p.Reason
	}
	return out, nil
}

// listIngressPoints: Mail Manager, ListIngressPoints.
func (c *Control) listIngressPoints(ctx context.Context, scope Scope, in *mailmanager.ListIngressPointsRequest) (*mailmanager.ListIngressPointsResponse, error) {
	l := listing{scope: scope, kind: kindIngressPoint.store, operation: "ListIngressPoints", token: in.NextToken, size: pageSize(in.PageSize)}
	points, next, err := list(ctx, c, l, func(r store.Resource) (mailmanager.IngressPoint, error) {
		p, err := decode[pointRecord](r.Key, r.Body)
		return mailmanager.IngressPoint{
			IngressPointName: (*mailmanager.IngressPointName)(&r.Name),
			IngressPointId:   (*mailmanager.IngressPointId)(&r.ID),
			Status:           &p.Status,
			Type:             &p.Type,
			ARecord:          p.aRecord(),
		}, err
	})
	return &mailmanager.ListIngressPointsResponse{IngressPoints: points, NextToken: next}, err
}

// updateIngressPoint: Mail Manager, UpdateIngressPoint. It answers while the point is UPDATING; what sessions see has
// changed by then.
func (c *Control) updateIngressPoint(ctx context.Context, scope Scope, in *mailmanager.UpdateIngressPointRequest) (*mailmanager.UpdateIngressPointResponse, error) {
	id := string(*in.IngressPointId)
	if err := kindIngressPoint.checkID(id); err != nil {
		return nil, err
	}
	if err := checkUsedIDs((*string)(in.RuleSetId), (*string)(in.TrafficPolicyId)); err != nil {
		return nil, err
	}
	key := kindIngressPoint.key(scope, id)
	err := c.update(ctx, kindIngressPoint, key, func(r store.Resource) (draft, error) { return c.changedPoint(ctx, r, in) })
	return &mailmanager.UpdateIngressPointResponse{}, err
}

func (c *Control) changedPoint(ctx context.Context, r store.Resource, in *mailmanager.UpdateIngressPointRequest) (d draft, err error) {
	p, err := decode[pointRecord](r.Key, r.Body)
	if err != nil {
		return d, err
	}
	if !p.settled() { // Mail Manager, A20
		return d, mailmanager.Errorf(mailmanager.CodeConflict, "The ingress point %s is %s: it can be changed when it is ACTIVE or CLOSED", r.ID, p.Status)
	}
	if changesNothing(&p, in) { // Mail Manager, A19
		return d, errUnchanged
	}
	if p.TlsPolicy, err = c.changedTLSPolicy(&p, r.Scope, in.TlsPolicy); err != nil {
		return d, err
	}
	secret, err := c.changedCredentials(ctx, r.Key, p.Type, in.IngressPointConfiguration)
	if err != nil {
		return d, err
	}
	tags, err := c.cfg.Store.Tags(ctx, r.Key)
	if err != nil {
		return d, err
	}
	replace(&r.Name, (*string)(in.IngressPointName))
	replace(&p.RuleSetID, (*string)(in.RuleSetId))
	replace(&p.PolicyID, (*string)(in.TrafficPolicyId))
	replace(&p.Target, (*mailmanager.IngressPointStatus)(in.StatusToUpdate))
	p.Status = mailmanager.IngressPointStatusUpdating
	r.Modified = c.now()
	return c.draftPoint(ctx, r, p, tags, secret)
}

// changesNothing reports whether an update asks for nothing, or for the status that the point has.
func changesNothing(p *pointRecord, in *mailmanager.UpdateIngressPointRequest) bool {
	sameStatus := in.StatusToUpdate == nil || mailmanager.IngressPointStatus(*in.StatusToUpdate) == p.Status
	return sameStatus && in.IngressPointName == nil && in.RuleSetId == nil && in.TrafficPolicyId == nil &&
		in.IngressPointConfiguration == nil && in.TlsPolicy == nil
}

// deleteIngressPoint: Mail Manager, DeleteIngressPoint. It answers while the point is DEPROVISIONING; its rule set and
// policy stay in use until it is gone (Mail Manager, A21).
func (c *Control) deleteIngressPoint(ctx context.Context, scope Scope, in *mailmanager.DeleteIngressPointRequest) (*mailmanager.DeleteIngressPointResponse, error) {
	id := string(*in.IngressPointId)
	if err := kindIngressPoint.checkID(id); err != nil {
		return nil, err
	}
	key := kindIngressPoint.key(scope, id)
	err := c.update(ctx, kindIngressPoint, key, func(r store.Resource) (draft, error) { return c.departingPoint(ctx, r) })
	if err != nil && !isCode(err, mailmanager.CodeResourceNotFound) {
		return nil, err
	}
	return &mailmanager.DeleteIngressPointResponse{}, nil
}

func (c *Control) departingPoint(ctx context.Context, r store.Resource) (d draft, err error) {
	p, err := decode[pointRecord](r.Key, r.Body)
	if err != nil {
		return d, err
	}
	switch p.Status {
	case mailmanager.IngressPointStatusDeprovisioning:
		return d, errUnchanged
	case mailmanager.IngressPointStatusProvisioning, mailmanager.IngressPointStatusUpdating:
		return d, mailmanager.Errorf(mailmanager.CodeConflict, "The ingress point %s is %s: it can be deleted when that has ended", r.ID, p.Status)
	}
	tags, err := c.cfg.Store.Tags(ctx, r.Key)
	if err != nil {
		return d, err
	}
	p.Status, p.Reason = mailmanager.IngressPointStatusDeprovisioning, ""
	return c.draftPoint(ctx, r, p, tags, nil)
}

// northAmerican reports whether the region is in the United States or Canada, where AWS offers FIPS endpoints.
func northAmerican(region string) bool {
	return strings.HasPrefix(region, "us-") || strings.HasPrefix(region, "ca-")
}

// tlsPolicy is the TLS policy of a new point. Source: Mail Manager, section 2.4; Mail Manager, B20.
func (c *Control) tlsPolicy(p *pointRecord, scope Scope, asked *mailmanager.TlsPolicy) (mailmanager.TlsPolicy, error) {
	strict := c.cfg.Profiles.Strict(scope.Account)
	fips := strict && northAmerican(scope.Region)
	chosen := mailmanager.TlsPolicyRequired
	if fips {
		chosen = mailmanager.TlsPolicyFips
	}
	replace(&chosen, asked)
	authenticated := p.Type != mailmanager.IngressPointTypeOpen
	switch {
	case chosen == mailmanager.TlsPolicyOptional && p.Type == mailmanager.IngressPointTypeMtls:
		return "", refusedTLSPolicy("OPTIONAL is not for ingress points of type MTLS")
	case chosen == mailmanager.TlsPolicyOptional && authenticated && !p.private():
		return "", refusedTLSPolicy("OPTIONAL is not for public ingress points of type AUTH")
	case chosen == mailmanager.TlsPolicyFips && strict && !fips:
		return "", refusedTLSPolicy("FIPS is for regions in the United States and Canada only")
	case chosen == mailmanager.TlsPolicyRequired && fips && authenticated && !p.private():
		return "", refusedTLSPolicy("in this region a public ingress point of type AUTH or MTLS must have FIPS")
	}
	return chosen, nil
}

// changedTLSPolicy is the TLS policy after an update; nil asks for no change.
func (c *Control) changedTLSPolicy(p *pointRecord, scope Scope, asked *mailmanager.TlsPolicy) (mailmanager.TlsPolicy, error) {
	if asked == nil || *asked == p.TlsPolicy {
		return p.TlsPolicy, nil
	}
	open := p.Type == mailmanager.IngressPointTypeOpen
	switch {
	case !c.cfg.Profiles.Strict(scope.Account):
	case *asked == mailmanager.TlsPolicyFips || p.TlsPolicy == mailmanager.TlsPolicyFips:
		return "", refusedTLSPolicy("FIPS cannot be set or left after creation")
	case !open && !p.private():
		return "", refusedTLSPolicy("that of a public ingress point of type AUTH or MTLS cannot change")
	}
	return c.tlsPolicy(p, scope, asked)
}

func refusedTLSPolicy(why string) error { return match.Invalid("tlsPolicy", why) }
