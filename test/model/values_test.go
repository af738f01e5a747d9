package model

import (
	"fmt"
	"maps"
	"regexp"
	"slices"

	"sluice/internal/mailmanager"
)

// fixed makes a value that is always the same.
func fixed(v any) value { return func(*sampler) any { return v } }

// plain are values of shapes of which the model alone knows too little to make one that can be used.
func plain(ca string) map[string]value {
	return map[string]value{
		"Address":             func(s *sampler) any { s.made++; return fmt.Sprintf("user%d@example.com", s.made) },
		"AddressListArn":      fixed("arn:aws:ses:us-east-1:000000000000:mailmanager-address-list/al-aaaaaaaaaaaaaaaaaaaaaaaa"),
		"AddonName":           fixed("SPAMHAUS_DBL"),
		"ArchiveId":           fixed("a-aaaaaaaaaaaaaaaaaaaaaaaa"),
		"CAContent":           fixed(ca),
		"EmailAddress":        func(s *sampler) any { s.made++; return fmt.Sprintf("user%d@example.com", s.made) },
		"IngressPointType":    fixed("OPEN"),
		"Ipv4Cidr":            fixed("192.0.2.0/24"),
		"Ipv4Cidrs":           fixed([]any{"192.0.2.0/24"}),
		"Ipv6Cidr":            fixed("2001:db8::/32"),
		"Ipv6Cidrs":           fixed([]any{"2001:db8::/32"}),
		"PaginationToken":     fixed("not-a-token"),
		"RelayAuthentication": fixed(map[string]any{"NoAuthentication": map[string]any{}}),
		"ResultField":         fixed("isListed"),
		"RuleAction":          fixed(map[string]any{"Drop": map[string]any{}}),
		"RuleIpStringValue":   fixed("192.0.2.0/24"),
		"StringList":          fixed([]any{"text"}),
		"TlsPolicy":           fixed("REQUIRED"),
	}
}

// fixture is a resource that other inputs name.
type fixture struct {
	operation string         // makes it
	shape     string         // of what names it in inputs
	member    string         // of the output; empty: the shape
	arnShape  string         // of what names it by its ARN
	arn       string         // a format, of region and id
	needs     []string       // other fixtures
	with      map[string]any // of the input
}

// fixtures are in the order in which they can be made.
var fixtures = []fixture{
	{operation: "CreateRelay", shape: "RelayId", arnShape: "TaggableResourceArn", arn: "arn:aws:ses:%s:000000000000:mailmanager-smtp-relay/%s"},
	{operation: "CreateRuleSet", shape: "RuleSetId"},
	{operation: "CreateTrafficPolicy", shape: "TrafficPolicyId"},
	{operation: "CreateIngressPoint", shape: "IngressPointId", needs: pointNeeds},
	{operation: "CreateIngressPoint", shape: "AuthPoint", member: "IngressPointId", needs: pointNeeds, with: map[string]any{
		"Type": "AUTH", "IngressPointConfiguration": map[string]any{"SmtpPassword": "a-password-of-tests"}}},
	{operation: "CreateIngressPoint", shape: "MtlsPoint", member: "IngressPointId", needs: pointNeeds, with: map[string]any{"Type": "MTLS"}},
	{operation: "CreateArchive", shape: "ArchiveIdString", member: "ArchiveId"},
	{operation: "CreateAddressList", shape: "AddressListId"},
	{operation: "CreateAddressListImportJob", shape: "JobId", needs: []string{"AddressListId"}},
	{operation: "CreateAddonSubscription", shape: "AddonSubscriptionId"},
	{operation: "CreateAddonInstance", shape: "AddonInstanceId", needs: []string{"AddonSubscriptionId"},
		arnShape: "AnalyzerArn", arn: "arn:aws:ses:%s:000000000000:addon-instance/%s"},
}

var pointNeeds = []string{"RuleSetId", "TrafficPolicyId"}

// further are fixtures that companions need of operations.
var further = map[string][]string{"UpdateIngressPoint": {"AuthPoint", "MtlsPoint"}}

// needed are the fixtures that the inputs of an operation may name.
func needed(operation *mailmanager.Operation) map[string]bool {
	shapes := map[string]bool{}
	inputShapes(operation.Input, shapes)
	for _, shape := range further[operation.Name] {
		shapes[shape] = true
	}
	for _, f := range slices.Backward(fixtures) {
		if shapes[f.shape] = shapes[f.shape] || shapes[f.arnShape] && f.arnShape != ""; shapes[f.shape] {
			for _, shape := range f.needs {
				shapes[shape] = true
			}
		}
	}
	return shapes
}

func inputShapes(shape *mailmanager.Shape, into map[string]bool) {
	if shape == nil || into[shape.Name] {
		return
	}
	into[shape.Name] = true
	inputShapes(shape.Element, into)
	for _, member := range shape.Members {
		inputShapes(member.Shape, into)
	}
}

// companion completes inputs of operations in which something below a path is varied.
type companion struct {
	operations, path string // regular expressions, of the whole and of the beginning
	set              func(values map[string]value) map[string]any
}

var companions = []companion{
	{"CreateIngressPoint", `ingressPointConfiguration\.(smtpPassword|secretArn)`, func(map[string]value) map[string]any { return map[string]any{"Type": "AUTH"} }},
	{"CreateIngressPoint", `ingressPointConfiguration\.tlsAuthConfiguration`, func(map[string]value) map[string]any { return map[string]any{"Type": "MTLS"} }},
	{"UpdateIngressPoint", `ingressPointConfiguration\.(smtpPassword|secretArn)`, func(v map[string]value) map[string]any {
		return map[string]any{"IngressPointId": v["AuthPoint"](nil)}
	}},
	{"UpdateIngressPoint", `ingressPointConfiguration\.tlsAuthConfiguration`, func(v map[string]value) map[string]any {
		return map[string]any{"IngressPointId": v["MtlsPoint"](nil)}
	}},
}

// adapter completes the inputs of an operation.
func adapter(operation string, values map[string]value) func(path string, input map[string]any) {
	return func(path string, input map[string]any) {
		for _, c := range companions {
			if whole(c.operations, operation) && begins(c.path, path) {
				maps.Copy(input, c.set(values))
			}
		}
	}
}

func whole(pattern, text string) bool {
	return regexp.MustCompile(`\A(?:` + pattern + `)\z`).MatchString(text)
}
func begins(pattern, text string) bool {
	return regexp.MustCompile(`\A(?:` + pattern + `)`).MatchString(text)
}

// reason is why what the model allows is refused all the same.
type reason struct {
	operations, path string // regular expressions, of the whole
	codes            []mailmanager.Code
	why              string
}

// What reasons have in common.
const (
	every    = `.*`
	points   = `(Create|Update)IngressPoint`
	policies = `(Create|Update)TrafficPolicy`
	ruleSets = `(Create|Update)RuleSet`
)

var (
	validation = []mailmanager.Code{mailmanager.CodeValidation}
	notFound   = []mailmanager.Code{mailmanager.CodeResourceNotFound}
	noID       = []mailmanager.Code{mailmanager.CodeValidation, mailmanager.CodeResourceNotFound}
	overQuota  = []mailmanager.Code{mailmanager.CodeServiceQuotaExceeded}
)

var reasons = []reason{
	{every, `(relay|ruleSet|trafficPolicy|ingressPoint|archive)Id`, validation, "ids have 20 to 64 characters behind their prefix (A4)"},
	{every, `nextToken`, validation, "nobody but the server makes tokens (A2)"},
	{every, `(addressList|addonSubscription|addonInstance|job)Id`, noID, "the same, or nothing has that id"},
	{every, `resourceArn`, notFound, "nothing has that name"},
	{every, `tags`, overQuota, "the model allows 200 tags in a list, and a resource has 50 (A17)"},
	{"CreateIngressPoint", `type`, validation, "AUTH and MTLS want a configuration"},
	{points, `ingressPointConfiguration\.tlsAuthConfiguration(\.trustStore)?`, validation, "MTLS wants a trust store"},
	{points, `ingressPointConfiguration\.tlsAuthConfiguration\.trustStore\.(cAContent|crlContent)`, validation, "it is no PEM"},
	{"RegisterMemberToAddressList", `address`, validation, "a member is an address, a domain, or one of them with an asterisk (F12)"},
	{"(Get|Deregister)Member(Of|From)AddressList", `.*`, notFound, "there is no such member"},
	{"StopAddressListImportJob", `.*`, []mailmanager.Code{mailmanager.CodeConflict}, "the job is not running"},
	{"CreateAddonSubscription", `addonName`, validation, "there are four, and the server has some of them (F17)"},
	{"CreateIngressPoint", `networkConfiguration\.privateNetworkConfiguration(\.vpcEndpointId)?`, validation, "no listener is at that endpoint"},
	{every, `.*\.analysis\.(analyzer|resultField)`, validation, "there is no such add-on instance, or no such field of it (F16)"},
	{policies, `.*\.values`, validation, "a condition without values says nothing"},
	{policies, `.*\.(ipExpression|ipv6Expression)\.values\.1\.member`, validation, "what the pattern takes need be no network"},
	{ruleSets, `.*\.ipExpression\.values\.1\.member`, validation, "what the pattern takes need be no address"},
	{ruleSets, `.*\.replaceRecipient(\.replaceWith)?`, validation, "a recipient is not replaced by nothing (D3)"},
}
