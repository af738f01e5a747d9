package control

import (
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"strings"

	"sluice/internal/mailmanager"
	"sluice/internal/match"
	"sluice/internal/store"
)

// kind is what the resources of one kind have in common.
type kind struct {
	store  store.Kind
	noun   string // in texts for people
	prefix string // of ids
	arn    string // the type in ARNs
	member string // the request's member with the id
}

// The kinds of resources with an id. Source: Mail Manager, sections 1.1 and 12.
var (
	kindRelay         = kind{"relay", "relay", "r-", "mailmanager-smtp-relay", "relayId"}
	kindRuleSet       = kind{"rule-set", "rule set", "rs-", "mailmanager-rule-set", "ruleSetId"}
	kindTrafficPolicy = kind{"traffic-policy", "traffic policy", "tp-", "mailmanager-traffic-policy", "trafficPolicyId"}
	kindImportJob     = kind{"import-job", "import job", "job-", "", "jobId"} // has no ARN
	kindIngressPoint  = kind{"ingress-point", "ingress point", "inp-", "mailmanager-ingress-point", "ingressPointId"}
	kindAddressList   = kind{"address-list", "address list", "al-", "mailmanager-address-list", "addressListId"}
	kindArchive       = kind{"archive", "archive", "a-", "mailmanager-archive", "archiveId"}

	kindAddonSubscription = kind{"addon-subscription", "add-on subscription", "as-", "addon-subscription", "addonSubscriptionId"}
	kindAddonInstance     = kind{"addon-instance", "add-on instance", "ai-", "addon-instance", "addonInstanceId"}
)

// taggable is every kind that has tags.
var taggable = []kind{kindRelay, kindRuleSet, kindTrafficPolicy, kindIngressPoint, kindAddressList, kindArchive, kindAddonSubscription, kindAddonInstance}

// Lengths of what follows an id's prefix (Mail Manager, A4).
const (
	idLength    = 24
	minIDLength = 20
	maxIDLength = 64
)

// newID returns an id with 120 random bits: nobody guesses another's (S36).
func (k kind) newID() string { return k.prefix + strings.ToLower(rand.Text())[:idLength] }

// validID reports whether an id is well formed (Mail Manager, A4).
func (k kind) validID(id string) bool {
	rest, ok := strings.CutPrefix(id, k.prefix)
	if !ok || len(rest) < minIDLength || len(rest) > maxIDLength {
		return false
	}
	for _, r := range rest {
		if (r < 'a' || r > 'z') && (r < '0' || r > '9') {
			return false
		}
	}
	return true
}

// checkID refuses a malformed id, before any lookup (Mail Manager, A4).
func (k kind) checkID(id string) error {
	if !k.validID(id) {
		return match.Invalid(k.member, fmt.Sprintf("Member must satisfy regular expression pattern: %s[a-z0-9]{%d,%d}",
			k.prefix, minIDLength, maxIDLength))
	}
	return nil
}

func (k kind) key(scope Scope, id string) store.Key {
	return store.Key{Scope: scope, Kind: k.store, ID: id}
}

// snapshotKey is a store's key as the data plane uses it.
func snapshotKey(key store.Key) Key { return Key{Scope: key.Scope, ID: key.ID} }

func (k kind) arnOf(scope Scope, id string) string {
	return arn{partition: mailmanager.Partition(scope.Region), service: mailmanager.SigningName, scope: scope, resource: k.arn + "/" + id}.String()
}

// RuleSetARN names a rule set, whether it is there or not. Mail Manager, section 12.
func RuleSetARN(scope Scope, id string) string { return kindRuleSet.arnOf(scope, id) }

// notFound is the answer for a well-formed id that is not there, or not the caller's: the two cannot be told apart (S36).
func (k kind) notFound(id string) error {
	return mailmanager.Errorf(mailmanager.CodeResourceNotFound, "There is no %s %s", k.noun, id)
}

// arn is an Amazon Resource Name, taken apart.
type arn struct {
	partition string
	service   string
	scope     Scope
	resource  string
}

const arnFields = 6 // "arn", partition, service, region, account, resource

// parseARN reads an ARN that names an account and a region.
func parseARN(text string) (a arn, ok bool) {
	fields := strings.SplitN(text, ":", arnFields)
	if len(fields) != arnFields || fields[0] != "arn" {
		return arn{}, false
	}
	for _, field := range fields {
		if field == "" {
			return arn{}, false
		}
	}
	return arn{partition: fields[1], service: fields[2], scope: Scope{Account: fields[4], Region: fields[3]}, resource: fields[5]}, true
}

func (a arn) String() string {
	return strings.Join([]string{"arn", a.partition, a.service, a.scope.Region, a.scope.Account, a.resource}, ":")
}

// idFromARN returns the id in an ARN of this kind and scope. An ARN of another account, region or partition names
// nothing that the scope's callers can see. It allocates nothing, because conditions of policies and rules are asked for
// each recipient.
func (k kind) idFromARN(scope Scope, text string) (id string, ok bool) {
	id = text
	for _, part := range [...]string{
		"arn:", mailmanager.Partition(scope.Region), ":", mailmanager.SigningName, ":", scope.Region, ":", scope.Account, ":", k.arn, "/",
	} {
		if id, ok = strings.CutPrefix(id, part); !ok {
			return "", false
		}
	}
	return id, k.validID(id)
}

// Lengths of the parts of an ingress point's host name (Mail Manager, B19).
const (
	hostLength      = 12
	regionTagLength = 4
)

const base36 = "0123456789abcdefghijklmnopqrstuvwxyz"

// newHost returns the host name of a new ingress point: 12 random characters, a tag of the region, and the mail domain.
func newHost(region, domain string) string {
	label := make([]byte, 0, hostLength)
	var random [1]byte
	for len(label) < hostLength {
		rand.Read(random[:])                                        // never fails: crypto/rand ends the process instead
		if limit := 256 - 256%len(base36); int(random[0]) < limit { // so that every character is as likely
			label = append(label, base36[int(random[0])%len(base36)])
		}
	}
	return string(label) + "." + HostDomain(region, domain)
}

// HostDomain is the domain that the host names of a region's ingress points are made in (Mail Manager, B19).
func HostDomain(region, mailDomain string) string { return regionTag(region) + "." + mailDomain }

// regionTag is the region in a host name: the same for the same region.
func regionTag(region string) string {
	sum := sha256.Sum256([]byte(region))
	tag := make([]byte, regionTagLength)
	for i := range tag {
		tag[i] = base36[int(sum[i])%len(base36)]
	}
	return string(tag)
}

// newUUID returns a random UUID. RFC 9562, section 5.4.
func newUUID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails: crypto/rand ends the process instead
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
