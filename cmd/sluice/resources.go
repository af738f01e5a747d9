package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"sluice/internal/admin/client"
	"sluice/internal/awsapi"
	"sluice/internal/mailmanager"
	"sluice/internal/policy"
	"sluice/internal/rule"
)

// ruleSet is a rule set from a file or from the server.
type ruleSet struct {
	label  string // the file, or the id
	remote bool   // it is the server's
	mailmanager.CreateRuleSetRequest
	set *rule.Set
}

// trafficPolicy is a traffic policy from a file or from the server.
type trafficPolicy struct {
	label  string
	remote bool
	mailmanager.CreateTrafficPolicyRequest
	policy *policy.Policy
}

// resources reads rule sets and policies: from files, or from a server that is asked only when something is named by its id.
type resources struct {
	endpointFlags
	api *client.Client // nil: the server was not asked yet
}

// resourceID is the form of the ids of rule sets and traffic policies.
var resourceID = regexp.MustCompile(`^(rs|tp)-[a-zA-Z0-9]+$`)

// unnamed is what a resource is called whose file has no name for it: the name decides nothing.
const unnamed string = "unnamed"

// ruleSet reads the rule set of a file or an id.
func (r *resources) ruleSet(ctx context.Context, fileOrID string) (*ruleSet, error) {
	text, remote, err := r.document(ctx, fileOrID, "GetRuleSet", "RuleSetId")
	if err != nil {
		return nil, err
	}
	s := &ruleSet{label: fileOrID, remote: remote}
	if err := readDocument(text, "CreateRuleSet", &s.CreateRuleSetRequest); err != nil {
		return nil, fmt.Errorf("rule set %s: %w", fileOrID, err)
	}
	if s.RuleSetName == nil {
		s.RuleSetName = mailmanager.Ptr(mailmanager.RuleSetName(unnamed))
	}
	if err := check("CreateRuleSet", &s.CreateRuleSetRequest); err != nil {
		return nil, fmt.Errorf("rule set %s: %w", fileOrID, err)
	}
	if s.set, err = rule.Compile(s.Rules); err != nil {
		return nil, fmt.Errorf("rule set %s: %w", fileOrID, err)
	}
	return s, nil
}

// trafficPolicy reads the traffic policy of a file or an id.
func (r *resources) trafficPolicy(ctx context.Context, fileOrID string) (*trafficPolicy, error) {
	text, remote, err := r.document(ctx, fileOrID, "GetTrafficPolicy", "TrafficPolicyId")
	if err != nil {
		return nil, err
	}
	p := &trafficPolicy{label: fileOrID, remote: remote}
	if err := readDocument(text, "CreateTrafficPolicy", &p.CreateTrafficPolicyRequest); err != nil {
		return nil, fmt.Errorf("traffic policy %s: %w", fileOrID, err)
	}
	if p.TrafficPolicyName == nil {
		p.TrafficPolicyName = mailmanager.Ptr(mailmanager.TrafficPolicyName(unnamed))
	}
	if err := check("CreateTrafficPolicy", &p.CreateTrafficPolicyRequest); err != nil {
		return nil, fmt.Errorf("traffic policy %s: %w", fileOrID, err)
	}
	p.policy, err = policy.Compile(policy.Source{
		Statements: p.PolicyStatements, Default: *p.DefaultAction, MaxSize: int64(mailmanager.Value(p.MaxMessageSizeBytes)),
	})
	if err != nil {
		return nil, fmt.Errorf("traffic policy %s: %w", fileOrID, err)
	}
	return p, nil
}

// document is the JSON of a file, or what the operation answers for an id: it is then remote.
func (r *resources) document(ctx context.Context, fileOrID, operation, member string) (text []byte, remote bool, err error) {
	if text, err = os.ReadFile(fileOrID); err == nil {
		return text, false, nil
	}
	if !errors.Is(err, os.ErrNotExist) || !resourceID.MatchString(fileOrID) {
		return nil, false, usage(err, "name a file with the JSON of CreateRuleSet or CreateTrafficPolicy, or an id such as rs-… or tp-…")
	}
	text, err = r.ask(ctx, operation, map[string]string{member: fileOrID})
	return text, true, err
}

// ask calls an operation of Mail Manager.
func (r *resources) ask(ctx context.Context, operation string, input any) (answer []byte, err error) {
	if err := r.connect(ctx); err != nil {
		return nil, err
	}
	if answer, err = r.api.MailManager(ctx, operation, input); err != nil {
		return nil, explain(err, r.Endpoint)
	}
	return answer, nil
}

func (r *resources) connect(ctx context.Context) (err error) {
	if r.api == nil {
		r.api, err = r.client(ctx)
	}
	return err
}

// profile is the profile of the account; ok is false when the caller may not ask for it.
func (r *resources) profile(ctx context.Context) (name string, ok bool, err error) {
	if err := r.connect(ctx); err != nil {
		return "", false, err
	}
	status, err := r.api.GetStatus(ctx)
	if refused := (*client.Error)(nil); errors.As(err, &refused) && refused.Code == string(mailmanager.CodeAccessDenied) {
		return "", false, nil
	}
	if err != nil {
		return "", false, explain(err, r.Endpoint)
	}
	return status.Profile, true, nil
}

// listing is an operation that lists, where its entries are, and what of each is wanted.
type listing struct {
	operation, entries, member string
	input                      map[string]any
}

// list returns a member of every entry of a listing, page by page.
func (r *resources) list(ctx context.Context, l listing) (members []string, err error) {
	for {
		answer, err := r.ask(ctx, l.operation, l.input)
		if err != nil {
			return nil, err
		}
		var page map[string]json.RawMessage
		var list []map[string]any
		var next string
		if err := json.Unmarshal(answer, &page); err != nil {
			return nil, fmt.Errorf("%s: %w", l.operation, err)
		}
		if err := json.Unmarshal(page[l.entries], &list); err != nil {
			return nil, fmt.Errorf("%s: %w", l.operation, err)
		}
		for _, entry := range list {
			member, _ := entry[l.member].(string)
			members = append(members, member)
		}
		if page["NextToken"] == nil || json.Unmarshal(page["NextToken"], &next) != nil || next == "" {
			return members, nil
		}
		l.input["NextToken"] = next
	}
}

// relayServer is where a relay of the server leads, by its id or ARN; ok is false when there is no such relay.
func (r *resources) relayServer(ctx context.Context, idOrARN string) (host string, ok bool, err error) {
	if ours, err := r.isOurs(ctx, idOrARN); !ours {
		return "", false, err
	}
	answer, ok, err := r.find(ctx, "GetRelay", map[string]string{"RelayId": idInARN(idOrARN)})
	if err != nil || !ok {
		return "", false, err
	}
	var relay struct{ ServerName string }
	if err := json.Unmarshal(answer, &relay); err != nil {
		return "", false, fmt.Errorf("GetRelay: %w", err)
	}
	return relay.ServerName, true, nil
}

// absent are the codes of errors that say of an id that there is nothing: a server without the operation has none either.
var absent = [...]mailmanager.Code{mailmanager.CodeResourceNotFound, mailmanager.CodeValidation, mailmanager.CodeUnknownOperation}

// find calls an operation that reads one resource; ok is false when there is none of that id.
func (r *resources) find(ctx context.Context, operation string, input any) (answer []byte, ok bool, err error) {
	answer, err = r.ask(ctx, operation, input)
	var refused *client.Error
	if errors.As(err, &refused) && slices.Contains(absent[:], mailmanager.Code(refused.Code)) {
		return nil, false, nil
	}
	return answer, err == nil, err
}

// isOurs reports whether a resource may be looked up by the id in its ARN, if it is named by one. An ARN of another account or
// region names nothing, also where its id is that of a resource here; the operation that takes ARNs tells.
func (r *resources) isOurs(ctx context.Context, idOrARN string) (bool, error) {
	if !strings.HasPrefix(idOrARN, "arn:") {
		return true, nil
	}
	_, ok, err := r.find(ctx, "ListTagsForResource", map[string]string{"ResourceArn": idOrARN})
	return ok, err
}

// idInARN is the id in an ARN, or the id itself.
func idInARN(idOrARN string) string { return idOrARN[strings.LastIndexByte(idOrARN, '/')+1:] }

// readDocument reads the input of an operation, as a request would be read.
func readDocument(text []byte, operation string, into any) error {
	op, _ := mailmanager.Lookup(operation)
	return awsapi.DecodeJSON(text, op.Input, into)
}

// check applies the constraints of the API.
func check(operation string, input any) error {
	op, _ := mailmanager.Lookup(operation)
	return mailmanager.Validate(op.Input, input)
}
