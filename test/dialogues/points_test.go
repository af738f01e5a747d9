package dialogues

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/mailmanager/types"
)

// definition is an ingress point as the gateway of the dialogues is made with it.
type definition struct {
	name     string
	listener string // of the configuration; empty: it has an address of its own
	kind     types.IngressPointType
	tls      types.TlsPolicy
	policy   string // of policies
	proof    proof
	tags     map[string]string
	private  bool
	closed   bool
}

// proof is what the clients of a point prove themselves by.
type proof int

const (
	byNothing proof = iota
	byPassword
	bySecret
	byCertificate
)

// What is said of passwords, and what the gateway is called where several points share a socket.
const (
	password    = "the-right-password"
	oldPassword = "the-password-before"
	hostname    = "gateway.example"
	endpoint    = "vpce-0123456789abcdef0" // of the private point
)

const (
	open, auth, mtls         = types.IngressPointTypeOpen, types.IngressPointTypeAuth, types.IngressPointTypeMtls
	optional, required, fips = types.TlsPolicyOptional, types.TlsPolicyRequired, types.TlsPolicyFips
)

// isDefault makes a point the one for sessions that name no other.
var isDefault = map[string]string{"sluice:default": "true"}

// points are what the dialogues talk to: one of each kind, then those that share a listener.
var points = []definition{
	{name: "open", kind: open, tls: optional},
	{name: "required", kind: open, tls: required},
	{name: "small", kind: open, tls: optional, policy: "small"},
	{name: "auth", kind: auth, tls: required, proof: byPassword},
	{name: "secret", kind: auth, tls: required, proof: bySecret},
	{name: "private", kind: auth, tls: optional, proof: byPassword, private: true},
	{name: "mtls", kind: mtls, tls: required, proof: byCertificate},
	{name: "fips", kind: open, tls: fips},
	{name: "closed", kind: open, tls: optional, closed: true},
	{name: "strict", kind: open, tls: optional, policy: "strict"},

	{name: "plain", listener: "plain", kind: open, tls: optional},
	{name: "shared", listener: "shared", kind: open, tls: optional, tags: isDefault},
	{name: "shared-auth", listener: "shared", kind: auth, tls: required, proof: byPassword, tags: map[string]string{"sluice:hostname": "submission.example+mail.example"}},
	{name: "shared-mtls", listener: "shared", kind: mtls, tls: required, proof: byCertificate},
	{name: "shared-closed", listener: "shared", kind: open, tls: optional, closed: true},
	{name: "undecided", listener: "undecided", kind: open, tls: optional},
	{name: "undecided-auth", listener: "undecided", kind: auth, tls: required, proof: byPassword},
	{name: "implicit", listener: "implicit", kind: open, tls: required, tags: isDefault},
	{name: "implicit-auth", listener: "implicit", kind: auth, tls: required, proof: byPassword},
	{name: "proxy", listener: "proxy", kind: open, tls: optional, policy: "networks", tags: isDefault},
	{name: "proxy-auth", listener: "proxy", kind: auth, tls: required, proof: byPassword},
}

// listeners are the listeners of the configuration, with what they have beside an address.
var listeners = map[string]string{
	"plain":     `tls = "none"`,
	"shared":    "",
	"undecided": "",
	"implicit":  `tls = "implicit"`,
	"proxy":     `proxy_from = ["127.0.0.0/8"]`,
	endpoint:    "",
}

// policies are the traffic policies; every one denies recipients that begin with "denied@".
var policies = map[string]policy{
	"":         {byDefault: types.AcceptActionAllow},
	"small":    {byDefault: types.AcceptActionAllow, maxSize: aws.Int32(200)},
	"strict":   {byDefault: types.AcceptActionDeny, statements: []types.PolicyStatement{statement(types.AcceptActionAllow, tlsIs13)}},
	"networks": {byDefault: types.AcceptActionAllow, statements: []types.PolicyStatement{statement(types.AcceptActionDeny, fromTestNet)}},
}

// policy is a traffic policy but for its name.
type policy struct {
	byDefault  types.AcceptAction
	maxSize    *int32
	statements []types.PolicyStatement
}

func statement(action types.AcceptAction, condition types.PolicyCondition) types.PolicyStatement {
	return types.PolicyStatement{Action: action, Conditions: []types.PolicyCondition{condition}}
}

var toDenied = &types.PolicyConditionMemberStringExpression{Value: types.IngressStringExpression{
	Evaluate: &types.IngressStringToEvaluateMemberAttribute{Value: types.IngressStringEmailAttributeRecipient},
	Operator: types.IngressStringOperatorStartsWith, Values: []string{"denied@"},
}}

var tlsIs13 = &types.PolicyConditionMemberTlsExpression{Value: types.IngressTlsProtocolExpression{
	Evaluate: &types.IngressTlsProtocolToEvaluateMemberAttribute{Value: types.IngressTlsAttributeTlsProtocol},
	Operator: types.IngressTlsProtocolOperatorIs, Value: types.IngressTlsProtocolAttributeTls13,
}}

var fromTestNet = &types.PolicyConditionMemberIpExpression{Value: types.IngressIpv4Expression{
	Evaluate: &types.IngressIpToEvaluateMemberAttribute{Value: types.IngressIpv4AttributeSenderIp},
	Operator: types.IngressIpOperatorCidrMatches, Values: []string{"192.0.2.0/24"},
}}
