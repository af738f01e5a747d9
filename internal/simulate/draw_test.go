package simulate_test

import (
	"net/netip"
	"strings"

	"pgregory.net/rapid"

	"sluice/internal/mailmanager"
	"sluice/internal/message"
	"sluice/internal/smtp"
)

// words are few, so that conditions often hold.
var (
	addressesDrawn = []string{"a@x.example", "b@x.example", "A+tag@Y.example", `"q q"@x.example`, "ü@bücher.example"}
	valuesDrawn    = []string{"a@x.example", "@x.example", "b", "x.example", "xn--bcher-kva.example", "hello", "1"}
	networksDrawn  = []mailmanager.RuleIpStringValue{"192.0.2.0/24", "192.0.2.1", "2001:db8::/32", "0.0.0.0/0"}
	clientsDrawn   = []string{"192.0.2.1", "198.51.100.7", "2001:db8::1", "::ffff:192.0.2.9"}
	listsDrawn     = []mailmanager.AddressListArn{"arn:aws:ses:us-east-1:1:mailmanager-address-list/al-1", "al-missing"}
	membersDrawn   = []string{"a@x.example", "a+t*@y.example", "@bÜcher.example"}
	relaysDrawn    = []mailmanager.IdOrArn{"r-known", "r-other", "r-missing"}
)

func one[T any](t *rapid.T, what string, from ...T) T { return rapid.SampledFrom(from).Draw(t, what) }

func some[T any](t *rapid.T, what string, from []T) []T {
	return rapid.SliceOfN(rapid.SampledFrom(from), 1, 2).Draw(t, what)
}

func stringCondition(t *rapid.T, to mailmanager.RuleStringToEvaluate) mailmanager.RuleCondition {
	e := &mailmanager.RuleStringExpression{
		Evaluate: &to, Operator: mailmanager.Ptr(one[mailmanager.RuleStringOperator](t, "operator", "EQUALS", "NOT_EQUALS", "STARTS_WITH", "ENDS_WITH", "CONTAINS")),
	}
	for _, v := range some(t, "values", valuesDrawn) {
		e.Values = append(e.Values, mailmanager.RuleStringValue(v))
	}
	return mailmanager.RuleCondition{StringExpression: e}
}

func booleanCondition(t *rapid.T, to mailmanager.RuleBooleanToEvaluate) mailmanager.RuleCondition {
	return mailmanager.RuleCondition{BooleanExpression: &mailmanager.RuleBooleanExpression{
		Evaluate: &to, Operator: mailmanager.Ptr(one[mailmanager.RuleBooleanOperator](t, "operator", "IS_TRUE", "IS_FALSE")),
	}}
}

// drawCondition draws each kind of condition.
func drawCondition(t *rapid.T) mailmanager.RuleCondition {
	switch rapid.IntRange(0, 9).Draw(t, "condition") {
	case 0:
		return stringCondition(t, mailmanager.RuleStringToEvaluate{MimeHeaderAttribute: mailmanager.Ptr(mailmanager.MimeHeaderAttribute("X-A"))})
	case 1:
		return stringCondition(t, mailmanager.RuleStringToEvaluate{ClientCertificateAttribute: mailmanager.Ptr(mailmanager.RuleClientCertificateAttributeCn)})
	case 2:
		attribute := one[mailmanager.RuleBooleanEmailAttribute](t, "attribute", "TLS", "TLS_WRAPPED", "READ_RECEIPT_REQUESTED")
		return booleanCondition(t, mailmanager.RuleBooleanToEvaluate{Attribute: &attribute})
	case 3:
		return booleanCondition(t, mailmanager.RuleBooleanToEvaluate{IsInAddressList: &mailmanager.RuleIsInAddressList{
			Attribute:    mailmanager.Ptr(one[mailmanager.RuleAddressListEmailAttribute](t, "attribute", "RECIPIENT", "MAIL_FROM", "SENDER", "FROM", "TO", "CC")),
			AddressLists: []mailmanager.AddressListArn{one(t, "list", listsDrawn...)},
		}})
	case 4:
		return mailmanager.RuleCondition{NumberExpression: &mailmanager.RuleNumberExpression{
			Evaluate: &mailmanager.RuleNumberToEvaluate{Attribute: mailmanager.Ptr(mailmanager.RuleNumberEmailAttributeMessageSize)},
			Operator: mailmanager.Ptr(one[mailmanager.RuleNumberOperator](t, "operator", "EQUALS", "LESS_THAN", "GREATER_THAN_OR_EQUAL")),
			Value:    mailmanager.Ptr(one(t, "size", 0.0, 60, 150)),
		}}
	case 5:
		return mailmanager.RuleCondition{IpExpression: &mailmanager.RuleIpExpression{
			Evaluate: &mailmanager.RuleIpToEvaluate{Attribute: mailmanager.Ptr(mailmanager.RuleIpEmailAttributeSourceIp)},
			Operator: mailmanager.Ptr(one[mailmanager.RuleIpOperator](t, "operator", "CIDR_MATCHES", "NOT_CIDR_MATCHES")),
			Values:   some(t, "networks", networksDrawn),
		}}
	}
	attribute := one[mailmanager.RuleStringEmailAttribute](t, "attribute", "MAIL_FROM", "HELO", "RECIPIENT", "RECIPIENT", "SENDER", "FROM", "SUBJECT", "TO", "CC")
	return stringCondition(t, mailmanager.RuleStringToEvaluate{Attribute: &attribute})
}

func drawAction(t *rapid.T) mailmanager.RuleAction {
	onFailure := one(t, "on failure", nil, mailmanager.Ptr(mailmanager.ActionFailurePolicyDrop))
	switch rapid.IntRange(0, 7).Draw(t, "action") {
	case 0:
		return mailmanager.RuleAction{Drop: &mailmanager.DropAction{}}
	case 1, 2:
		return mailmanager.RuleAction{AddHeader: &mailmanager.AddHeaderAction{
			HeaderName:  mailmanager.Ptr(mailmanager.HeaderName("X-A")),
			HeaderValue: mailmanager.Ptr(mailmanager.HeaderValue(one(t, "value", "1", "hello"))),
		}}
	case 3:
		return mailmanager.RuleAction{ReplaceRecipient: &mailmanager.ReplaceRecipientAction{
			ReplaceWith: some(t, "with", []mailmanager.EmailAddress{"a@x.example", "c@z.example"}),
		}}
	case 4:
		return mailmanager.RuleAction{Archive: &mailmanager.ArchiveAction{
			ActionFailurePolicy: onFailure, TargetArchive: mailmanager.Ptr(mailmanager.NameOrArn("a-1")),
		}}
	}
	return mailmanager.RuleAction{Relay: &mailmanager.RelayAction{ActionFailurePolicy: onFailure, Relay: mailmanager.Ptr(one(t, "relay", relaysDrawn...))}}
}

// drawRules draws rules of which some contradict themselves.
func drawRules(t *rapid.T) []mailmanager.Rule {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) mailmanager.Rule {
		r := mailmanager.Rule{
			Name:       one(t, "name", nil, mailmanager.Ptr(mailmanager.RuleName("named"))),
			Conditions: rapid.SliceOfN(rapid.Custom(drawCondition), 0, 2).Draw(t, "conditions"),
			Unless:     rapid.SliceOfN(rapid.Custom(drawCondition), 0, 1).Draw(t, "unless"),
			Actions:    rapid.SliceOfN(rapid.Custom(drawAction), 1, 3).Draw(t, "actions"),
		}
		if len(r.Conditions) > 0 && rapid.IntRange(0, 9).Draw(t, "contradiction") == 0 {
			r.Unless = append(r.Unless, r.Conditions[0])
		}
		return r
	}), 0, 5).Draw(t, "rules")
}

func drawPolicyCondition(t *rapid.T) mailmanager.PolicyCondition {
	switch rapid.IntRange(0, 5).Draw(t, "condition") {
	case 0:
		return mailmanager.PolicyCondition{IpExpression: &mailmanager.IngressIpv4Expression{
			Evaluate: &mailmanager.IngressIpToEvaluate{Attribute: mailmanager.Ptr(mailmanager.IngressIpv4AttributeSenderIp)},
			Operator: mailmanager.Ptr(one[mailmanager.IngressIpOperator](t, "operator", "CIDR_MATCHES", "NOT_CIDR_MATCHES")),
			Values:   some(t, "networks", []mailmanager.Ipv4Cidr{"192.0.2.0/24", "198.51.100.0/24"}),
		}}
	case 2:
		return mailmanager.PolicyCondition{BooleanExpression: &mailmanager.IngressBooleanExpression{
			Operator: mailmanager.Ptr(one[mailmanager.IngressBooleanOperator](t, "operator", "IS_TRUE", "IS_FALSE")),
			Evaluate: &mailmanager.IngressBooleanToEvaluate{IsInAddressList: &mailmanager.IngressIsInAddressList{
				Attribute:    mailmanager.Ptr(mailmanager.IngressAddressListEmailAttributeRecipient),
				AddressLists: []mailmanager.AddressListArn{one(t, "list", listsDrawn...)},
			}},
		}}
	case 1:
		return mailmanager.PolicyCondition{TlsExpression: &mailmanager.IngressTlsProtocolExpression{
			Evaluate: &mailmanager.IngressTlsProtocolToEvaluate{Attribute: mailmanager.Ptr(mailmanager.IngressTlsAttributeTlsProtocol)},
			Operator: mailmanager.Ptr(one[mailmanager.IngressTlsProtocolOperator](t, "operator", "MINIMUM_TLS_VERSION", "IS")),
			Value:    mailmanager.Ptr(one[mailmanager.IngressTlsProtocolAttribute](t, "version", "TLS1_2", "TLS1_3")),
		}}
	}
	return mailmanager.PolicyCondition{StringExpression: &mailmanager.IngressStringExpression{
		Evaluate: &mailmanager.IngressStringToEvaluate{Attribute: mailmanager.Ptr(mailmanager.IngressStringEmailAttributeRecipient)},
		Operator: mailmanager.Ptr(one[mailmanager.IngressStringOperator](t, "operator", "EQUALS", "NOT_EQUALS", "STARTS_WITH", "ENDS_WITH", "CONTAINS")),
		Values:   some(t, "values", valuesDrawn),
	}}
}

func drawStatements(t *rapid.T) []mailmanager.PolicyStatement {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) mailmanager.PolicyStatement {
		return mailmanager.PolicyStatement{
			Action:     mailmanager.Ptr(one(t, "action", mailmanager.AcceptActionAllow, mailmanager.AcceptActionDeny)),
			Conditions: rapid.SliceOfN(rapid.Custom(drawPolicyCondition), 1, 2).Draw(t, "conditions"),
		}
	}), 0, 3).Draw(t, "statements")
}

func drawRecipients(t *rapid.T) []message.Recipient {
	var list []message.Recipient
	for _, address := range rapid.SliceOfN(rapid.SampledFrom(addressesDrawn), 1, 4).Draw(t, "recipients") {
		path, err := smtp.ParseMailbox(address)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, message.Recipient{Path: path})
	}
	return list
}

// drawContent draws what may also be refused for its lines or its header section.
func drawContent(t *rapid.T) []byte {
	field := rapid.SampledFrom([]string{
		"From: Ann <a@x.example>\r\n", "To: b@x.example,\r\n\tc@z.example\r\n", "Subject: hello\r\n", "X-A: 1\r\n", "Sender: a@x.example\r\n",
		"Return-Receipt-To: a@x.example\r\n", "no field\r\n", "Subject: =?utf-8?q?hello?=\r\n", "Received: by x\r\n", "X-A: a bare\rCR\r\n",
	})
	header := strings.Join(rapid.SliceOfN(field, 0, 5).Draw(t, "header"), "")
	return []byte(header + one(t, "body", "", "\r\nBody\r\n", "\r\n"+strings.Repeat("More of a body\r\n", 9)))
}

func drawClient(t *rapid.T) netip.AddrPort {
	return netip.AddrPortFrom(netip.MustParseAddr(one(t, "client", clientsDrawn...)), 2525)
}
