package control_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/mailmanager"
	"sluice/internal/secretsmanager"
	"sluice/internal/store"
)

const (
	version1 = "11111111-1111-4111-8111-111111111111"
	version2 = "22222222-2222-4222-8222-222222222222"
	version3 = "33333333-3333-4333-8333-333333333333"
)

func secretRequest(name, value string) *secretsmanager.CreateSecretRequest {
	return &secretsmanager.CreateSecretRequest{Name: &name, ClientRequestToken: ptr(version1), SecretString: (*secretsmanager.SecretString)(&value)}
}

func putRequest(name, version, value string) *secretsmanager.PutSecretValueRequest {
	return &secretsmanager.PutSecretValueRequest{SecretId: &name, ClientRequestToken: &version, SecretString: (*secretsmanager.SecretString)(&value)}
}

func getSecret(p *plane, id string) *secretsmanager.GetSecretValueResponse {
	p.Helper()
	return do[secretsmanager.GetSecretValueResponse](p, "GetSecretValue", &secretsmanager.GetSecretValueRequest{SecretId: &id})
}

func describe(p *plane, id string) *secretsmanager.DescribeSecretResponse {
	p.Helper()
	return do[secretsmanager.DescribeSecretResponse](p, "DescribeSecret", &secretsmanager.DescribeSecretRequest{SecretId: &id})
}

func TestSecretReadsBackByNameAndARN(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	in := secretRequest("smtp/office", "hunter2")
	in.Description, in.Tags = ptr("for the office"), []secretsmanager.Tag{{Key: ptr("team"), Value: ptr("a")}}
	made := do[secretsmanager.CreateSecretResponse](p, "CreateSecret", in)
	if !regexp.MustCompile(`^arn:aws:secretsmanager:eu-west-1:111111111111:secret:smtp/office-[A-Za-z0-9]{6}$`).MatchString(*made.ARN) || *made.VersionId != version1 {
		t.Errorf("got %s", text(t, made))
	}
	partial := strings.TrimSuffix(*made.ARN, (*made.ARN)[len(*made.ARN)-7:])
	created := time.Date(2026, 11, 22, 10, 0, 0, 123000000, time.UTC)
	want := &secretsmanager.GetSecretValueResponse{ARN: made.ARN, Name: in.Name, VersionId: ptr(version1), SecretString: in.SecretString,
		VersionStages: []string{"AWSCURRENT"}, CreatedDate: &created}
	for _, id := range []string{"smtp/office", *made.ARN, partial} {
		if diff := cmp.Diff(want, getSecret(p, id)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", id, diff)
		}
	}
	for _, arn := range []string{*made.ARN, partial} {
		if value, err := p.Secret(t.Context(), home, arn); err != nil || value != "hunter2" {
			t.Errorf("Secret(%s): got %q, %v", arn, value, err)
		}
	}
	wantDescription := &secretsmanager.DescribeSecretResponse{ARN: made.ARN, Name: in.Name, Description: in.Description, RotationEnabled: ptr(false),
		LastChangedDate: &created, CreatedDate: &created, Tags: in.Tags, VersionIdsToStages: map[string][]string{version1: {"AWSCURRENT"}}}
	if diff := cmp.Diff(wantDescription, describe(p, *made.ARN)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// The ARN of another account's secret is not one's own secret of the same name.
func TestForeignARNsAreNotOwnSecrets(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	do[secretsmanager.CreateSecretResponse](p, "CreateSecret", secretRequest("s", "mine"))
	for _, arn := range []string{
		"arn:aws:secretsmanager:eu-west-1:222222222222:secret:s", "arn:aws:secretsmanager:us-east-1:111111111111:secret:s",
		"arn:aws-cn:secretsmanager:eu-west-1:111111111111:secret:s", "arn:aws:ses:eu-west-1:111111111111:secret:s",
		"arn:aws:secretsmanager:eu-west-1:111111111111:s",
	} {
		if value, err := p.Secret(t.Context(), home, arn); err == nil {
			t.Errorf("%s: got %q", arn, value)
		}
	}
}

// A name may look as if it had a suffix of its own.
func TestSecretNamesThatLookLikeARNs(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	long := do[secretsmanager.CreateSecretResponse](p, "CreateSecret", secretRequest("a-secret", "long"))
	short := do[secretsmanager.CreateSecretResponse](p, "CreateSecret", secretRequest("a", "short"))
	prefix := "arn:aws:secretsmanager:eu-west-1:111111111111:secret:"
	for arn, want := range map[string]string{*long.ARN: "long", *short.ARN: "short", prefix + "a-secret": "long", prefix + "a": "short"} {
		if got, err := p.Secret(t.Context(), home, arn); err != nil || got != want {
			t.Errorf("%s: got %q, %v, want %q", arn, got, err, want)
		}
	}
	if value, err := p.Secret(t.Context(), home, prefix+"a-AAAAAA"); err == nil {
		t.Errorf("another suffix: got %q", value)
	}
}

func TestSecretVersions(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	do[secretsmanager.CreateSecretResponse](p, "CreateSecret", secretRequest("s", "one"))
	p.clock.advance(time.Minute)
	put := do[secretsmanager.PutSecretValueResponse](p, "PutSecretValue", putRequest("s", version2, "two"))
	if diff := cmp.Diff([]string{"AWSCURRENT"}, put.VersionStages); diff != "" || *put.VersionId != version2 {
		t.Errorf("got %s", text(t, put))
	}
	wantStages := func(want map[string][]string) {
		t.Helper()
		if diff := cmp.Diff(want, describe(p, "s").VersionIdsToStages); diff != "" {
			t.Errorf("stages (-want +got):\n%s", diff)
		}
	}
	wantStages(map[string][]string{version1: {"AWSPREVIOUS"}, version2: {"AWSCURRENT"}})
	pending := putRequest("s", version3, "three")
	pending.VersionStages = []string{"PENDING"}
	do[secretsmanager.PutSecretValueResponse](p, "PutSecretValue", pending)
	wantStages(map[string][]string{version1: {"AWSPREVIOUS"}, version2: {"AWSCURRENT"}, version3: {"PENDING"}})
	for _, test := range []struct {
		version, stage *string
		want           string
	}{{nil, nil, "two"}, {nil, ptr("AWSPREVIOUS"), "one"}, {ptr(version3), nil, "three"}, {ptr(version1), ptr("AWSPREVIOUS"), "one"}} {
		got := do[secretsmanager.GetSecretValueResponse](p, "GetSecretValue", &secretsmanager.GetSecretValueRequest{SecretId: ptr("s"), VersionId: test.version, VersionStage: test.stage})
		if string(*got.SecretString) != test.want {
			t.Errorf("%v, %v: got %q, want %q", test.version, test.stage, string(*got.SecretString), test.want)
		}
	}
	version4 := strings.ReplaceAll(version3, "3", "4")
	do[secretsmanager.PutSecretValueResponse](p, "PutSecretValue", putRequest("s", version4, "four"))
	wantStages(map[string][]string{version2: {"AWSPREVIOUS"}, version3: {"PENDING"}, version4: {"AWSCURRENT"}})
	if got := do[secretsmanager.GetSecretValueResponse](p, "GetSecretValue", &secretsmanager.GetSecretValueRequest{SecretId: ptr("s"), VersionId: ptr(version1)}); string(*got.SecretString) != "one" {
		t.Error("a version without a stage is gone")
	}
}

func TestSecretTokensAreVersions(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	first := do[secretsmanager.CreateSecretResponse](p, "CreateSecret", secretRequest("s", "one"))
	again := do[secretsmanager.CreateSecretResponse](p, "CreateSecret", secretRequest("s", "one"))
	if diff := cmp.Diff(first, again); diff != "" {
		t.Errorf("CreateSecret again (-want +got):\n%s", diff)
	}
	wantCode(t, p.refused(home, "CreateSecret", secretRequest("s", "other")), secretsmanager.CodeResourceExists)
	other := secretRequest("s", "one")
	other.ClientRequestToken = ptr(version2)
	wantCode(t, p.refused(home, "CreateSecret", other), secretsmanager.CodeResourceExists)
	other.ClientRequestToken, other.SecretString = nil, nil
	wantCode(t, p.refused(home, "CreateSecret", other), secretsmanager.CodeResourceExists)

	put := do[secretsmanager.PutSecretValueResponse](p, "PutSecretValue", putRequest("s", version2, "two"))
	if diff := cmp.Diff(put, do[secretsmanager.PutSecretValueResponse](p, "PutSecretValue", putRequest("s", version2, "two"))); diff != "" {
		t.Errorf("PutSecretValue again (-want +got):\n%s", diff)
	}
	wantCode(t, p.refused(home, "PutSecretValue", putRequest("s", version2, "other")), secretsmanager.CodeResourceExists)
}

func TestConcurrentSecretsOfOneNameAreOne(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	const callers = 8 // with each of two values: those with the value that came first are answered alike
	var made atomic.Int32
	var all sync.WaitGroup
	for i := range 2 * callers {
		all.Go(func() {
			if _, err := p.call(home, "CreateSecret", secretRequest("s", []string{"one", "two"}[i%2])); err != nil {
				wantCode(t, err, secretsmanager.CodeResourceExists)
				return
			}
			made.Add(1)
		})
	}
	all.Wait()
	if made.Load() != callers {
		t.Errorf("%d calls succeeded, want %d", made.Load(), callers)
	}
	if list := do[secretsmanager.ListSecretsResponse](p, "ListSecrets", &secretsmanager.ListSecretsRequest{}).SecretList; len(list) != 1 {
		t.Errorf("got %d secrets, want 1", len(list))
	}
}

func TestBinaryAndEmptySecrets(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	binary := &secretsmanager.CreateSecretRequest{Name: ptr("binary"), SecretBinary: secretsmanager.SecretBinary{0, 255}}
	made := do[secretsmanager.CreateSecretResponse](p, "CreateSecret", binary)
	if got := getSecret(p, "binary"); string(got.SecretBinary) != "\x00\xff" || got.SecretString != nil {
		t.Errorf("got %v", []byte(got.SecretBinary))
	}
	if _, err := p.Secret(t.Context(), home, *made.ARN); err == nil || !strings.Contains(err.Error(), "binary") {
		t.Errorf("at run time: got %v", err)
	}
	empty := do[secretsmanager.CreateSecretResponse](p, "CreateSecret", &secretsmanager.CreateSecretRequest{Name: ptr("empty")})
	if empty.VersionId != nil {
		t.Errorf("got version %s of nothing", *empty.VersionId)
	}
	wantCode(t, p.refused(home, "GetSecretValue", &secretsmanager.GetSecretValueRequest{SecretId: ptr("empty")}), mailmanager.CodeResourceNotFound)
	first := putRequest("empty", version1, "x")
	first.VersionStages = []string{"MINE"}
	got := do[secretsmanager.PutSecretValueResponse](p, "PutSecretValue", first)
	if diff := cmp.Diff([]string{"MINE", "AWSCURRENT"}, got.VersionStages); diff != "" {
		t.Errorf("the first version is current in any case (-want +got):\n%s", diff)
	}
}

func TestSecretRefusals(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	do[secretsmanager.CreateSecretResponse](p, "CreateSecret", secretRequest("s", "one"))
	both := secretRequest("both", "x")
	both.SecretBinary = []byte("x")
	tagged := func(keys ...string) *secretsmanager.CreateSecretRequest {
		in := secretRequest("tagged", "x")
		for _, key := range keys {
			in.Tags = append(in.Tags, secretTags(key, "v")...)
		}
		return in
	}
	var many []string
	for i := range 51 {
		many = append(many, fmt.Sprint(i))
	}
	unknown := "arn:aws:secretsmanager:eu-west-1:111111111111:secret:none-AAAAAA"
	tests := []struct {
		name, operation string
		in              any
		want            mailmanager.Code
	}{
		{"a name with a space", "CreateSecret", secretRequest("a b", "x"), secretsmanager.CodeInvalidParameter},
		{"text and binary", "CreateSecret", both, secretsmanager.CodeInvalidParameter},
		{"a key of AWS's", "CreateSecret", tagged("aws:x"), secretsmanager.CodeInvalidParameter},
		{"a key twice", "CreateSecret", tagged("a", "a"), secretsmanager.CodeInvalidParameter},
		{"51 tags", "CreateSecret", tagged(many...), secretsmanager.CodeInvalidParameter},
		{"put nothing", "PutSecretValue", &secretsmanager.PutSecretValueRequest{SecretId: ptr("s")}, secretsmanager.CodeInvalidParameter},
		{"put to an unknown name", "PutSecretValue", putRequest("none", version2, "x"), mailmanager.CodeResourceNotFound},
		{"get an unknown name", "GetSecretValue", &secretsmanager.GetSecretValueRequest{SecretId: ptr("none")}, mailmanager.CodeResourceNotFound},
		{"get an unknown ARN", "GetSecretValue", &secretsmanager.GetSecretValueRequest{SecretId: &unknown}, mailmanager.CodeResourceNotFound},
		{"get what is no secret's ARN", "GetSecretValue", &secretsmanager.GetSecretValueRequest{SecretId: ptr("arn:aws:ses:eu-west-1:111111111111:secret:s")}, mailmanager.CodeResourceNotFound},
		{"get half an ARN", "GetSecretValue", &secretsmanager.GetSecretValueRequest{SecretId: ptr("arn:aws")}, mailmanager.CodeResourceNotFound},
		{"get an unknown version", "GetSecretValue", &secretsmanager.GetSecretValueRequest{SecretId: ptr("s"), VersionId: ptr(version2)}, mailmanager.CodeResourceNotFound},
		{"get an unknown stage", "GetSecretValue", &secretsmanager.GetSecretValueRequest{SecretId: ptr("s"), VersionStage: ptr("AWSPREVIOUS")}, mailmanager.CodeResourceNotFound},
		{"get a version by a stage it has not", "GetSecretValue", &secretsmanager.GetSecretValueRequest{SecretId: ptr("s"), VersionId: ptr(version1), VersionStage: ptr("X")}, mailmanager.CodeResourceNotFound},
		{"describe an unknown name", "DescribeSecret", &secretsmanager.DescribeSecretRequest{SecretId: ptr("none")}, mailmanager.CodeResourceNotFound},
		{"delete an unknown name", "DeleteSecret", &secretsmanager.DeleteSecretRequest{SecretId: ptr("none")}, mailmanager.CodeResourceNotFound},
		{"too short a window", "DeleteSecret", &secretsmanager.DeleteSecretRequest{SecretId: ptr("s"), RecoveryWindowInDays: ptr(int64(6))}, secretsmanager.CodeInvalidParameter},
		{"too long a window", "DeleteSecret", &secretsmanager.DeleteSecretRequest{SecretId: ptr("s"), RecoveryWindowInDays: ptr(int64(31))}, secretsmanager.CodeInvalidParameter},
		{"a window and force", "DeleteSecret", &secretsmanager.DeleteSecretRequest{SecretId: ptr("s"), RecoveryWindowInDays: ptr(int64(7)), ForceDeleteWithoutRecovery: ptr(true)}, secretsmanager.CodeInvalidParameter},
		{"a foreign page token", "ListSecrets", &secretsmanager.ListSecretsRequest{NextToken: ptr("x")}, secretsmanager.CodeInvalidNextToken},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			wantCode(t, p.refused(home, test.operation, test.in), test.want)
		})
	}
	for _, arn := range []string{"s", unknown, ""} {
		if value, err := p.Secret(t.Context(), home, arn); err == nil {
			t.Errorf("Secret(%q): got %q", arn, value)
		}
	}
}

func TestDeletedSecretsAreKeptForTheirWindow(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	made := do[secretsmanager.CreateSecretResponse](p, "CreateSecret", secretRequest("s", "one"))
	deleted := do[secretsmanager.DeleteSecretResponse](p, "DeleteSecret", &secretsmanager.DeleteSecretRequest{SecretId: made.ARN, RecoveryWindowInDays: ptr(int64(7))})
	end := time.Date(2026, 11, 29, 10, 0, 0, 123000000, time.UTC)
	if !deleted.DeletionDate.Equal(end) || !describe(p, "s").DeletedDate.Equal(end) {
		t.Errorf("got %s, want %v", text(t, deleted), end)
	}
	wantCode(t, p.refused(home, "GetSecretValue", &secretsmanager.GetSecretValueRequest{SecretId: ptr("s")}), secretsmanager.CodeInvalidRequest)
	wantCode(t, p.refused(home, "PutSecretValue", putRequest("s", version2, "two")), secretsmanager.CodeInvalidRequest)
	wantCode(t, p.refused(home, "CreateSecret", secretRequest("s", "one")), secretsmanager.CodeInvalidRequest)
	wantCode(t, p.refused(home, "DeleteSecret", &secretsmanager.DeleteSecretRequest{SecretId: ptr("s")}), secretsmanager.CodeInvalidRequest)
	if _, err := p.Secret(t.Context(), home, *made.ARN); err == nil {
		t.Error("at run time: got a value")
	}
	for include, want := range map[bool]int{false: 0, true: 1} {
		if list := do[secretsmanager.ListSecretsResponse](p, "ListSecrets", &secretsmanager.ListSecretsRequest{IncludePlannedDeletion: &include}).SecretList; len(list) != want {
			t.Errorf("list with planned deletions %v: got %d, want %d", include, len(list), want)
		}
	}
	p.clock.advance(7 * 24 * time.Hour)
	if list := do[secretsmanager.ListSecretsResponse](p, "ListSecrets", &secretsmanager.ListSecretsRequest{IncludePlannedDeletion: ptr(true)}).SecretList; len(list) != 0 {
		t.Errorf("after the window: got %d secrets", len(list))
	}
	wantCode(t, p.refused(home, "DescribeSecret", &secretsmanager.DescribeSecretRequest{SecretId: ptr("s")}), mailmanager.CodeResourceNotFound)
	again := do[secretsmanager.CreateSecretResponse](p, "CreateSecret", secretRequest("s", "new"))
	if *again.ARN == *made.ARN {
		t.Error("the new secret has the ARN of the old one")
	}
	if value, err := p.Secret(t.Context(), home, *made.ARN); err == nil {
		t.Errorf("the ARN of the old secret gives %q", value)
	}
}

func TestSecretsAreDeletedAtOnceByForce(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	do[secretsmanager.CreateSecretResponse](p, "CreateSecret", secretRequest("s", "one"))
	force := &secretsmanager.DeleteSecretRequest{SecretId: ptr("s"), ForceDeleteWithoutRecovery: ptr(true)}
	for range 2 { // the second time there is none, and that is no error
		do[secretsmanager.DeleteSecretResponse](p, "DeleteSecret", force)
	}
	do[secretsmanager.CreateSecretResponse](p, "CreateSecret", secretRequest("s", "two"))
}

func TestSweepRemovesWhatHasEnded(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	for _, name := range []string{"stays", "goes"} {
		do[secretsmanager.CreateSecretResponse](p, "CreateSecret", secretRequest(name, "v"))
	}
	do[secretsmanager.DeleteSecretResponse](p, "DeleteSecret", &secretsmanager.DeleteSecretRequest{SecretId: ptr("goes")})
	p.clock.advance(30 * 24 * time.Hour)
	p.sweep()
	var left []string
	for r, err := range p.config.Store.All(t.Context(), "secret") {
		if err != nil {
			t.Fatal(err)
		}
		left = append(left, r.Name)
	}
	if diff := cmp.Diff([]string{"stays"}, left); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestListSecretsPagesAndFilters(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	for i := range 5 {
		in := secretRequest(fmt.Sprint("prod/", i), "v")
		if i%2 == 1 {
			*in.Name, in.Description = fmt.Sprint("test/", i), ptr("Odd")
			in.Tags = []secretsmanager.Tag{{Key: ptr("team"), Value: ptr("odd")}}
		}
		do[secretsmanager.CreateSecretResponse](p, "CreateSecret", in)
		p.clock.advance(time.Second)
	}
	filter := func(key string, values ...string) []secretsmanager.Filter {
		return []secretsmanager.Filter{{Key: &key, Values: values}}
	}
	tests := []struct {
		name string
		in   secretsmanager.ListSecretsRequest
		want string
	}{
		{"all", secretsmanager.ListSecretsRequest{}, "prod/0 test/1 prod/2 test/3 prod/4"},
		{"newest first", secretsmanager.ListSecretsRequest{SortOrder: ptr("desc")}, "prod/4 test/3 prod/2 test/1 prod/0"},
		{"by name", secretsmanager.ListSecretsRequest{Filters: filter("name", "test/")}, "test/1 test/3"},
		{"by one of two names", secretsmanager.ListSecretsRequest{Filters: filter("name", "test/1", "prod/4")}, "test/1 prod/4"},
		{"not by name", secretsmanager.ListSecretsRequest{Filters: filter("name", "!test/")}, "prod/0 prod/2 prod/4"},
		{"by two filters", secretsmanager.ListSecretsRequest{Filters: append(filter("tag-key", "team"), filter("name", "test/3")...)}, "test/3"},
		{"by tag value", secretsmanager.ListSecretsRequest{Filters: filter("tag-value", "odd")}, "test/1 test/3"},
		{"by description", secretsmanager.ListSecretsRequest{Filters: filter("description", "Odd")}, "test/1 test/3"},
		{"by description in other letters", secretsmanager.ListSecretsRequest{Filters: filter("description", "oDD")}, "test/1 test/3"},
		{"not by description in other letters", secretsmanager.ListSecretsRequest{Filters: filter("description", "!oDD")}, "prod/0 prod/2 prod/4"},
		{"by name in other letters", secretsmanager.ListSecretsRequest{Filters: filter("name", "TEST/")}, ""},
		{"by tag in other letters", secretsmanager.ListSecretsRequest{Filters: filter("tag-key", "TEAM")}, ""},
		{"by anything", secretsmanager.ListSecretsRequest{Filters: filter("all", "Odd")}, "test/1 test/3"},
		{"by anything in other letters", secretsmanager.ListSecretsRequest{Filters: filter("all", "TEST/")}, "test/1 test/3"},
		{"by owner", secretsmanager.ListSecretsRequest{Filters: filter("owning-service", "x")}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for _, size := range []int32{1, 2, 100} {
				in := test.in
				in.MaxResults = &size
				var got []string
				for {
					page := do[secretsmanager.ListSecretsResponse](p, "ListSecrets", &in)
					for _, s := range page.SecretList {
						got = append(got, *s.Name)
					}
					if in.NextToken = page.NextToken; in.NextToken == nil {
						break
					}
				}
				if strings.Join(got, " ") != test.want {
					t.Errorf("pages of %d: got %v, want %s", size, got, test.want)
				}
			}
		})
	}
}

func TestIdleVersionsAreBounded(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	do[secretsmanager.CreateSecretResponse](p, "CreateSecret", secretRequest("s", "first"))
	for i := range 104 { // one is current, one previous, 100 idle: the first three have gone
		do[secretsmanager.PutSecretValueResponse](p, "PutSecretValue", putRequest("s", fmt.Sprintf("%032d", i), fmt.Sprint(i)))
	}
	for version, there := range map[string]bool{version1: false, fmt.Sprintf("%032d", 1): false, fmt.Sprintf("%032d", 2): true, fmt.Sprintf("%032d", 103): true} {
		_, err := p.call(home, "GetSecretValue", &secretsmanager.GetSecretValueRequest{SecretId: ptr("s"), VersionId: &version})
		if (err == nil) != there {
			t.Errorf("version %s: got %v, want it there: %v", version, err, there)
		}
	}
}

func TestSecretsSurviveARestart(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	made := do[secretsmanager.CreateSecretResponse](p, "CreateSecret", secretRequest("s", "one"))
	p.restart()
	if value, err := p.Secret(t.Context(), home, *made.ARN); err != nil || value != "one" {
		t.Errorf("got %q, %v", value, err)
	}
}

// S40: what is secret is in no answer but GetSecretValue's, no error, no log and not on the disk in clear.
func TestSecretsAppearNowhere(t *testing.T) {
	t.Parallel()
	ca, crl := authority(t)
	p := newPlane(t)
	const value, second, third = "the-secret-value-1", "the-secret-value-2", "the-secret-value-3"
	var seen strings.Builder
	record := func(name string, in any) any {
		out, err := p.call(home, name, in)
		fmt.Fprintf(&seen, "%s: %s %v %+v %#v\n", name, text(t, out), err, out, err)
		return out
	}
	record("CreateSecret", secretRequest("s", value))
	record("CreateSecret", secretRequest("s", "another"))
	record("PutSecretValue", putRequest("s", version2, second))
	record("PutSecretValue", putRequest("s", version2, value))
	record("DescribeSecret", &secretsmanager.DescribeSecretRequest{SecretId: ptr("s")})
	record("ListSecrets", &secretsmanager.ListSecretsRequest{})
	record("UpdateSecret", &secretsmanager.UpdateSecretRequest{SecretId: ptr("s"), ClientRequestToken: ptr(version3), SecretString: ptr(secretsmanager.SecretString(third))})
	record("UpdateSecret", &secretsmanager.UpdateSecretRequest{SecretId: ptr("s"), ClientRequestToken: ptr(version3), SecretString: ptr(secretsmanager.SecretString(value))})
	record("UpdateSecretVersionStage", &secretsmanager.UpdateSecretVersionStageRequest{SecretId: ptr("s"), VersionStage: ptr("AWSCURRENT"), RemoveFromVersionId: ptr(version3), MoveToVersionId: ptr(version1)})
	record("ListSecretVersionIds", &secretsmanager.ListSecretVersionIdsRequest{SecretId: ptr("s"), IncludeDeprecated: ptr(true)})
	record("PutResourcePolicy", &secretsmanager.PutResourcePolicyRequest{SecretId: ptr("s"), ResourcePolicy: ptr(second)})
	record("ValidateResourcePolicy", &secretsmanager.ValidateResourcePolicyRequest{ResourcePolicy: ptr(`{"` + second + `":"` + second + `"}`)})
	record("DeleteSecret", &secretsmanager.DeleteSecretRequest{SecretId: ptr("s")})
	record("PutSecretValue", putRequest("s", version2, value))
	record("RestoreSecret", &secretsmanager.RestoreSecretRequest{SecretId: ptr("s")})
	redacted, err := p.call(home, "BatchGetSecretValue", &secretsmanager.BatchGetSecretValueRequest{SecretIdList: []string{"s"}})
	fmt.Fprintf(&seen, "%v %+v\n", redacted.(*secretsmanager.BatchGetSecretValueResponse).SecretValues[0].SecretString, err)
	for _, kind := range []mailmanager.IngressPointType{mailmanager.IngressPointTypeAuth, mailmanager.IngressPointTypeMtls} {
		in := p.pointRequest("point-" + string(kind))
		in.Type, in.IngressPointConfiguration = &kind, passwordConfiguration(password)
		in.ClientToken = ptr(mailmanager.IdempotencyToken(kind))
		if kind == mailmanager.IngressPointTypeMtls {
			in.IngressPointConfiguration = trustStore(ca, crl)
		}
		id := record("CreateIngressPoint", in).(*mailmanager.CreateIngressPointResponse).IngressPointId
		p.Quiet()
		record("GetIngressPoint", &mailmanager.GetIngressPointRequest{IngressPointId: id})
		record("UpdateIngressPoint", &mailmanager.UpdateIngressPointRequest{IngressPointId: id, IngressPointConfiguration: passwordConfiguration(password)})
		p.Quiet()
		record("GetIngressPoint", &mailmanager.GetIngressPointRequest{IngressPointId: id})
	}
	record("ListIngressPoints", &mailmanager.ListIngressPointsRequest{})
	open := p.pointRequest("open")
	open.IngressPointConfiguration = passwordConfiguration(password)
	record("CreateIngressPoint", open)
	fmt.Fprintln(&seen, p.log)
	for _, secret := range []string{value, second, third, string(password), "BEGIN CERTIFICATE"} {
		if strings.Contains(seen.String(), secret) {
			t.Errorf("%q appears in %s", secret, &seen)
		}
		for _, file := range p.files() {
			if strings.Contains(file, secret) {
				t.Errorf("%q is on the disk in clear", secret)
			}
		}
	}
}

// files is the content of the database and of its log.
func (p *plane) files() (contents []string) {
	p.Helper()
	names, err := filepath.Glob(p.path + "*")
	if err != nil || len(names) == 0 {
		p.Fatalf("no files: %v", err)
	}
	for _, name := range names {
		content, err := os.ReadFile(name)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			p.Fatal(err)
		}
		contents = append(contents, string(content))
	}
	return contents
}

// A value that was moved to another place in the database does not open there.
func TestSealedValuesAreTiedToTheirPlace(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	do[secretsmanager.CreateSecretResponse](p, "CreateSecret", secretRequest("a", "of a"))
	do[secretsmanager.CreateSecretResponse](p, "CreateSecret", secretRequest("b", "of b"))
	a, errA := p.config.Store.Named(t.Context(), home, "secret", "a")
	b, errB := p.config.Store.Named(t.Context(), home, "secret", "b")
	part, errPart := p.config.Store.Part(t.Context(), a.Key, version1)
	if err := errors.Join(errA, errB, errPart); err != nil {
		t.Fatal(err)
	}
	if err := p.config.Store.Update(t.Context(), store.Change{Resource: b, Parts: map[string][]byte{version1: part}}); err != nil {
		t.Fatal(err)
	}
	out, err := p.call(home, "GetSecretValue", &secretsmanager.GetSecretValueRequest{SecretId: ptr("b")})
	if err == nil {
		t.Errorf("got %s", text(t, out))
	}
}
