package identity

import (
	"context"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"time"

	"sluice/internal/access"
	"sluice/internal/control"
	"sluice/internal/store"
)

// Resources tells of resources what conditions ask for. What is not there, or not the scope's, has no tags, no type and an
// ARN that is as good as any. control.Control is one.
type Resources interface {
	ResourceTags(ctx context.Context, scope control.Scope, arn string) ([]store.Tag, error)
	SecretARN(ctx context.Context, scope control.Scope, nameOrARN string) (string, error)
	IngressPoint(control.Key) (*control.IngressPoint, bool)
}

// facts are the values of condition keys for one target of a request. They are looked up when a statement asks.
type facts struct {
	*question
	arn  string
	now  time.Time
	tags map[string]string // of the resource; nil: not looked up yet
}

var _ access.Context = (*facts)(nil)

// Values implements access.Context.
func (f *facts) Values(key access.Key) ([]string, bool) {
	switch key.Name {
	case "aws:tagkeys":
		return f.tagKeys()
	case "aws:requesttag":
		return tagValue(f.requestTags(), key.Tag)
	case "aws:resourcetag":
		return tagValue(f.resourceTags(), key.Tag)
	}
	value, ok := f.value(key.Name)
	if !ok {
		return nil, false
	}
	return []string{value}, true
}

// value is that of a key that has one. Source: Mail Manager, section 12.
func (f *facts) value(name string) (value string, ok bool) {
	switch name {
	case "aws:sourceip":
		address, err := netip.ParseAddrPort(f.caller.Address)
		return address.Addr().Unmap().String(), err == nil
	case "aws:currenttime":
		return f.now.UTC().Format(time.RFC3339), true
	case "aws:epochtime":
		return strconv.FormatInt(f.now.Unix(), 10), true
	case "aws:securetransport":
		return strconv.FormatBool(f.caller.Secure), true
	case "aws:username", "aws:userid":
		return f.caller.User, true
	case "aws:principalaccount":
		return f.caller.Account, true
	case "aws:principalarn":
		return f.caller.Principal, true
	case "aws:requestedregion":
		return f.caller.Region, true
	case "aws:useragent":
		return f.caller.UserAgent, true
	default:
		return f.mailValue(name)
	}
}

// mailValue is that of a key of Mail Manager's own.
func (f *facts) mailValue(name string) (value string, ok bool) {
	if f.service != serviceMail {
		return "", false
	}
	switch name {
	case "ses:mailmanagerrulesetarn":
		return f.used("IngressPoint", typeRuleSet, "RuleSetId")
	case "ses:mailmanagertrafficpolicyarn":
		return f.used("IngressPoint", typeTrafficPolicy, "TrafficPolicyId")
	case "ses:addonsubscriptionarn":
		return f.used("AddonInstance", typeAddonSubscription, "AddonSubscriptionId")
	case "ses:mailmanageringresspointtype":
		return f.pointType()
	default:
		return "", false
	}
}

// used is the ARN of a resource that the request puts to use in another one.
func (f *facts) used(in, kind, member string) (arn string, ok bool) {
	if id := text(f.input, member); id != "" && strings.HasSuffix(f.operation, in) {
		return f.mail(kind, id), true
	}
	return "", false
}

// pointType is that of the ingress point that is made or changed.
func (f *facts) pointType() (value string, ok bool) {
	if made := text(f.input, "Type"); f.operation == "CreateIngressPoint" {
		return made, made != ""
	}
	if f.operation != "UpdateIngressPoint" {
		return "", false
	}
	point, ok := f.resources.IngressPoint(control.Key{Scope: f.scope(), ID: text(f.input, "IngressPointId")})
	if !ok {
		return "", false
	}
	return string(point.Type), true
}

// requestTags are the tags that the request gives to a resource.
func (f *facts) requestTags() map[string]string {
	tags := map[string]string{}
	list, ok := field(f.input, "Tags")
	if !ok || list.Kind() != reflect.Slice {
		return tags
	}
	for i := range list.Len() {
		tag := list.Index(i).Addr().Interface()
		tags[text(tag, "Key")] = text(tag, "Value")
	}
	return tags
}

// tagKeys are the keys of tags in the request, given or taken.
func (f *facts) tagKeys() ([]string, bool) {
	var keys []string
	for key := range f.requestTags() {
		keys = append(keys, key)
	}
	if list, ok := field(f.input, "TagKeys"); ok && list.Kind() == reflect.Slice {
		for i := range list.Len() {
			keys = append(keys, list.Index(i).String())
		}
	}
	return keys, len(keys) > 0
}

// resourceTags are the tags that the resource has.
func (f *facts) resourceTags() map[string]string {
	if f.tags != nil {
		return f.tags
	}
	f.tags = map[string]string{}
	stored, err := f.resources.ResourceTags(f.ctx, f.scope(), f.arn)
	if err != nil {
		f.err = err
	}
	for _, tag := range stored {
		f.tags[tag.Key] = tag.Value
	}
	return f.tags
}

// tagValue is the value of a tag: of the key as it is written, or else of keys that differ from it in case only.
func tagValue(tags map[string]string, key string) (values []string, ok bool) {
	if value, ok := tags[key]; ok {
		return []string{value}, true
	}
	for other, value := range tags {
		if strings.EqualFold(other, key) {
			values = append(values, value)
		}
	}
	return values, len(values) > 0
}
