package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sluice/internal/admin/client"
	"sluice/internal/awsapi"
	"sluice/internal/identity"
	"sluice/internal/mailmanager"
	"sluice/internal/seal"
	"sluice/internal/store/sqlite"
)

// office is an admin API with users.
type office struct {
	*testing.T
	api   *API
	users *identity.Users
}

// noKey knows no key.
type noKey struct{}

func (noKey) Lookup(context.Context, string) (awsapi.Key, bool) { return awsapi.Key{}, false }

func newOffice(t *testing.T) *office {
	t.Helper()
	store, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "resources.sqlite"))
	if err != nil {
		t.Fatal(err)
	}
	keys, err := seal.New(make([]byte, seal.KeyOctets))
	if err != nil {
		t.Fatal(err)
	}
	users, err := identity.Open(t.Context(), identity.Config{
		Store: store, Seal: keys, Root: noKey{}, Now: func() time.Time { return time.Unix(1_700_000_000, 0) }, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(users.Close(), store.Close()); err != nil {
			t.Error(err)
		}
	})
	return &office{t, New(Config{Users: users}), users}
}

func (o *office) call(account, operation, input string) (string, error) {
	o.Helper()
	out, err := o.api.HandleAdmin(o.Context(), awsapi.Caller{Account: account, Region: home.Region}, operation, json.RawMessage(input))
	if err != nil {
		return "", err
	}
	text, err := json.Marshal(out)
	if err != nil {
		o.Fatal(err)
	}
	return string(text), nil
}

// do is call for what must succeed.
func (o *office) do(account, operation, input string) string {
	o.Helper()
	text, err := o.call(account, operation, input)
	if err != nil {
		o.Fatalf("%s %s: %v", operation, input, err)
	}
	return text
}

const (
	tenant   = "111111111111"
	other    = "222222222222"
	document = `{"Statement":[{"Effect":"Allow","Action":"ses:Get*","Resource":"*"}]}`
)

func TestUsersLiveAndDie(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	var made, second client.NewAccessKey
	unmarshal(t, o.do(tenant, "CreateUser", `{"User":"jo","Policies":[{"Name":"reads","Document":`+document+`}]}`), &made)
	if made.User != "jo" || made.Account != tenant || len(made.SecretAccessKey) != 40 || len(made.AccessKeyId) != 20 {
		t.Errorf("got %+v", made)
	}
	unmarshal(t, o.do(tenant, "CreateAccessKey", `{"User":"jo"}`), &second)
	o.do(tenant, "UpdateAccessKey", fmt.Sprintf(`{"User":"jo","AccessKeyId":%q,"Status":"Inactive"}`, made.AccessKeyId))
	o.do(tenant, "PutUserPolicy", `{"User":"jo","Name":"admin","Document":{"Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}}`)
	var got client.GetUserOutput
	unmarshal(t, o.do(tenant, "GetUser", `{"User":"jo"}`), &got)
	if len(got.User.Policies) != 2 || string(got.User.Policies[1].Document) != document || len(got.User.AccessKeys) != 2 ||
		got.User.AccessKeys[0].Status != "Inactive" || got.User.AccessKeys[1].Status != "Active" {
		t.Errorf("got %+v", got.User)
	}
	if list := o.do(tenant, "ListUsers", `{}`); !strings.Contains(list, second.AccessKeyId) || strings.Contains(list, "ses:Get") || strings.Contains(list, second.SecretAccessKey) {
		t.Errorf("got %s", list)
	}
	if text := o.do(tenant, "CheckAccess", `{"User":"jo","Action":"ses:GetRelay","Resource":"*"}`); !strings.Contains(text, `"DENIED"`) {
		t.Errorf("got %s", text)
	}
	o.do(tenant, "DeleteUserPolicy", `{"User":"jo","Name":"admin"}`)
	if text := o.do(tenant, "CheckAccess", `{"User":"jo","Action":"ses:GetRelay","Resource":"*"}`); !strings.Contains(text, `"ALLOWED","Why":"statement 1 of policy reads allows it"`) {
		t.Errorf("got %s", text)
	}
	o.do(tenant, "DeleteAccessKey", fmt.Sprintf(`{"User":"jo","AccessKeyId":%q}`, made.AccessKeyId))
	if text := o.do("000000000000", "ListAccounts", `{}`); text != `{"Accounts":[{"Id":"111111111111","Users":1}]}` {
		t.Errorf("got %s", text)
	}
	o.do(tenant, "DeleteUser", `{"User":"jo"}`)
	if text := o.do("000000000000", "ListAccounts", `{}`); text != `{"Accounts":[]}` {
		t.Errorf("got %s", text)
	}
	if _, ok := o.users.Lookup(t.Context(), second.AccessKeyId); ok {
		t.Error("a key of a user that is gone is known")
	}
}

func unmarshal(t *testing.T, text string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Fatal(err)
	}
}

func TestUserRefusals(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.do(tenant, "CreateUser", `{"User":"jo"}`)
	tests := []struct {
		name, operation, input string
		want                   mailmanager.Code
	}{
		{"name that is none", "CreateUser", `{"User":"a b"}`, mailmanager.CodeValidation},
		{"no name", "CreateUser", `{}`, mailmanager.CodeValidation},
		{"name that is taken", "CreateUser", `{"User":"jo"}`, mailmanager.CodeConflict},
		{"policy that is none", "CreateUser", `{"User":"al","Policies":[{"Name":"x","Document":{}}]}`, mailmanager.CodeValidation},
		{"policy without a name", "PutUserPolicy", `{"User":"jo","Document":` + document + `}`, mailmanager.CodeValidation},
		{"policy without a document", "PutUserPolicy", `{"User":"jo","Name":"x"}`, mailmanager.CodeValidation},
		{"policy of nobody", "PutUserPolicy", `{"User":"al","Name":"x","Document":` + document + `}`, mailmanager.CodeResourceNotFound},
		{"policy that is not there", "DeleteUserPolicy", `{"User":"jo","Name":"x"}`, mailmanager.CodeResourceNotFound},
		{"nobody", "GetUser", `{"User":"al"}`, mailmanager.CodeResourceNotFound},
		{"nobody to delete", "DeleteUser", `{"User":"al"}`, mailmanager.CodeResourceNotFound},
		{"key of nobody", "CreateAccessKey", `{"User":"al"}`, mailmanager.CodeResourceNotFound},
		{"unknown status", "UpdateAccessKey", `{"User":"jo","AccessKeyId":"x","Status":"active"}`, mailmanager.CodeValidation},
		{"unknown key", "UpdateAccessKey", `{"User":"jo","AccessKeyId":"x","Status":"Active"}`, mailmanager.CodeResourceNotFound},
		{"unknown key to delete", "DeleteAccessKey", `{"User":"jo","AccessKeyId":"x"}`, mailmanager.CodeResourceNotFound},
		{"check of nobody", "CheckAccess", `{"User":"al","Action":"ses:GetRelay"}`, mailmanager.CodeResourceNotFound},
		{"check of no action", "CheckAccess", `{"User":"jo","Action":"GetRelay"}`, mailmanager.CodeValidation},
		{"check with an unknown key", "CheckAccess", `{"User":"jo","Action":"ses:GetRelay","Context":{"aws:x":["1"]}}`, mailmanager.CodeValidation},
		{"unknown member", "ListUsers", `{"Account":"222222222222"}`, mailmanager.CodeSerialization},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := o.call(tenant, test.operation, test.input)
			if refused, ok := errors.AsType[*mailmanager.Error](err); !ok || refused.Code != test.want {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
	o.do(tenant, "CreateAccessKey", `{"User":"jo"}`)
	if _, err := o.call(tenant, "CreateAccessKey", `{"User":"jo"}`); !strings.Contains(fmt.Sprint(err), "ServiceQuotaExceeded") {
		t.Errorf("a third key: got %v", err)
	}
}

// S36: what one account does with its users, another cannot see, and is answered as for users that do not exist.
func TestS36UsersOfOthers(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	var made client.NewAccessKey
	unmarshal(t, o.do(tenant, "CreateUser", `{"User":"jo","Policies":[{"Name":"reads","Document":`+document+`}]}`), &made)
	before := o.do(tenant, "GetUser", `{"User":"jo"}`)
	for operation, input := range map[string]string{
		"GetUser": `{"User":%q}`, "DeleteUser": `{"User":%q}`, "CreateAccessKey": `{"User":%q}`,
		"UpdateAccessKey":  `{"User":%q,"AccessKeyId":"` + made.AccessKeyId + `","Status":"Inactive"}`,
		"DeleteAccessKey":  `{"User":%q,"AccessKeyId":"` + made.AccessKeyId + `"}`,
		"PutUserPolicy":    `{"User":%q,"Name":"x","Document":` + document + `}`,
		"DeleteUserPolicy": `{"User":%q,"Name":"reads"}`,
		"CheckAccess":      `{"User":%q,"Action":"ses:GetRelay"}`,
	} {
		_, theirs := o.call(other, operation, fmt.Sprintf(input, "jo"))
		_, nobodys := o.call(other, operation, fmt.Sprintf(input, "al"))
		if theirs == nil || nobodys == nil || theirs.Error() != strings.ReplaceAll(nobodys.Error(), "al", "jo") {
			t.Errorf("%s: got %v, of nobody %v", operation, theirs, nobodys)
		}
	}
	if text := o.do(other, "ListUsers", `{}`); text != `{"Users":[]}` {
		t.Errorf("got %s", text)
	}
	o.do(other, "CreateUser", `{"User":"jo"}`) // names are an account's own
	if after := o.do(tenant, "GetUser", `{"User":"jo"}`); after != before {
		t.Errorf("got %s, before %s", after, before)
	}
}
