package control

import (
	"net/netip"
	"slices"
	"strings"

	"sluice/internal/mailmanager"
	"sluice/internal/match"
	"sluice/internal/store"
)

// Tags of ours on ingress points; several values are joined by +. Source: Mail Manager, B19.
const (
	tagListener = "sluice:listener" // one or two names of listeners
	tagAddress  = "sluice:address"  // local addresses whose sessions on a shared listener are the point's
	tagHostname = "sluice:hostname" // server names that choose the point on a shared listener, beside its host name
	tagDefault  = "sluice:default"  // true: the point for sessions on a shared listener that name no other

	tagSeparator = "+"
	maxListeners = 2
)

// Lengths of host names. RFC 1035, section 2.3.4, without the length octets of the wire.
const (
	maxHostnameOctets = 253
	maxLabelOctets    = 63
)

// pointTags are the tags of ours on an ingress point.
type pointTags struct {
	listeners []string
	addresses []netip.Addr
	hostnames []string
	isDefault bool
}

// readPointTags reads the tags of ours. The error is a ValidationException; what is valid of them is there all the same.
func readPointTags(tags []store.Tag) (t pointTags, err error) {
	for _, tag := range tags {
		ok, values := true, strings.Split(tag.Value, tagSeparator)
		switch tag.Key {
		case tagListener:
			t.listeners, ok = values, len(values) <= maxListeners && distinct(values)
		case tagAddress:
			t.addresses, ok = readEach(values, readAddress)
		case tagHostname:
			t.hostnames, ok = readEach(values, readHostname)
		case tagDefault:
			t.isDefault, ok = tag.Value == "true", tag.Value == "true" || tag.Value == "false"
		}
		if !ok {
			err = match.Invalid("tags", "The value of "+tag.Key+" must be "+pointTagForms[tag.Key])
		}
	}
	return t, err
}

// pointTagForms is what the values of tags must be, for people.
var pointTagForms = map[string]string{
	tagListener: "one or two different names joined by +",
	tagAddress:  "one IP address, or different ones joined by +",
	tagHostname: "one DNS name, or different ones joined by +",
	tagDefault:  "true or false",
}

// readEach reads every value, or none when one of them is malformed or there twice.
func readEach[T comparable](values []string, read func(string) (T, bool)) ([]T, bool) {
	all := make([]T, len(values))
	for i, value := range values {
		var ok bool
		if all[i], ok = read(value); !ok {
			return nil, false
		}
	}
	if !distinct(all) {
		return nil, false
	}
	return all, true
}

func distinct[T comparable](values []T) bool {
	for i, v := range values {
		if slices.Contains(values[:i], v) {
			return false
		}
	}
	return true
}

// readAddress reads an address that a session can come in at.
func readAddress(text string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(text)
	if err != nil || a.Zone() != "" || a.IsUnspecified() || a.IsMulticast() {
		return netip.Addr{}, false
	}
	return a.Unmap(), true
}

// readHostname reads a name that a client can send as its server name: a DNS name without a final dot, and no address
// (RFC 6066, section 3). Case does not count.
func readHostname(text string) (string, bool) {
	_, err := netip.ParseAddr(text)
	if err == nil || len(text) > maxHostnameOctets {
		return "", false
	}
	name := strings.ToLower(text)
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > maxLabelOctets || label[0] == '-' || label[len(label)-1] == '-' ||
			strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return "", false
		}
	}
	return name, true
}

// checkPointTags refuses tags of ours that an ingress point cannot follow (Mail Manager, B19).
func (c *Control) checkPointTags(tags []store.Tag) (t pointTags, err error) {
	if t, err = readPointTags(tags); err != nil {
		return t, err
	}
	for _, name := range t.listeners {
		if !c.cfg.Sockets.HasListener(name) {
			return t, match.Invalid("tags", "The value of "+tagListener+" must name listeners of the configuration")
		}
	}
	return t, nil
}

// checkRetaggedDefault is checkDefault for a point that is there, and the tags that it will have.
func (c *Control) checkRetaggedDefault(key Key, tags []store.Tag) error {
	t, err := readPointTags(tags)
	if err != nil {
		return nil // tags that were there before they were checked
	}
	point, ok := c.IngressPoint(key)
	if !ok {
		return nil // it is gone, or cannot be used
	}
	return c.checkDefault(key, listenersOf(t, point.endpoint, point.PoolAddress), t)
}

// checkDefault refuses tags that make a point the default where another one of its account and region is it: on the same
// listener, for the same local addresses. The caller holds c.defaults until the tags are visible.
func (c *Control) checkDefault(key Key, listeners []string, t pointTags) error {
	if !t.isDefault {
		return nil
	}
	for p := range c.Points() {
		if p.Key != key && p.Scope == key.Scope && p.Default && p.Status != mailmanager.IngressPointStatusDeprovisioning &&
			meet(p.Listeners, listeners) && alike(p.Addresses, t.addresses) {
			return mailmanager.Errorf(mailmanager.CodeConflict, "The ingress point %s is the default of that listener", p.ID)
		}
	}
	return nil
}

// meet reports whether the lists have an element in common.
func meet[T comparable](a, b []T) bool {
	return slices.ContainsFunc(a, func(v T) bool { return slices.Contains(b, v) })
}

// alike reports whether two lists of local addresses stand for the same sessions: none is given, or one is in both.
func alike(a, b []netip.Addr) bool { return len(a) == 0 && len(b) == 0 || meet(a, b) }
