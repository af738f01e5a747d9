package main

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	gocmp "github.com/google/go-cmp/cmp"

	"sluice/internal/admin/client"
	"sluice/internal/mailmanager"
	"sluice/internal/secretsmanager"
	"sluice/test/harness"
)

// The two accounts of the tests of tenants.
const (
	tenantA = "111111111111"
	tenantB = "222222222222"
)

// tenants is a server with two accounts. In A there is one resource of every kind that can be made, a message at rest, and a user.
type tenants struct {
	*testing.T
	server  *server
	ids     map[string]string // of what A has, by placeholder
	nobodys map[string]string // of what nobody has
}

// person is a user of an account, or the root.
type person struct {
	server  *server
	key     aws.Credentials
	account string // named in requests; empty: the person's own
}

func newTenants(t *testing.T) *tenants {
	t.Helper()
	cfg := testConfig(t)
	cfg.Analyzers = map[string]Analyzer{"ABUSIX_MAIL_INTELLIGENCE": {}}
	s, _ := started(t, cfg)
	v := &tenants{T: t, server: s, ids: map[string]string{}, nobodys: map[string]string{}}
	v.fill(v.user(tenantA, "owner", administrator))
	for placeholder, id := range v.ids {
		v.nobodys[placeholder] = unlike(id)
	}
	return v
}

func (v *tenants) root(account string) person {
	c := v.server.credentials
	return person{v.server, aws.Credentials{AccessKeyID: c.keyID, SecretAccessKey: c.secret}, account}
}

// user makes a user with a policy; without one it may do nothing.
func (v *tenants) user(account, name, policy string) person {
	v.Helper()
	in := client.CreateUserInput{User: name}
	if policy != "" {
		in.Policies = []client.Policy{{Name: "policy", Document: json.RawMessage(policy)}}
	}
	made, err := v.root(account).admin().CreateUser(v.Context(), in)
	if err != nil {
		v.Fatal(err)
	}
	return person{v.server, aws.Credentials{AccessKeyID: made.AccessKeyId, SecretAccessKey: made.SecretAccessKey}, ""}
}

func (p person) admin() *client.Client {
	return &client.Client{Endpoint: p.server.url(), Region: defaultRegion, Account: p.account, Credentials: p.key}
}

// answer is what came of a call.
type answer struct {
	status int
	text   string
}

func (a answer) code() string {
	var shape struct {
		Type string `json:"__type"`
	}
	_ = json.Unmarshal([]byte(a.text), &shape) // what is no error has none
	return shape.Type
}

// call sends one operation of a service: ses, secretsmanager or sluice.
func (p person) call(t *testing.T, service, operation, body string) answer {
	t.Helper()
	path, target, form := "/", "", "application/x-amz-json-1.0"
	switch service {
	case mailmanager.SigningName:
		target = mailmanager.TargetPrefix + "." + operation
	case secretsmanager.SigningName:
		target, form = secretsmanager.TargetPrefix+"."+operation, "application/x-amz-json-1.1"
	default:
		path = "/admin/" + operation
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.server.url()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", form)
	if target != "" {
		r.Header.Set("X-Amz-Target", target)
	}
	if p.account != "" {
		r.Header.Set("X-Sluice-Account", p.account)
	}
	sum := sha256.Sum256([]byte(body))
	if err := v4.NewSigner().SignHTTP(t.Context(), p.key, r, hex.EncodeToString(sum[:]), service, defaultRegion, time.Now()); err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{response.StatusCode, string(text)}
}

// make carries out what must succeed, and keeps a member of the answer as a placeholder's id.
func (v *tenants) make(p person, service, operation, placeholder, member string) {
	v.Helper()
	a := p.call(v.T, service, operation, v.body(service, operation, v.ids))
	var out map[string]any
	if err := json.Unmarshal([]byte(a.text), &out); err != nil || a.status != http.StatusOK {
		v.Fatalf("%s: got %d %s", operation, a.status, a.text)
	}
	if member != "" {
		v.ids[placeholder], _ = out[member].(string)
	}
}

// fill makes what A has. What cannot be made yet has ids that are as good as any: whoever asks for them is to learn nothing.
func (v *tenants) fill(owner person) {
	v.Helper()
	maps.Copy(v.ids, map[string]string{
		"%list%": "al-" + letters, "%job%": "job-" + letters, "%search%": "s-" + letters, "%export%": "e-" + letters, "%stored%": "m-" + letters,
		"%user%": "owner", "%key%": owner.key.AccessKeyID,
	})
	for _, one := range []struct{ service, operation, placeholder, member string }{
		{"ses", "CreateRelay", "%relay%", "RelayId"},
		{"ses", "CreateRuleSet", "%rules%", "RuleSetId"},
		{"ses", "CreateTrafficPolicy", "%gate%", "TrafficPolicyId"},
		{"ses", "CreateArchive", "%archive%", "ArchiveId"},
		{"ses", "CreateAddonSubscription", "%subscription%", "AddonSubscriptionId"},
		{"ses", "CreateAddonInstance", "%instance%", "AddonInstanceId"},
		{"ses", "CreateIngressPoint", "%point%", "IngressPointId"},
		{"secretsmanager", "CreateSecret", "%secret%", "ARN"},
	} {
		v.make(owner, one.service, one.operation, one.placeholder, one.member)
	}
	v.ids["%arn%"] = mailmanager.ARN("ses", defaultRegion, tenantA, "mailmanager-smtp-relay/"+v.ids["%relay%"])
	address := ""
	harness.Eventually(v.T, "the point is reached", func() bool {
		list, err := owner.admin().ListListeners(v.Context())
		if err == nil && len(list.Listeners) == 1 && len(list.Listeners[0].Addresses) > 0 && list.Listeners[0].Status == "ACTIVE" {
			address = list.Listeners[0].Addresses[0]
		}
		return address != ""
	})
	id, err := harness.Deliver(address, "a@example.org", "b@example.com", "Subject: of A\r\n\r\nHello.\r\n")
	if err != nil {
		v.Fatal(err)
	}
	v.ids["%message%"] = id
	harness.Eventually(v.T, "the message is at rest", func() bool {
		_, err := owner.admin().ShowMessage(v.Context(), id)
		return err == nil
	})
}

const letters = "abcdefghijklmnopqrstuvwx"

// unlike is an id, or an ARN, of the same form that nobody has.
func unlike(id string) string {
	cut := strings.LastIndexAny(id, "-/") + 1
	turned := []byte(id[cut:])
	slices.Reverse(turned)
	return id[:cut] + string(turned)
}

// body is the input of an operation with the placeholders filled in.
func (v *tenants) body(service, operation string, ids map[string]string) string {
	v.Helper()
	text, ok := bodies[service][operation]
	if !ok {
		v.Fatalf("there is no input for %s:%s", service, operation)
	}
	for placeholder, id := range ids {
		text = strings.ReplaceAll(text, placeholder, id)
	}
	return text
}

// bodies has an input of every operation that is valid where what it names is there. An input that names nothing of the account's
// has no placeholder.
var bodies = map[string]map[string]string{
	"ses": {
		"CreateAddonInstance":     `{"AddonSubscriptionId":"%subscription%"}`,
		"GetAddonInstance":        `{"AddonInstanceId":"%instance%"}`,
		"ListAddonInstances":      `{}`,
		"DeleteAddonInstance":     `{"AddonInstanceId":"%instance%"}`,
		"CreateAddonSubscription": `{"AddonName":"ABUSIX_MAIL_INTELLIGENCE"}`,
		"GetAddonSubscription":    `{"AddonSubscriptionId":"%subscription%"}`,
		"ListAddonSubscriptions":  `{}`,
		"DeleteAddonSubscription": `{"AddonSubscriptionId":"%subscription%"}`,

		"CreateAddressList":               `{"AddressListName":"list"}`,
		"GetAddressList":                  `{"AddressListId":"%list%"}`,
		"ListAddressLists":                `{}`,
		"DeleteAddressList":               `{"AddressListId":"%list%"}`,
		"RegisterMemberToAddressList":     `{"AddressListId":"%list%","Address":"a@example.org"}`,
		"DeregisterMemberFromAddressList": `{"AddressListId":"%list%","Address":"a@example.org"}`,
		"GetMemberOfAddressList":          `{"AddressListId":"%list%","Address":"a@example.org"}`,
		"ListMembersOfAddressList":        `{"AddressListId":"%list%"}`,
		"CreateAddressListImportJob":      `{"AddressListId":"%list%","Name":"job","ImportDataFormat":{"ImportDataType":"CSV"}}`,
		"ListAddressListImportJobs":       `{"AddressListId":"%list%"}`,
		"GetAddressListImportJob":         `{"JobId":"%job%"}`,
		"StartAddressListImportJob":       `{"JobId":"%job%"}`,
		"StopAddressListImportJob":        `{"JobId":"%job%"}`,

		"CreateArchive":            `{"ArchiveName":"archive"}`,
		"GetArchive":               `{"ArchiveId":"%archive%"}`,
		"ListArchives":             `{}`,
		"UpdateArchive":            `{"ArchiveId":"%archive%","ArchiveName":"changed"}`,
		"DeleteArchive":            `{"ArchiveId":"%archive%"}`,
		"StartArchiveSearch":       `{"ArchiveId":"%archive%","FromTimestamp":1767225600,"ToTimestamp":1767312000,"MaxResults":10}`,
		"ListArchiveSearches":      `{"ArchiveId":"%archive%"}`,
		"GetArchiveSearch":         `{"SearchId":"%search%"}`,
		"GetArchiveSearchResults":  `{"SearchId":"%search%"}`,
		"StopArchiveSearch":        `{"SearchId":"%search%"}`,
		"StartArchiveExport":       `{"ArchiveId":"%archive%","FromTimestamp":1767225600,"ToTimestamp":1767312000,"ExportDestinationConfiguration":{"S3":{"S3Location":"s3://bucket"}}}`,
		"ListArchiveExports":       `{"ArchiveId":"%archive%"}`,
		"GetArchiveExport":         `{"ExportId":"%export%"}`,
		"StopArchiveExport":        `{"ExportId":"%export%"}`,
		"GetArchiveMessage":        `{"ArchivedMessageId":"%stored%"}`,
		"GetArchiveMessageContent": `{"ArchivedMessageId":"%stored%"}`,

		"CreateIngressPoint": `{"IngressPointName":"point","Type":"OPEN","TlsPolicy":"OPTIONAL","RuleSetId":"%rules%","TrafficPolicyId":"%gate%"}`,
		"GetIngressPoint":    `{"IngressPointId":"%point%"}`,
		"ListIngressPoints":  `{}`,
		"UpdateIngressPoint": `{"IngressPointId":"%point%","RuleSetId":"%rules%","TrafficPolicyId":"%gate%","StatusToUpdate":"CLOSED"}`,
		"DeleteIngressPoint": `{"IngressPointId":"%point%"}`,

		"CreateRelay": `{"RelayName":"relay","ServerName":"mx.example.com","ServerPort":25,"Authentication":{"NoAuthentication":{}}}`,
		"GetRelay":    `{"RelayId":"%relay%"}`,
		"ListRelays":  `{}`,
		"UpdateRelay": `{"RelayId":"%relay%","ServerPort":26}`,
		"DeleteRelay": `{"RelayId":"%relay%"}`,

		"CreateRuleSet": `{"RuleSetName":"rules","Rules":[]}`,
		"GetRuleSet":    `{"RuleSetId":"%rules%"}`,
		"ListRuleSets":  `{}`,
		"UpdateRuleSet": `{"RuleSetId":"%rules%","RuleSetName":"changed"}`,
		"DeleteRuleSet": `{"RuleSetId":"%rules%"}`,

		"CreateTrafficPolicy": `{"TrafficPolicyName":"gate","DefaultAction":"ALLOW","PolicyStatements":[]}`,
		"GetTrafficPolicy":    `{"TrafficPolicyId":"%gate%"}`,
		"ListTrafficPolicies": `{}`,
		"UpdateTrafficPolicy": `{"TrafficPolicyId":"%gate%","TrafficPolicyName":"changed"}`,
		"DeleteTrafficPolicy": `{"TrafficPolicyId":"%gate%"}`,

		"TagResource":         `{"ResourceArn":"%arn%","Tags":[{"Key":"a","Value":"1"}]}`,
		"UntagResource":       `{"ResourceArn":"%arn%","TagKeys":["a"]}`,
		"ListTagsForResource": `{"ResourceArn":"%arn%"}`,
	},
	"secretsmanager": {
		"CreateSecret":             `{"Name":"smtp","SecretString":"{\"password\":\"of A\"}","ClientRequestToken":"11111111-1111-4111-8111-111111111111"}`,
		"GetSecretValue":           `{"SecretId":"%secret%"}`,
		"BatchGetSecretValue":      `{"SecretIdList":["%secret%"]}`,
		"PutSecretValue":           `{"SecretId":"%secret%","SecretString":"x"}`,
		"DescribeSecret":           `{"SecretId":"%secret%"}`,
		"ListSecrets":              `{}`,
		"UpdateSecret":             `{"SecretId":"%secret%","Description":"changed"}`,
		"DeleteSecret":             `{"SecretId":"%secret%"}`,
		"RestoreSecret":            `{"SecretId":"%secret%"}`,
		"ListSecretVersionIds":     `{"SecretId":"%secret%"}`,
		"UpdateSecretVersionStage": `{"SecretId":"%secret%","VersionStage":"S","MoveToVersionId":"11111111-1111-4111-8111-111111111111"}`,
		"TagResource":              `{"SecretId":"%secret%","Tags":[{"Key":"a","Value":"1"}]}`,
		"UntagResource":            `{"SecretId":"%secret%","TagKeys":["a"]}`,
		"PutResourcePolicy":        `{"SecretId":"%secret%","ResourcePolicy":"{\"Version\":\"2012-10-17\",\"Statement\":[]}"}`,
		"GetResourcePolicy":        `{"SecretId":"%secret%"}`,
		"DeleteResourcePolicy":     `{"SecretId":"%secret%"}`,
		"ValidateResourcePolicy":   `{"SecretId":"%secret%","ResourcePolicy":"{\"Version\":\"2012-10-17\",\"Statement\":[]}"}`,
		"GetRandomPassword":        `{}`,
	},
	client.Service: {
		client.OpGetTrace:      `{"Id":"%message%"}`,
		client.OpFindTraces:    `{}`,
		client.OpListListeners: `{}`,
		client.OpGetStatus:     `{}`,
		client.OpTestRelay:     `{"Id":"%relay%"}`,

		client.OpListQueue:    `{"Filter":{}}`,
		client.OpShowMessage:  `{"MessageId":"%message%"}`,
		client.OpListLanes:    `{}`,
		client.OpHoldQueue:    `{"Items":[{"MessageId":"%message%"}]}`,
		client.OpReleaseQueue: `{"Items":[{"MessageId":"%message%"}],"DryRun":true}`,
		client.OpRetryQueue:   `{"Items":[{"MessageId":"%message%"}],"DryRun":true}`,
		client.OpBounceQueue:  `{"Items":[{"MessageId":"%message%"}],"DryRun":true}`,
		client.OpDiscardQueue: `{"Items":[{"MessageId":"%message%"}]}`,
		client.OpRerouteQueue: `{"Items":[{"MessageId":"%message%"}],"RelayId":"%relay%"}`,

		client.OpCreateUser:       `{"User":"made"}`,
		client.OpListUsers:        `{}`,
		client.OpGetUser:          `{"User":"%user%"}`,
		client.OpDeleteUser:       `{"User":"%user%"}`,
		client.OpCreateAccessKey:  `{"User":"%user%"}`,
		client.OpUpdateAccessKey:  `{"User":"%user%","AccessKeyId":"%key%","Status":"Inactive"}`,
		client.OpDeleteAccessKey:  `{"User":"%user%","AccessKeyId":"%key%"}`,
		client.OpPutUserPolicy:    `{"User":"%user%","Name":"x","Document":{"Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}}`,
		client.OpDeleteUserPolicy: `{"User":"%user%","Name":"policy"}`,
		client.OpCheckAccess:      `{"User":"%user%","Action":"ses:GetRelay","Resource":"*"}`,
		client.OpListAccounts:     `{}`,
	},
}

// everyOperation calls f for every operation that the server has.
func (v *tenants) everyOperation(f func(service, operation string)) {
	for _, op := range mailmanager.Operations() {
		f(mailmanager.SigningName, op.Name)
	}
	for _, op := range secretsmanager.Operations() {
		f(secretsmanager.SigningName, op.Name)
	}
	for _, operation := range v.server.gateway.admin.now.Load().Operations() {
		f(client.Service, operation)
	}
}

// masked is an answer without what it was asked for, and without what is drawn or read off a clock anew.
func masked(a answer, ids map[string]string) answer {
	longest := func(a, b string) int { return cmp.Or(len(ids[b])-len(ids[a]), strings.Compare(a, b)) } // ARNs have ids in them
	for _, placeholder := range slices.SortedFunc(maps.Keys(ids), longest) {
		a.text = strings.ReplaceAll(a.text, ids[placeholder], placeholder)
	}
	a.text = drawn.ReplaceAllString(lastUsed.ReplaceAllString(a.text, ""), "ID")
	return a
}

var lastUsed = regexp.MustCompile(`,"(LastUsed|LastAccessedDate)":[^,}]*`)

var drawn = regexp.MustCompile(`"(DeletionDate|Took)":[0-9.eE+-]+|"RandomPassword":.*|[a-z0-9]{24,}|[0-9a-f]{8}-[0-9a-f-]{27}`)

// all is everything that A can read of what it has.
func (v *tenants) all(owner person) string {
	v.Helper()
	var text bytes.Buffer
	for service, operations := range bodies {
		for _, operation := range slices.Sorted(maps.Keys(operations)) {
			if strings.HasPrefix(operation, "List") || strings.HasPrefix(operation, "Get") || strings.HasPrefix(operation, "Show") || strings.HasPrefix(operation, "Describe") {
				a := masked(owner.call(v.T, service, operation, v.body(service, operation, v.ids)), nil)
				fmt.Fprintln(&text, operation, a.status, a.text)
			}
		}
	}
	lines := strings.Split(text.String(), "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// S36: the matrix of every operation and who asks for it. Somebody who may nothing is refused alike, whether what is named is there
// or not, in the own account or another's; somebody who may everything in another account gets the answer for what does not
// exist; and who is allowed just that operation is not refused. Nothing of A is changed from outside.
func TestS36Matrix(t *testing.T) {
	t.Parallel()
	v := newTenants(t)
	owner := v.user(tenantA, "reader", administrator)
	insider, outsider := v.user(tenantA, "insider", ""), v.user(tenantB, "outsider", "")
	stranger := v.user(tenantB, "stranger", administrator)
	before := v.all(owner)
	asked := 0
	v.everyOperation(func(service, operation string) {
		asked++
		theirs, nobodys := v.body(service, operation, v.ids), v.body(service, operation, v.nobodys)
		for name, p := range map[string]person{"insider": insider, "outsider": outsider} {
			a, b := p.call(t, service, operation, theirs), p.call(t, service, operation, nobodys)
			if a.status != http.StatusForbidden || a.code() != "AccessDeniedException" || !strings.Contains(a.text, "to perform: "+service+":"+operation) {
				t.Errorf("%s, %s: got %d %s", operation, name, a.status, a.text)
			}
			if a, b = masked(a, v.ids), masked(b, v.nobodys); a != b {
				t.Errorf("%s, %s: got %v, for what is not there %v", operation, name, a, b)
			}
		}
		if theirs == nobodys && strings.HasPrefix(operation, "Create") { // it makes something of B's own
			return
		}
		a, b := stranger.call(t, service, operation, theirs), stranger.call(t, service, operation, nobodys)
		if (a.code() == "AccessDeniedException") != (operation == client.OpListAccounts) {
			t.Errorf("%s in another account: got %d %s", operation, a.status, a.text)
		}
		if strings.Contains(a.text, tenantA) && !strings.Contains(theirs, tenantA) {
			t.Errorf("%s in another account names A: %s", operation, a.text)
		}
		if a, b = masked(a, v.ids), masked(b, v.nobodys); a != b {
			t.Errorf("%s in another account: got %v, for what is not there %v", operation, a, b)
		}
	})
	if diff := gocmp.Diff(before, v.all(owner)); diff != "" {
		t.Errorf("something was changed from outside (-before +after):\n%s", diff)
	}
	if asked < 60+len(secretsmanager.Operations())+25 {
		t.Errorf("%d operations were asked for", asked)
	}
	v.everyOperation(func(service, operation string) { v.wantAllowed(service, operation) })
}

// wantAllowed fails the test if somebody of A who is allowed one operation, and nothing else, is refused it, or not refused another.
func (v *tenants) wantAllowed(service, operation string) {
	v.Helper()
	actions := fmt.Sprintf("%q", service+":"+operation)
	if operation == "BatchGetSecretValue" { // it takes both, as AWS has it
		actions += `,"secretsmanager:GetSecretValue"`
	}
	name := "only-" + service + "-" + operation
	p := v.user(tenantA, name, `{"Statement":{"Effect":"Allow","Action":[`+actions+`],"Resource":"*"}}`)
	if a := p.call(v.T, service, operation, v.body(service, operation, v.ids)); (a.code() == "AccessDeniedException") != (operation == client.OpListAccounts) {
		v.Errorf("%s, allowed: got %d %s", operation, a.status, a.text)
	}
	other := "ListRelays"
	if operation == other {
		other = "ListRuleSets"
	}
	if a := p.call(v.T, "ses", other, `{}`); a.code() != "AccessDeniedException" {
		v.Errorf("%s, allowed %s: got %d %s", other, operation, a.status, a.text)
	}
	if err := v.root(tenantA).admin().DeleteUser(v.Context(), name); err != nil {
		v.Error(err)
	}
}

// The root acts in whatever account it names, and sees there what that account sees.
func TestRootActsInAccounts(t *testing.T) {
	t.Parallel()
	v := newTenants(t)
	if a := v.root("").call(t, "ses", "GetRelay", v.body("ses", "GetRelay", v.ids)); a.status != http.StatusNotFound {
		t.Errorf("in its own account: got %v", a)
	}
	if a := v.root(tenantA).call(t, "ses", "GetRelay", v.body("ses", "GetRelay", v.ids)); a.status != http.StatusOK || !strings.Contains(a.text, tenantA) {
		t.Errorf("in A: got %v", a)
	}
	if a := v.root(tenantA).call(t, client.Service, client.OpGetTrace, v.body(client.Service, client.OpGetTrace, v.ids)); a.status != http.StatusOK {
		t.Errorf("the trace of A: got %v", a)
	}
	list, err := v.root("").admin().ListAccounts(t.Context())
	if err != nil || len(list.Accounts) != 1 || list.Accounts[0] != (client.Account{Id: tenantA, Users: 1}) {
		t.Errorf("got %v, %v", list, err)
	}
}

// A key that is disabled, deleted, or whose user is, is refused by the next request, as one that never was.
func TestKeysEndAtOnce(t *testing.T) {
	t.Parallel()
	v := newTenants(t)
	p := v.user(tenantB, "jo", administrator)
	root := v.root(tenantB).admin()
	status := func(want string) {
		t.Helper()
		if a := p.call(t, "ses", "ListRelays", `{}`); a.code() != want {
			t.Errorf("got %d %s, want %q", a.status, a.text, want)
		}
	}
	set := func(to string) {
		t.Helper()
		if err := root.UpdateAccessKey(t.Context(), client.UpdateAccessKeyInput{User: "jo", AccessKeyId: p.key.AccessKeyID, Status: to}); err != nil {
			t.Fatal(err)
		}
	}
	status("")
	set(client.KeyInactive)
	status("UnrecognizedClientException")
	set(client.KeyActive)
	status("")
	if err := root.PutUserPolicy(t.Context(), client.PutUserPolicyInput{User: "jo", Policy: client.Policy{Name: "no", Document: json.RawMessage(`{"Statement":{"Effect":"Deny","Action":"ses:*","Resource":"*"}}`)}}); err != nil {
		t.Fatal(err)
	}
	status("AccessDeniedException")
	if err := root.DeleteUser(t.Context(), "jo"); err != nil {
		t.Fatal(err)
	}
	status("UnrecognizedClientException")
}
