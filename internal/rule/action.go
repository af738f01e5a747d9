package rule

import (
	"fmt"
	"strings"

	"sluice/internal/mailmanager"
	"sluice/internal/match"
	"sluice/internal/message"
	"sluice/internal/smtp"
)

// The actions as logs and traces name them. Mail Manager, section 11.
const (
	ActionDrop               = "DROP"
	ActionRelay              = "RELAY"
	ActionArchive            = "ARCHIVE"
	ActionWriteToS3          = "WRITE_TO_S3"
	ActionSend               = "SEND"
	ActionAddHeader          = "ADD_HEADER"
	ActionReplaceRecipient   = "REPLACE_RECIPIENT"
	ActionDeliverToMailbox   = "DELIVER_TO_MAILBOX"
	ActionDeliverToQBusiness = "DELIVER_TO_Q_BUSINESS"
	ActionPublishToSns       = "PUBLISH_TO_SNS"
	ActionBounce             = "BOUNCE"
	ActionInvokeLambda       = "INVOKE_LAMBDA"
)

// Action is a compiled action: what the API has, its name, and what is done when it fails. Shared, never changed.
type Action struct {
	mailmanager.RuleAction
	Name      string
	OnFailure mailmanager.ActionFailurePolicy // never empty: CONTINUE is the default (Mail Manager, section 5.1)

	field       message.AddedField // AddHeader
	replacement []smtp.Path        // ReplaceRecipient
	with        []string           // either, as a reason shows it
}

// outside reports whether the action has an effect outside the message's own state.
func (a *Action) outside() bool {
	return a.Name != ActionDrop && a.Name != ActionAddHeader && a.Name != ActionReplaceRecipient
}

func compileAction(path string, api mailmanager.RuleAction) (Action, error) {
	a := Action{RuleAction: api, OnFailure: mailmanager.ActionFailurePolicyContinue}
	var policy *mailmanager.ActionFailurePolicy
	switch {
	case api.Drop != nil:
		a.Name = ActionDrop
	case api.AddHeader != nil:
		return a, a.compileAddHeader(path)
	case api.ReplaceRecipient != nil:
		return a, a.compileReplaceRecipient(path)
	case api.Relay != nil:
		a.Name, policy = ActionRelay, api.Relay.ActionFailurePolicy
	case api.Archive != nil:
		a.Name, policy = ActionArchive, api.Archive.ActionFailurePolicy
	case api.WriteToS3 != nil:
		a.Name, policy = ActionWriteToS3, api.WriteToS3.ActionFailurePolicy
	case api.Send != nil:
		a.Name, policy = ActionSend, api.Send.ActionFailurePolicy
	case api.DeliverToMailbox != nil:
		a.Name, policy = ActionDeliverToMailbox, api.DeliverToMailbox.ActionFailurePolicy
	case api.DeliverToQBusiness != nil:
		a.Name, policy = ActionDeliverToQBusiness, api.DeliverToQBusiness.ActionFailurePolicy
	case api.PublishToSns != nil:
		a.Name, policy = ActionPublishToSns, api.PublishToSns.ActionFailurePolicy
	case api.Bounce != nil:
		a.Name, policy = ActionBounce, api.Bounce.ActionFailurePolicy
	case api.InvokeLambda != nil:
		a.Name, policy = ActionInvokeLambda, api.InvokeLambda.ActionFailurePolicy
	default:
		return a, match.Invalid(path, whyUnion)
	}
	if policy != nil {
		a.OnFailure = *policy
	}
	return a, nil
}

func (a *Action) compileAddHeader(path string) error {
	a.Name = ActionAddHeader
	var err error
	a.field, err = message.NewField(string(mailmanager.Value(a.AddHeader.HeaderName)), string(mailmanager.Value(a.AddHeader.HeaderValue)))
	switch err {
	case nil:
		a.with = []string{strings.TrimSuffix(string(a.field), "\r\n")}
		return nil
	case message.ErrFieldName:
		return match.Invalid(path+".addHeader.headerName", "Member must be the name of a header field")
	default: // S38
		return match.Invalid(path+".addHeader.headerValue", "Member must not contain line ends or NUL")
	}
}

func (a *Action) compileReplaceRecipient(path string) error {
	a.Name = ActionReplaceRecipient
	path += ".replaceRecipient.replaceWith"
	if len(a.ReplaceRecipient.ReplaceWith) == 0 { // Mail Manager, D3
		return match.Invalid(path, "Member must not be null")
	}
	for i, address := range a.ReplaceRecipient.ReplaceWith {
		local, domain, found := strings.Cut(string(address), "@")
		if !found || local == "" || domain == "" || strings.ContainsFunc(string(address), notInAddress) {
			return match.Invalid(fmt.Sprintf("%s.%d.member", path, i+1), "Member must be an address")
		}
		a.replacement = append(a.replacement, smtp.Path{Received: string(address), Local: local, Domain: domain})
	}
	a.with = forDisplay(texts(a.ReplaceRecipient.ReplaceWith))
	return nil
}

// notInAddress refuses what could leave a path or a line (S7, S38); the API's pattern allows still less.
func notInAddress(c rune) bool {
	return c <= ' ' || c >= 0x7f || strings.ContainsRune(`<>()[]\,;:"`, c)
}

// same reports whether two paths name the same mailbox: domains in any case, local parts exactly (RFC 5321, section 2.4).
func same(a, b smtp.Path) bool {
	return a.Local == b.Local && strings.EqualFold(a.Domain, b.Domain)
}
