package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"sluice/internal/admin/client"
	"sluice/internal/mailmanager"
)

// placeholders finds what an input names.
var placeholders = regexp.MustCompile(`%[a-z]+%`)

// notOfOne are operations whose input names a resource, and that are about something else in the eyes of policies: about all
// of a type, or about two things.
var notOfOne = map[string]bool{"CreateAddonInstance": true, "CreateIngressPoint": true, "BatchGetSecretValue": true, client.OpRerouteQueue: true}

// resourceOf is the ARN of the resource that an operation is about, with a placeholder in it; empty where a policy cannot name one.
func resourceOf(operation, input string) string {
	first := placeholders.FindString(input)
	switch {
	case notOfOne[operation]:
		return ""
	case arnTypes[first] != "":
		return arnOf(first)
	case first == "%secret%":
		return first // is an ARN
	case first == "%message%":
		return mailmanager.ARN(client.Service, defaultRegion, tenantA, "message/%message%")
	case first == "%user%":
		return mailmanager.UserARN(defaultRegion, tenantA, "%user%")
	default:
		return ""
	}
}

// S36: a policy that allows an operation on one resource allows it on that one. Another one, that is there too, is refused, with
// a text that names the action and the resource; and so is the one under any other name, and everything once a statement
// denies it.
func TestS36OneResource(t *testing.T) {
	t.Parallel()
	v := newTenants(t)
	second := v.fill(v.owner, "second", "SPAMHAUS_DBL")
	// A has one message; the other one is nobody's.
	second["%user%"], second["%key%"], second["%message%"] = "other", "AKSLOTHER", unlike(v.ids["%message%"])
	narrow := v.user(tenantA, "narrow")
	v.user(tenantA, "other")
	asked := 0
	for _, phase := range [...]int{0, 1, 2} {
		v.everyOperation(func(service, operation string) {
			for _, input := range v.inputs(service, operation) {
				if resource := resourceOf(operation, input); resource != "" && phaseOf(operation) == phase {
					asked++
					v.wantOne(narrow, service+":"+operation, input, resource, second)
				}
			}
		})
	}
	if asked < 85 {
		t.Errorf("%d operations were asked for", asked)
	}
}

// wantOne fails the test unless policies tell A's first resource, of v.ids, from everything else.
func (v *tenants) wantOne(p person, action, input, resource string, second map[string]string) {
	v.Helper()
	first, one, other := filled(input, v.ids), filled(resource, v.ids), filled(resource, second)
	v.setPolicy("narrow", "p", statement("Allow", action, one))
	v.wantDenied(p, action, filled(input, second), other)
	v.setPolicy("narrow", "no", statement("Deny", action, one))
	v.wantDenied(p, action, first, one)
	v.setPolicy("narrow", "no", statement("Deny", action, other))
	for _, elsewhere := range []string{unlike(one), one + "x", one[:len(one)-1], strings.ReplaceAll(one, tenantA, tenantB)} {
		v.setPolicy("narrow", "p", statement("Allow", action, elsewhere))
		v.wantDenied(p, action, first, one)
	}
	v.setPolicy("narrow", "p", statement("Allow", action, one))
	service, operation, _ := strings.Cut(action, ":")
	if a := p.call(v.T, service, operation, first); a.code() == string(mailmanager.CodeAccessDenied) {
		v.Errorf("%s: got %d %s", action, a.status, a.text)
	}
}

func statement(effect, action, resource string) string {
	return fmt.Sprintf(`{"Version":"2012-10-17","Statement":{"Effect":%q,"Action":%q,"Resource":%q}}`, effect, action, resource)
}

// setPolicy gives a user of A a policy, in place of its policy of that name.
func (v *tenants) setPolicy(user, name, document string) {
	v.Helper()
	in := client.PutUserPolicyInput{User: user, Policy: client.Policy{Name: name, Document: json.RawMessage(document)}}
	if err := v.root(tenantA).admin().PutUserPolicy(v.Context(), in); err != nil {
		v.Fatal(err)
	}
}

// wantDenied fails the test unless an operation is refused with a text that names who, what and on which resource.
func (v *tenants) wantDenied(p person, action, input, resource string) {
	v.Helper()
	service, operation, _ := strings.Cut(action, ":")
	a := p.call(v.T, service, operation, input)
	text := "is not authorized to perform: " + action + " on resource: " + resource + " because "
	if a.status != http.StatusForbidden || a.code() != string(mailmanager.CodeAccessDenied) || !strings.Contains(a.text, text) {
		v.Errorf("%s: got %d %s, want %q", action, a.status, a.text, text)
	}
}

// What statements make of each other, as a caller sees it. The request is GetAddressList of A's list.
func TestPoliciesDecide(t *testing.T) {
	t.Parallel()
	v := newTenants(t)
	list := filled(arnOf("%list%"), v.ids)
	const condition = `{"Statement":{"Effect":%q,"Action":"*","Resource":"*","Condition":{%q:{%q:%q}}}}`
	all := statement("Allow", "*", "*")
	tests := []struct {
		name     string
		policies []string
		because  string // of the refusal; empty: allowed
	}{
		{"no policy", nil, "no statement"},
		{"allowed and denied", []string{all, statement("Deny", "ses:GetAddressList", list)}, "statement 1 of policy p2 denies it"},
		{"denied and allowed", []string{statement("Deny", "ses:*", "*"), all}, "statement 1 of policy p1 denies it"},
		{"denied within a policy", []string{`{"Statement":[{"Sid":"yes","Effect":"Allow","Action":"*","Resource":"*"},{"Sid":"no","Effect":"Deny","Action":"ses:*","Resource":"` + list + `"}]}`},
			"statement 2 (no) of policy p1 denies it"},
		{"all but this action denied otherwise", []string{all, `{"Statement":{"Effect":"Deny","NotAction":"ses:GetRelay","Resource":"*"}}`}, "policy p2 denies it"},
		{"all but this resource", []string{`{"Statement":{"Effect":"Allow","Action":"*","NotResource":"` + list + `"}}`}, "no statement"},
		{"action is a beginning", []string{statement("Allow", "ses:GetAddress", "*")}, "no statement"},
		{"action is an end", []string{statement("Allow", "ses:etAddressList", "*")}, "no statement"},
		{"action of another service", []string{statement("Allow", "secretsmanager:*", "*")}, "no statement"},
		{"resource is a beginning", []string{statement("Allow", "*", list[:len(list)-1])}, "no statement"},
		{"resource of another type", []string{statement("Allow", "*", strings.Replace(list, "address-list", "*-relay", 1))}, "no statement"},
		{"condition does not hold", []string{fmt.Sprintf(condition, "Allow", "IpAddress", "aws:SourceIp", "192.0.2.1")}, "no statement"},
		{"condition on what is absent", []string{fmt.Sprintf(condition, "Allow", "StringEquals", "aws:ResourceTag/team", "mail")}, "no statement"},
		{"deny whose condition holds", []string{all, fmt.Sprintf(condition, "Deny", "Bool", "aws:SecureTransport", "false")}, "policy p2 denies it"},

		{"deny whose condition is on what is absent", []string{all, fmt.Sprintf(condition, "Deny", "StringEquals", "aws:ResourceTag/team", "mail")}, ""},
		{"deny of another", []string{all, statement("Deny", "*", unlike(list))}, ""},
		{"all but another action", []string{`{"Statement":{"Effect":"Allow","NotAction":"ses:GetRelay","Resource":"*"}}`}, ""},
		{"all but another resource", []string{`{"Statement":{"Effect":"Allow","Action":"*","NotResource":"` + unlike(list) + `"}}`}, ""},
		{"action in another case", []string{statement("Allow", "SES:getaddresslist", list)}, ""},
		{"by a pattern", []string{statement("Allow", "ses:Get?ddress*", "arn:aws:ses:*:*:mailmanager-address-list/*")}, ""},
		{"by address", []string{fmt.Sprintf(condition, "Allow", "IpAddress", "aws:SourceIp", "127.0.0.0/8")}, ""},
	}
	for i, test := range tests {
		p := v.user(tenantA, fmt.Sprintf("u%d", i), test.policies...)
		a := p.call(t, "ses", "GetAddressList", filled(`{"AddressListId":"%list%"}`, v.ids))
		if (a.code() == string(mailmanager.CodeAccessDenied)) != (test.because != "") || !strings.Contains(a.text, test.because) {
			t.Errorf("%s: got %d %s, want %q", test.name, a.status, a.text, test.because)
		}
	}
}

// S36: the signed URL of one account's upload is good for that object only.
func TestS36UploadURLs(t *testing.T) {
	t.Parallel()
	v := newTenants(t)
	boss := v.user(tenantB, "boss", administrator)
	ids := map[string]string{"%name%": "first"}
	ids["%list%"] = boss.make(t, "ses", "CreateAddressList", v.body("ses", "CreateAddressList", ids), "AddressListId")
	ids["%job%"] = boss.make(t, "ses", "CreateAddressListImportJob", v.body("ses", "CreateAddressListImportJob", ids), "JobId")
	own := boss.make(t, "ses", "GetAddressListImportJob", v.body("ses", "GetAddressListImportJob", ids), "PreSignedUrl")
	theirs := v.owner.make(t, "ses", "GetAddressListImportJob", v.body("ses", "GetAddressListImportJob", v.ids), "PreSignedUrl")
	path := func(url string) string { p, _, _ := strings.Cut(url, "?"); return p }
	query := func(url string) string { _, q, _ := strings.Cut(url, "?"); return q }
	for _, test := range []struct {
		name, method, url string
		want              int
	}{
		{"another's object", http.MethodPut, path(theirs) + "?" + query(own), http.StatusForbidden},
		{"another's account", http.MethodPut, strings.Replace(own, tenantB, tenantA, 1), http.StatusForbidden},
		{"another's job", http.MethodPut, strings.Replace(own, ids["%job%"], v.ids["%job%"], 1), http.StatusForbidden},
		{"a way around", http.MethodPut, path(own) + "/../../../../" + tenantA + "/x?" + query(own), http.StatusForbidden},
		{"to read", http.MethodGet, own, http.StatusForbidden},
		{"to put, unsigned", http.MethodPut, path(theirs), http.StatusForbidden},
		{"the own object", http.MethodPut, own, http.StatusOK},
	} {
		if got := v.send(test.method, test.url, "b@example.org\n"); got != test.want {
			t.Errorf("%s: got %d, want %d", test.name, got, test.want)
		}
	}
}

// send sends a request that is not signed.
func (v *tenants) send(method, url, body string) (status int) {
	v.Helper()
	r, err := http.NewRequestWithContext(v.Context(), method, url, strings.NewReader(body))
	if err != nil {
		v.Fatal(err)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		v.Fatal(err)
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		v.Fatal(err)
	}
	return response.StatusCode
}
