package identity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"sluice/internal/access"
	"sluice/internal/admin/client"
	"sluice/internal/awsapi"
	"sluice/internal/control"
	"sluice/internal/mailmanager"
	"sluice/internal/secretsmanager"
	"sluice/internal/store"
)

// estate is Resources of the account home: a tagged relay, a secret and an ingress point.
type estate struct {
	asked  int // for tags
	broken error
}

const (
	relayID  = "r-aaaaaaaaaaaaaaaaaaaaaaaa"
	relayARN = "arn:aws:ses:eu-west-1:111111111111:mailmanager-smtp-relay/" + relayID
	secretID = "arn:aws:secretsmanager:eu-west-1:111111111111:secret:smtp-AbCdEf"
)

func (e *estate) ResourceTags(_ context.Context, scope control.Scope, arn string) ([]store.Tag, error) {
	e.asked++
	if scope.Account != home || arn != relayARN {
		return nil, e.broken
	}
	return []store.Tag{{Key: "Team", Value: "mail"}}, e.broken
}

func (e *estate) SecretARN(_ context.Context, scope control.Scope, name string) (string, error) {
	if scope.Account == home && name == "smtp" {
		return secretID, e.broken
	}
	if strings.HasPrefix(name, "arn:") {
		return name, e.broken
	}
	return control.NewSecretARN(scope, name), e.broken
}

func (e *estate) IngressPoint(key control.Key) (*control.IngressPoint, bool) {
	return &control.IngressPoint{Type: mailmanager.IngressPointTypeAuth}, key.Account == home && key.ID == "inp-a"
}

func caller(account, user string) awsapi.Caller {
	return awsapi.Caller{
		Account: account, Region: region, User: user, Principal: mailmanager.UserARN(region, account, user),
		Address: "192.0.2.7:4242", UserAgent: "aws-cli/2", Secure: true,
	}
}

// ask is a request of jo.
func ask(service, operation string, input any) *awsapi.Ask {
	return &awsapi.Ask{Caller: caller(home, "jo"), Service: service, Operation: operation, Input: input}
}

func ptr[T any](v T) *T { return &v }

func getRelay(id string) *mailmanager.GetRelayRequest {
	return &mailmanager.GetRelayRequest{RelayId: (*mailmanager.RelayId)(&id)}
}

// operationsOf are the names of all operations of a service.
func operationsOf(service string) []string {
	var names []string
	switch service {
	case serviceMail:
		for _, op := range mailmanager.Operations() {
			names = append(names, op.Name)
		}
	case serviceSecrets:
		for _, op := range secretsmanager.Operations() {
			names = append(names, op.Name)
		}
	}
	slices.Sort(names)
	return names
}

// Every operation has a row, and there is no row of none. The admin API is in admin_test.go.
func TestTablesAreComplete(t *testing.T) {
	t.Parallel()
	for _, service := range []string{serviceMail, serviceSecrets} {
		var rows []string
		for name := range tables[service] {
			rows = append(rows, name)
		}
		slices.Sort(rows)
		if want := operationsOf(service); !slices.Equal(rows, want) {
			t.Errorf("%s: got rows %v, want %v", service, rows, want)
		}
	}
	for name, r := range tables[serviceAdmin] {
		if r.input == nil || r.targets == nil {
			t.Errorf("%s: the row is not whole", name)
		}
	}
}

// fill sets every member that is a string, so that a row which names a member that is not there is found out.
func fill(input any) {
	value := reflect.ValueOf(input).Elem()
	for i := range value.NumField() {
		field := value.Field(i)
		if field.Kind() == reflect.Pointer && field.Type().Elem().Kind() == reflect.String {
			field.Set(reflect.New(field.Type().Elem()))
			field = field.Elem()
		}
		if field.Kind() == reflect.String {
			field.SetString("filled")
		}
	}
}

// A request names its resource: where its input has a member for that, the member is in the ARN.
func TestTargetsNameWhatTheyShould(t *testing.T) {
	t.Parallel()
	inputs := map[string]map[string]any{serviceMail: {}, serviceSecrets: {}, serviceAdmin: {}}
	for _, op := range mailmanager.Operations() {
		inputs[serviceMail][op.Name] = op.New()
	}
	for _, op := range secretsmanager.Operations() {
		inputs[serviceSecrets][op.Name] = op.New()
	}
	for name, r := range tables[serviceAdmin] {
		inputs[serviceAdmin][name] = r.input()
	}
	for service, rows := range tables {
		for name, r := range rows {
			input := inputs[service][name]
			fill(input)
			who := caller(home, "jo")
			q := &question{ctx: t.Context(), caller: &who, service: service, operation: name, input: input, resources: &estate{}}
			for _, target := range r.targets(q) {
				text := target.arn
				if text == "" || strings.HasSuffix(text, "/") || text != anything && text != "filled" && !strings.HasPrefix(text, "arn:") {
					t.Errorf("%s:%s is about %q", service, name, text)
				}
				if strings.HasPrefix(name, "List") != (text == anything) && service == serviceMail && !strings.Contains(text, "filled") {
					t.Errorf("%s:%s is about %q", service, name, text)
				}
			}
		}
	}
}

func TestResources(t *testing.T) {
	t.Parallel()
	steer := func(text string) json.RawMessage { return json.RawMessage(text) }
	ours := "arn:aws:sluice:eu-west-1:111111111111:message/"
	tests := []struct {
		service, operation string
		input              any
		want               []string
	}{
		{serviceMail, "GetRelay", getRelay(relayID), []string{relayARN}},
		{serviceMail, "GetRelay", getRelay("arn:aws:ses:eu-west-1:222222222222:mailmanager-smtp-relay/x"), []string{"arn:aws:ses:eu-west-1:222222222222:mailmanager-smtp-relay/x"}},
		{serviceMail, "ListRelays", &mailmanager.ListRelaysRequest{}, []string{"*"}},
		{serviceMail, "CreateRelay", &mailmanager.CreateRelayRequest{}, []string{"arn:aws:ses:eu-west-1:111111111111:mailmanager-smtp-relay/*"}},
		{serviceMail, "CreateRelay", &mailmanager.CreateRelayRequest{Authentication: &mailmanager.RelayAuthentication{SecretArn: ptr(mailmanager.SecretArn(secretID))}}, []string{"arn:aws:ses:eu-west-1:111111111111:mailmanager-smtp-relay/*", secretID}},
		{serviceMail, "CreateRelay", &mailmanager.CreateRelayRequest{Authentication: &mailmanager.RelayAuthentication{NoAuthentication: &mailmanager.NoAuthentication{}}}, []string{"arn:aws:ses:eu-west-1:111111111111:mailmanager-smtp-relay/*"}},
		{serviceMail, "TagResource", &mailmanager.TagResourceRequest{ResourceArn: ptr(mailmanager.TaggableResourceArn(relayARN))}, []string{relayARN}},
		{serviceSecrets, "CreateSecret", &secretsmanager.CreateSecretRequest{Name: ptr("a/b")}, []string{"arn:aws:secretsmanager:eu-west-1:111111111111:secret:a/b-??????"}},
		{serviceSecrets, "ValidateResourcePolicy", &secretsmanager.ValidateResourcePolicyRequest{}, []string{"*"}},
		// What is shown is the same for a secret that is there and for one that is not (S36).
		{serviceSecrets, "GetSecretValue", &secretsmanager.GetSecretValueRequest{SecretId: ptr("smtp")}, []string{"arn:aws:secretsmanager:eu-west-1:111111111111:secret:smtp-??????"}},
		{serviceSecrets, "GetSecretValue", &secretsmanager.GetSecretValueRequest{SecretId: ptr("none")}, []string{"arn:aws:secretsmanager:eu-west-1:111111111111:secret:none-??????"}},
		{serviceSecrets, "BatchGetSecretValue", &secretsmanager.BatchGetSecretValueRequest{SecretIdList: []string{"smtp", secretID}}, []string{"*", "arn:aws:secretsmanager:eu-west-1:111111111111:secret:smtp-??????", secretID}},
		{serviceSecrets, "BatchGetSecretValue", &secretsmanager.BatchGetSecretValueRequest{}, []string{"*", "arn:aws:secretsmanager:eu-west-1:111111111111:secret:*"}},
		{serviceAdmin, "GetTrace", steer(`{"Id":"x"}`), []string{ours + "x"}},
		{serviceAdmin, "HoldQueue", steer(`{"Items":[{"MessageId":"a"},{"MessageId":"b"}]}`), []string{ours + "a", ours + "b"}},
		{serviceAdmin, "HoldQueue", steer(`{"Items":[{"MessageId":"a"}],"Filter":{}}`), []string{ours + "a", ours + "*"}},
		{serviceAdmin, "HoldQueue", steer(`{}`), []string{ours + "*"}},
		{serviceAdmin, "RerouteQueue", steer(`{"Filter":{},"RelayId":"` + relayID + `"}`), []string{ours + "*", relayARN}},
		{serviceAdmin, "RerouteQueue", steer(`{"Filter":{},"RuleSetId":"rs-a"}`), []string{ours + "*", "arn:aws:ses:eu-west-1:111111111111:mailmanager-rule-set/rs-a"}},
		{serviceAdmin, "GetUser", steer(`{"User":"al"}`), []string{"arn:aws:iam::111111111111:user/al"}},
		{serviceAdmin, "CreateUser", steer(`{"User":"al"}`), []string{"arn:aws:iam::111111111111:user/al"}},
		{serviceAdmin, "CreateUser", steer(`{"User":"al","Policies":[{}]}`), []string{"arn:aws:iam::111111111111:user/al", "arn:aws:iam::111111111111:user/al"}},
		// What a handler would read is what is decided on, however it is spelt.
		{serviceAdmin, "GetTrace", steer(`{"Id":"x","id":"y"}`), []string{ours + "y"}},
		{serviceAdmin, "NoSuchOperation", steer(`{}`), []string{"*"}},
		{serviceSTS, "GetCallerIdentity", nil, nil},
	}
	v := newTown(t)
	v.user(home, "jo", everything)
	authorizer := NewAuthorizer(v.Users, &estate{})
	for _, test := range tests {
		got, err := authorizer.Authorize(t.Context(), ask(test.service, test.operation, test.input))
		if err != nil || !slices.Equal(got, test.want) {
			t.Errorf("%s: got %v, %v, want %v", test.operation, got, err, test.want)
		}
	}
}

func TestAuthorize(t *testing.T) {
	t.Parallel()
	allow := func(members string) string {
		return `{"Version":"2012-10-17","Statement":{"Effect":"Allow",` + members + `}}`
	}
	tests := []struct {
		name, policy string
		ask          *awsapi.Ask
		want         string // of the refusal; empty: allowed
	}{
		{"nothing", allow(`"Action":"s3:*","Resource":"*"`), ask(serviceMail, "GetRelay", getRelay(relayID)),
			"User: arn:aws:iam::111111111111:user/jo is not authorized to perform: ses:GetRelay on resource: " + relayARN + " because no statement of its policies allows it"},
		{"denied", `{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},{"Sid":"no","Effect":"Deny","Action":"ses:Get*","Resource":"*"}]}`,
			ask(serviceMail, "GetRelay", getRelay(relayID)), "because statement 2 (no) of policy p1 denies it"},
		{"another relay", allow(`"Action":"ses:*","Resource":"` + relayARN + `"`), ask(serviceMail, "GetRelay", getRelay("r-b")), "no statement"},
		{"another region's relay", allow(`"Action":"ses:*","Resource":"arn:aws:ses:us-east-1:*:mailmanager-smtp-relay/*"`), ask(serviceMail, "GetRelay", getRelay(relayID)), "no statement"},
		{"tag of the resource", allow(`"Action":"ses:*","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/team":"web"}}`), ask(serviceMail, "GetRelay", getRelay(relayID)), "no statement"},
		{"tag of no resource", allow(`"Action":"ses:*","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/team":"mail"}}`), ask(serviceMail, "GetRelay", getRelay("r-b")), "no statement"},
		{"tag of the request", allow(`"Action":"ses:*","Resource":"*","Condition":{"StringEquals":{"aws:RequestTag/team":"mail"}}`), ask(serviceMail, "CreateRelay", &mailmanager.CreateRelayRequest{}), "no statement"},
		{"other tags in the request", allow(`"Action":"ses:*","Resource":"*","Condition":{"ForAllValues:StringEquals":{"aws:TagKeys":"team"}}`),
			ask(serviceMail, "UntagResource", &mailmanager.UntagResourceRequest{TagKeys: []mailmanager.TagKey{"team", "cost"}}), "no statement"},
		{"another rule set", allow(`"Action":"ses:*","Resource":"*","Condition":{"ArnEquals":{"ses:MailManagerRuleSetArn":"arn:aws:ses:*:*:mailmanager-rule-set/rs-b"}}`),
			ask(serviceMail, "UpdateIngressPoint", &mailmanager.UpdateIngressPointRequest{RuleSetId: ptr(mailmanager.RuleSetId("rs-a"))}), "no statement"},
		{"rule set of another operation", allow(`"Action":"ses:*","Resource":"*","Condition":{"ArnEquals":{"ses:MailManagerRuleSetArn":"arn:aws:ses:*:*:mailmanager-rule-set/*"}}`),
			ask(serviceMail, "GetRuleSet", &mailmanager.GetRuleSetRequest{RuleSetId: ptr(mailmanager.RuleSetId("rs-a"))}), "no statement"},
		{"open points", allow(`"Action":"ses:*","Resource":"*","Condition":{"StringEquals":{"ses:MailManagerIngressPointType":"AUTH"}}`),
			ask(serviceMail, "CreateIngressPoint", &mailmanager.CreateIngressPointRequest{Type: ptr(mailmanager.IngressPointTypeOpen)}), "no statement"},
		{"point that is not there", allow(`"Action":"ses:*","Resource":"*","Condition":{"StringEquals":{"ses:MailManagerIngressPointType":"AUTH"}}`),
			ask(serviceMail, "UpdateIngressPoint", &mailmanager.UpdateIngressPointRequest{IngressPointId: ptr(mailmanager.IngressPointId("inp-b"))}), "no statement"},
		{"secret by name", allow(`"Action":"*","Resource":"arn:aws:secretsmanager:*:*:secret:web-*"`), ask(serviceSecrets, "GetSecretValue", &secretsmanager.GetSecretValueRequest{SecretId: ptr("smtp")}), "secret:smtp-?????? because"},
		{"secrets that a filter finds, one of which is denied", `{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Deny","Action":"secretsmanager:GetSecretValue","Resource":"` + secretID + `"}]}`,
			ask(serviceSecrets, "BatchGetSecretValue", &secretsmanager.BatchGetSecretValueRequest{Filters: []secretsmanager.Filter{{Key: ptr("name"), Values: []string{"smtp"}}}}),
			"secretsmanager:GetSecretValue on resource: arn:aws:secretsmanager:eu-west-1:111111111111:secret:* because statement 2"},
		{"jobs of lists, one of which is denied", `{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Deny","Action":"*","Resource":"arn:aws:ses:*:*:mailmanager-address-list/al-a"}]}`,
			ask(serviceMail, "StartAddressListImportJob", &mailmanager.StartAddressListImportJobRequest{JobId: ptr(mailmanager.JobId("job-a"))}), "because statement 2"},
		{"messages that a filter finds, one of which is denied", `{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Deny","Action":"*","Resource":"arn:aws:sluice:*:*:message/a"}]}`,
			ask(serviceAdmin, "HoldQueue", json.RawMessage(`{"Filter":{}}`)), "because statement 2"},
		{"a relay with a secret that it may not read", allow(`"Action":"ses:*","Resource":"*"`), ask(serviceMail, "UpdateRelay", &mailmanager.UpdateRelayRequest{
			RelayId: ptr(mailmanager.RelayId(relayID)), Authentication: &mailmanager.RelayAuthentication{SecretArn: ptr(mailmanager.SecretArn(secretID))}}),
			"secretsmanager:GetSecretValue on resource: " + secretID + " because no statement"},
		{"a point with a secret that is denied", `{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Deny","Action":"secretsmanager:*","Resource":"` + secretID + `"}]}`,
			ask(serviceMail, "CreateIngressPoint", &mailmanager.CreateIngressPointRequest{IngressPointConfiguration: &mailmanager.IngressPointConfiguration{SecretArn: ptr(mailmanager.SecretArn(secretID))}}),
			"secretsmanager:GetSecretValue on resource: " + secretID + " because statement 2"},
		{"policies of a new user", `{"Statement":{"Effect":"Allow","Action":"sluice:CreateUser","Resource":"*"}}`, ask(serviceAdmin, "CreateUser", json.RawMessage(`{"User":"al","Policies":[{}]}`)), "perform: sluice:PutUserPolicy on resource: arn:aws:iam::111111111111:user/al"},
		{"accounts", everything, ask(serviceAdmin, "ListAccounts", json.RawMessage(`{}`)), "only the root of the installation is"},
		{"one message of two", allow(`"Action":"*","Resource":"arn:aws:sluice:*:*:message/a"`), ask(serviceAdmin, "HoldQueue", json.RawMessage(`{"Items":[{"MessageId":"a"},{"MessageId":"b"}]}`)), "message/b because"},
		{"no such operation", allow(`"Action":"sluice:Get*","Resource":"*"`), ask(serviceAdmin, "NoSuch", json.RawMessage(`{}`)), "sluice:NoSuch on resource: *"},

		{"everything", everything, ask(serviceMail, "GetRelay", getRelay(relayID)), ""},
		{"that relay", allow(`"Action":"ses:Get*","Resource":"` + relayARN + `"`), ask(serviceMail, "GetRelay", getRelay(relayID)), ""},
		{"that tag", allow(`"Action":"ses:*","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/team":"mail"}}`), ask(serviceMail, "GetRelay", getRelay(relayID)), ""},
		{"new with that tag", allow(`"Action":"ses:*","Resource":"*","Condition":{"StringEquals":{"aws:RequestTag/team":"mail"},"ForAllValues:StringEquals":{"aws:TagKeys":"team"}}`),
			ask(serviceMail, "CreateRelay", &mailmanager.CreateRelayRequest{Tags: []mailmanager.Tag{{Key: ptr(mailmanager.TagKey("team")), Value: ptr(mailmanager.TagValue("mail"))}}}), ""},
		{"that rule set and policy", allow(`"Action":"ses:*","Resource":"*","Condition":{"ArnEquals":{"ses:MailManagerRuleSetArn":"arn:aws:ses:*:111111111111:mailmanager-rule-set/rs-a","ses:MailManagerTrafficPolicyArn":"arn:aws:ses:*:*:mailmanager-traffic-policy/tp-a"}}`),
			ask(serviceMail, "CreateIngressPoint", &mailmanager.CreateIngressPointRequest{RuleSetId: ptr(mailmanager.RuleSetId("rs-a")), TrafficPolicyId: ptr(mailmanager.TrafficPolicyId("tp-a"))}), ""},
		{"points of that type", allow(`"Action":"ses:*","Resource":"*","Condition":{"StringEquals":{"ses:MailManagerIngressPointType":"AUTH"}}`),
			ask(serviceMail, "UpdateIngressPoint", &mailmanager.UpdateIngressPointRequest{IngressPointId: ptr(mailmanager.IngressPointId("inp-a"))}), ""},
		{"that subscription", allow(`"Action":"ses:*","Resource":"*","Condition":{"ArnLike":{"ses:AddonSubscriptionArn":"arn:aws:ses:*:*:addon-subscription/as-*"}}`),
			ask(serviceMail, "CreateAddonInstance", &mailmanager.CreateAddonInstanceRequest{AddonSubscriptionId: ptr(mailmanager.AddonSubscriptionId("as-1"))}), ""},
		{"secret by name, policy by ARN", allow(`"Action":"*","Resource":"` + secretID + `"`), ask(serviceSecrets, "GetSecretValue", &secretsmanager.GetSecretValueRequest{SecretId: ptr("smtp")}), ""},
		{"how it is asked", allow(`"Action":"*","Resource":"*","Condition":{"IpAddress":{"aws:SourceIp":"192.0.2.0/24"},"Bool":{"aws:SecureTransport":"true"},"StringLike":{"aws:UserAgent":"aws-cli/*"},
			"StringEquals":{"aws:username":"jo","aws:userid":"jo","aws:PrincipalAccount":"111111111111","aws:RequestedRegion":"eu-west-1","aws:PrincipalArn":"arn:aws:iam::111111111111:user/jo"},
			"NumericEquals":{"aws:EpochTime":1700000000},"DateEquals":{"aws:CurrentTime":"2023-11-14T22:13:20Z"}}`), ask(serviceMail, "GetRelay", getRelay(relayID)), ""},
		{"secrets that a filter finds, where nobody else's is denied", `{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Deny","Action":"ses:*","Resource":"` + relayARN + `"}]}`,
			ask(serviceSecrets, "BatchGetSecretValue", &secretsmanager.BatchGetSecretValueRequest{}), ""},
		{"a relay with a secret that it may read", `{"Statement":[{"Effect":"Allow","Action":"ses:*","Resource":"*"},{"Effect":"Allow","Action":"secretsmanager:GetSecretValue","Resource":"` + secretID + `"}]}`,
			ask(serviceMail, "CreateRelay", &mailmanager.CreateRelayRequest{Authentication: &mailmanager.RelayAuthentication{SecretArn: ptr(mailmanager.SecretArn(secretID))}}), ""},
		{"a relay without one", allow(`"Action":"ses:*","Resource":"*"`), ask(serviceMail, "UpdateRelay", &mailmanager.UpdateRelayRequest{RelayId: ptr(mailmanager.RelayId(relayID))}), ""},
		{"a new list, where another is denied", `{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Deny","Action":"*","Resource":"arn:aws:ses:*:*:mailmanager-address-list/al-a"}]}`,
			ask(serviceMail, "CreateAddressList", &mailmanager.CreateAddressListRequest{}), ""},
		{"who am I", `{"Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}`, ask(serviceSTS, "GetCallerIdentity", nil), ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			v := newTown(t)
			v.user(home, "jo", test.policy)
			_, err := NewAuthorizer(v.Users, &estate{}).Authorize(t.Context(), test.ask)
			if test.want == "" {
				if err != nil {
					t.Errorf("got %v", err)
				}
				return
			}
			wantCode(t, err, mailmanager.CodeAccessDenied)
			if !strings.Contains(fmt.Sprint(err), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

// The root may do everything; a user that is gone, or another account's of the same name, nothing.
func TestWhoIsAsked(t *testing.T) {
	t.Parallel()
	v := newTown(t)
	v.user(home, "jo", everything)
	authorizer := NewAuthorizer(v.Users, &estate{})
	for _, test := range []struct {
		who  awsapi.Caller
		want bool
	}{{caller(home, "jo"), true}, {caller(home, ""), true}, {caller("000000000000", ""), true}, {caller(other, "jo"), false}, {caller(home, "al"), false}} {
		_, err := authorizer.Authorize(t.Context(), &awsapi.Ask{Caller: test.who, Service: serviceMail, Operation: "GetRelay", Input: getRelay(relayID)})
		if (err == nil) != test.want {
			t.Errorf("%s: got %v, want %v", test.who.Principal, err, test.want)
		}
	}
	if _, err := authorizer.Authorize(t.Context(), &awsapi.Ask{Caller: caller(home, ""), Service: serviceAdmin, Operation: client.OpListAccounts, Input: json.RawMessage(`{}`)}); err != nil {
		t.Errorf("the root's list of accounts: %v", err)
	}
	if err := v.Delete(t.Context(), home, "jo"); err != nil {
		t.Fatal(err)
	}
	_, err := authorizer.Authorize(t.Context(), ask(serviceMail, "GetRelay", getRelay(relayID)))
	wantCode(t, err, mailmanager.CodeAccessDenied)
}

// Tags are looked up when a statement asks for them, and once; what cannot be looked up is no decision.
func TestLookUps(t *testing.T) {
	t.Parallel()
	v := newTown(t)
	v.user(home, "jo", everything)
	condition := `"Condition":{"StringEquals":{"aws:ResourceTag/Team":"mail"}}`
	v.user(home, "al", `{"Statement":[{"Effect":"Deny","Action":"ses:X","Resource":"*",`+condition+`},{"Effect":"Allow","Action":"ses:*","Resource":"*",`+condition+`},{"Effect":"Deny","Action":"ses:*","Resource":"*","Condition":{"Null":{"aws:ResourceTag/Team":"true"}}}]}`)
	e := &estate{}
	authorizer := NewAuthorizer(v.Users, e)
	al := &awsapi.Ask{Caller: caller(home, "al"), Service: serviceMail, Operation: "GetRelay", Input: getRelay(relayID)}
	for _, step := range []struct {
		ask  *awsapi.Ask
		want int
	}{{ask(serviceMail, "GetRelay", getRelay(relayID)), 0}, {al, 1}} {
		if _, err := authorizer.Authorize(t.Context(), step.ask); err != nil || e.asked != step.want {
			t.Errorf("%s: got %v, tags looked up %d times, want %d", step.ask.Caller.User, err, e.asked, step.want)
		}
	}
	e.broken = errors.New("disk on fire")
	for _, broken := range []*awsapi.Ask{al, ask(serviceSecrets, "GetSecretValue", &secretsmanager.GetSecretValueRequest{SecretId: ptr("smtp")})} {
		_, err := authorizer.Authorize(t.Context(), broken)
		if _, coded := errors.AsType[*mailmanager.Error](err); err == nil || coded || !errors.Is(err, e.broken) {
			t.Errorf("%s: got %v, want an internal error", broken.Operation, err)
		}
	}
	if _, err := authorizer.Authorize(t.Context(), ask(serviceAdmin, "GetTrace", json.RawMessage(`{"Id":1}`))); err == nil {
		t.Error("an input that cannot be read is taken")
	} else {
		wantCode(t, err, mailmanager.CodeSerialization)
	}
}

func TestWhy(t *testing.T) {
	t.Parallel()
	for want, d := range map[string]access.Decision{
		"no statement of its policies allows it": {},
		"statement 2 of policy p allows it":      {Reason: access.Allowed, Policy: "p", Statement: 2},
		"statement 1 (no) of policy p denies it": {Reason: access.Denied, Policy: "p", Statement: 1, Sid: "no"},
	} {
		if got := Why(d); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
