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
	owner   person            // a user of A who may everything
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
	cfg.Analyzers = map[string]Analyzer{"ABUSIX_MAIL_INTELLIGENCE": {}, "SPAMHAUS_DBL": {}}
	s, _ := started(t, cfg)
	v := &tenants{T: t, server: s, nobodys: map[string]string{}}
	v.owner = v.user(tenantA, "owner", administrator)
	v.ids = v.fill(v.owner, "first", "ABUSIX_MAIL_INTELLIGENCE")
	v.deliver()
	for placeholder, id := range v.ids {
		v.nobodys[placeholder] = unlike(id)
	}
	maps.Copy(v.nobodys, map[string]string{"%name%": "first", "%addon%": "ABUSIX_MAIL_INTELLIGENCE"})
	return v
}

func (v *tenants) root(account string) person {
	c := v.server.credentials
	return person{v.server, aws.Credentials{AccessKeyID: c.keyID, SecretAccessKey: c.secret}, account}
}

// user makes a user with policies, named p1 and so on; without one it may do nothing.
func (v *tenants) user(account, name string, policies ...string) person {
	v.Helper()
	in := client.CreateUserInput{User: name}
	for i, policy := range policies {
		in.Policies = append(in.Policies, client.Policy{Name: fmt.Sprintf("p%d", i+1), Document: json.RawMessage(policy)})
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

// answer is what came of a call. Its header section is without what differs from one call to the next.
type answer struct {
	status int
	header string
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
	response.Header.Del("Date")
	response.Header.Del("X-Amzn-Requestid")
	var header strings.Builder
	if err := response.Header.Write(&header); err != nil {
		t.Fatal(err)
	}
	return answer{response.StatusCode, header.String(), string(text)}
}

// make carries out what must succeed, and returns a member of the answer.
func (p person) make(t *testing.T, service, operation, input, member string) string {
	t.Helper()
	a := p.call(t, service, operation, input)
	var out map[string]any
	if err := json.Unmarshal([]byte(a.text), &out); err != nil || a.status != http.StatusOK {
		t.Fatalf("%s: got %d %s", operation, a.status, a.text)
	}
	made, _ := out[member].(string)
	return made
}

// fill makes one resource of every kind in A, and returns their ids. What cannot be made yet has ids that are as good as any:
// whoever asks for them is to learn nothing.
func (v *tenants) fill(owner person, name, addon string) map[string]string {
	v.Helper()
	ids := map[string]string{
		"%name%": name, "%addon%": addon, "%search%": "s-" + letters, "%export%": "e-" + letters, "%stored%": "m-" + letters,
		"%user%": "owner", "%key%": v.owner.key.AccessKeyID,
	}
	for _, one := range []struct{ service, operation, placeholder, member string }{
		{"ses", "CreateRelay", "%relay%", "RelayId"},
		{"ses", "CreateRuleSet", "%rules%", "RuleSetId"},
		{"ses", "CreateTrafficPolicy", "%gate%", "TrafficPolicyId"},
		{"ses", "CreateArchive", "%archive%", "ArchiveId"},
		{"ses", "CreateAddonSubscription", "%subscription%", "AddonSubscriptionId"},
		{"ses", "CreateAddonInstance", "%instance%", "AddonInstanceId"},
		{"ses", "CreateIngressPoint", "%point%", "IngressPointId"},
		{"ses", "CreateAddressList", "%list%", "AddressListId"},
		{"ses", "RegisterMemberToAddressList", "", ""},
		{"ses", "CreateAddressListImportJob", "%job%", "JobId"},
		{"secretsmanager", "CreateSecret", "%secret%", "ARN"},
	} {
		made := owner.make(v.T, one.service, one.operation, v.body(one.service, one.operation, ids), one.member)
		if one.member != "" {
			ids[one.placeholder] = made
		}
	}
	return ids
}

// deliver gives A a message at rest.
func (v *tenants) deliver() {
	v.Helper()
	address := ""
	harness.Eventually(v.T, "the point is reached", func() bool {
		list, err := v.owner.admin().ListListeners(v.Context())
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
		_, err := v.owner.admin().ShowMessage(v.Context(), id)
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

// body is the input of an operation with the placeholders filled in. Of one that takes any ARN, it is the first input.
func (v *tenants) body(service, operation string, ids map[string]string) string {
	v.Helper()
	return filled(v.inputs(service, operation)[0], ids)
}

// inputs are what an operation is called with: one input; or one for every type of resource, where the input names an ARN.
func (v *tenants) inputs(service, operation string) (all []string) {
	v.Helper()
	text, ok := bodies[service][operation]
	if !ok {
		v.Fatalf("there is no input for %s:%s", service, operation)
	}
	if !strings.Contains(text, "%arn%") {
		return []string{text}
	}
	for _, placeholder := range slices.Sorted(maps.Keys(arnTypes)) {
		all = append(all, strings.ReplaceAll(text, "%arn%", arnOf(placeholder)))
	}
	return all
}

// arnTypes are the types of resources in ARNs, by the placeholders of ids. Source: Mail Manager, section 12.
var arnTypes = map[string]string{
	"%relay%": "mailmanager-smtp-relay", "%rules%": "mailmanager-rule-set", "%gate%": "mailmanager-traffic-policy",
	"%point%": "mailmanager-ingress-point", "%archive%": "mailmanager-archive", "%list%": "mailmanager-address-list",
	"%subscription%": "addon-subscription", "%instance%": "addon-instance",
}

// arnOf is the ARN of a resource of A, with the placeholder for its id.
func arnOf(placeholder string) string {
	return mailmanager.ARN("ses", defaultRegion, tenantA, arnTypes[placeholder]+"/"+placeholder)
}

func filled(text string, ids map[string]string) string {
	for placeholder, id := range ids {
		text = strings.ReplaceAll(text, placeholder, id)
	}
	return text
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
	text := drawn.ReplaceAllString(lastUsed.ReplaceAllString(a.text, ""), "ID")
	if text != a.text { // its length is drawn too
		a.header = length.ReplaceAllString(a.header, "")
	}
	a.text = text
	return a
}

var length = regexp.MustCompile(`Content-Length: \d+\r\n`)

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

// S36: the matrix of every operation and who asks for it. Somebody who may nothing, or is denied everything, is refused alike,
// whether what is named is there or not, in the own account or another's; and somebody who may everything in another account
// gets the answer for what does not exist, down to its header section. Nothing of A is changed from outside.
func TestS36Matrix(t *testing.T) {
	t.Parallel()
	v := newTenants(t)
	owner := v.user(tenantA, "reader", administrator)
	nobodies := map[string]person{
		"insider": v.user(tenantA, "insider"), "outsider": v.user(tenantB, "outsider"),
		"banned": v.user(tenantA, "banned", administrator, `{"Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}`),
	}
	stranger := v.user(tenantB, "stranger", administrator)
	before, asked := v.all(owner), 0
	v.everyOperation(func(service, operation string) {
		for _, input := range v.inputs(service, operation) {
			asked++
			q := asking{service, operation, filled(input, v.ids), filled(input, v.nobodys)}
			for name, p := range nobodies {
				v.wantRefused(p, name, q)
			}
			if q.theirs != q.nobodys || !strings.HasPrefix(operation, "Create") { // the others make something of B's own
				v.wantNothingThere(stranger, q)
			}
		}
	})
	if diff := gocmp.Diff(before, v.all(owner)); diff != "" {
		t.Errorf("something was changed from outside (-before +after):\n%s", diff)
	}
	if asked < 60+3*(len(arnTypes)-1)+len(secretsmanager.Operations())+25 {
		t.Errorf("%d operations were asked for", asked)
	}
}

// asking is an operation with an input about what A has, and one about what nobody has.
type asking struct{ service, operation, theirs, nobodys string }

func (v *tenants) wantRefused(p person, name string, q asking) {
	v.Helper()
	a, b := p.call(v.T, q.service, q.operation, q.theirs), p.call(v.T, q.service, q.operation, q.nobodys)
	if a.status != http.StatusForbidden || a.code() != "AccessDeniedException" || !strings.Contains(a.text, "to perform: "+q.service+":"+q.operation) {
		v.Errorf("%s, %s: got %d %s", q.operation, name, a.status, a.text)
	}
	if a, b = masked(a, v.ids), masked(b, v.nobodys); a != b {
		v.Errorf("%s, %s: got %v, for what is not there %v", q.operation, name, a, b)
	}
}

func (v *tenants) wantNothingThere(stranger person, q asking) {
	v.Helper()
	a, b := stranger.call(v.T, q.service, q.operation, q.theirs), stranger.call(v.T, q.service, q.operation, q.nobodys)
	if (a.code() == "AccessDeniedException") != (q.operation == client.OpListAccounts) {
		v.Errorf("%s in another account: got %d %s", q.operation, a.status, a.text)
	}
	if strings.Contains(a.text, tenantA) && !strings.Contains(q.theirs, tenantA) {
		v.Errorf("%s in another account names A: %s", q.operation, a.text)
	}
	if a, b = masked(a, v.ids), masked(b, v.nobodys); a != b {
		v.Errorf("%s in another account: got %v, for what is not there %v", q.operation, a, b)
	}
}

// S36, the other side: who is allowed one operation can do that, and nothing else.
func TestS36Allowed(t *testing.T) {
	t.Parallel()
	v := newTenants(t)
	ids := maps.Clone(v.ids)
	ids["%name%"], ids["%addon%"] = "second", "SPAMHAUS_DBL" // names are those of what is made
	for _, phase := range [...]int{0, 1, 2} {
		v.everyOperation(func(service, operation string) {
			for _, input := range v.inputs(service, operation) {
				if phaseOf(operation) == phase {
					v.wantAllowed(service, operation, filled(input, ids))
				}
			}
		})
	}
}

// phaseOf puts last what leaves nothing for other operations to find.
func phaseOf(operation string) int {
	switch {
	case strings.HasPrefix(operation, "Delete"):
		return 2
	case strings.HasPrefix(operation, "Deregister"), strings.HasPrefix(operation, "Discard"), strings.HasPrefix(operation, "Bounce"):
		return 1
	default:
		return 0
	}
}

// otherwise has the codes of what is allowed and does not come off in this test all the same.
var otherwise = map[string]string{
	"CreateAddonInstance":      "ConflictException",         // there is one
	"StopAddressListImportJob": "ConflictException",         // it has ended, for want of a file
	"DeleteRuleSet":            "ConflictException",         // an ingress point uses it
	"DeleteTrafficPolicy":      "ConflictException",         // likewise
	"DeleteUserPolicy":         "ResourceNotFoundException", // the user is deleted by then
	"DeleteResourcePolicy":     "InvalidRequestException",   // the secret is
	client.OpListAccounts:      "AccessDeniedException",     // only the root may
}

// wantAllowed fails the test if somebody of A who is allowed one operation, and nothing else, cannot do it, or is not refused
// another.
func (v *tenants) wantAllowed(service, operation, input string) {
	v.Helper()
	actions := fmt.Sprintf("%q", service+":"+operation)
	if operation == "BatchGetSecretValue" { // it takes both, as AWS has it
		actions += `,"secretsmanager:GetSecretValue"`
	}
	name := "only-" + service + "-" + operation
	p := v.user(tenantA, name, `{"Statement":{"Effect":"Allow","Action":[`+actions+`],"Resource":"*"}}`)
	a := p.call(v.T, service, operation, input)
	if notYet := a.code() == string(mailmanager.CodeUnknownOperation); !notYet && a.code() != otherwise[operation] {
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
