package control_test

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/control"
	"sluice/internal/mailmanager"
	"sluice/internal/secretsmanager"
	"sluice/internal/store"
)

// resourcePolicy is the one that Mail Manager's guide asks for.
const resourcePolicy = `{"Version":"2012-10-17", "Statement":[{"Effect":"Allow","Principal":{"Service":"ses.amazonaws.com"},` +
	`"Action":["secretsmanager:GetSecretValue","secretsmanager:DescribeSecret"],"Resource":"*"}]}`

const publicPolicy = `{"Statement":{"Effect":"Allow","Principal":"*","Action":"secretsmanager:GetSecretValue","Resource":"*"}}`

func secretTags(pairs ...string) (list []secretsmanager.Tag) {
	for i := 0; i < len(pairs); i += 2 {
		list = append(list, secretsmanager.Tag{Key: &pairs[i], Value: &pairs[i+1]})
	}
	return list
}

// secretARN makes a secret and returns its ARN.
func (p *plane) secretARN(name, value string) string {
	p.Helper()
	return *do[secretsmanager.CreateSecretResponse](p, "CreateSecret", secretRequest(name, value)).ARN
}

// stagesOf are the versions of a secret as DescribeSecret shows them.
func (p *plane) stagesOf(name string) map[string][]string {
	p.Helper()
	return describe(p, name).VersionIdsToStages
}

func move(name, stage, from, to string) *secretsmanager.UpdateSecretVersionStageRequest {
	in := &secretsmanager.UpdateSecretVersionStageRequest{SecretId: &name, VersionStage: &stage}
	if from != "" {
		in.RemoveFromVersionId = &from
	}
	if to != "" {
		in.MoveToVersionId = &to
	}
	return in
}

func TestUpdateSecret(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	arn := p.secretARN("s", "one")
	p.clock.advance(time.Hour)
	out := do[secretsmanager.UpdateSecretResponse](p, "UpdateSecret", &secretsmanager.UpdateSecretRequest{SecretId: &arn, ClientRequestToken: ptr(version2), Description: ptr("for the office"), KmsKeyId: ptr("alias/mine")})
	if diff := cmp.Diff(&secretsmanager.UpdateSecretResponse{ARN: &arn, Name: ptr("s")}, out); diff != "" {
		t.Errorf("without a value (-want +got):\n%s", diff)
	}
	got := describe(p, "s")
	if *got.Description != "for the office" || *got.KmsKeyId != "alias/mine" || got.LastChangedDate.Sub(*got.CreatedDate) != time.Hour || len(got.VersionIdsToStages) != 1 {
		t.Errorf("got %s", text(t, got))
	}
	value := &secretsmanager.UpdateSecretRequest{SecretId: &arn, ClientRequestToken: ptr(version2), SecretString: ptr(secretsmanager.SecretString("two"))}
	for range 2 { // the second is a retry
		out = do[secretsmanager.UpdateSecretResponse](p, "UpdateSecret", value)
		if diff := cmp.Diff(&secretsmanager.UpdateSecretResponse{ARN: &arn, Name: ptr("s"), VersionId: ptr(version2)}, out); diff != "" {
			t.Errorf("with a value (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(map[string][]string{version1: {"AWSPREVIOUS"}, version2: {"AWSCURRENT"}}, p.stagesOf("s")); diff != "" {
			t.Errorf("versions (-want +got):\n%s", diff)
		}
	}
	if got := getSecret(p, "s"); *got.SecretString != "two" || *describe(p, "s").Description != "for the office" {
		t.Errorf("got %s", text(t, got))
	}
	value.SecretString = ptr(secretsmanager.SecretString("three"))
	wantCode(t, p.refused(home, "UpdateSecret", value), secretsmanager.CodeResourceExists, version2)
	value.SecretBinary = secretsmanager.SecretBinary("three")
	wantCode(t, p.refused(home, "UpdateSecret", value), secretsmanager.CodeInvalidParameter)
	do[secretsmanager.UpdateSecretResponse](p, "UpdateSecret", &secretsmanager.UpdateSecretRequest{SecretId: &arn, SecretBinary: secretsmanager.SecretBinary{0, 255}})
	if got := getSecret(p, "s"); got.SecretString != nil || !slices.Equal(got.SecretBinary, []byte{0, 255}) || len(*got.VersionId) != 36 {
		t.Errorf("got %s", text(t, got))
	}
}

// What may not be done to a secret that is marked for deletion, and what may; and RestoreSecret gives all of it back.
func TestSecretsMarkedForDeletion(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	arn := p.secretARN("s", "one")
	do[secretsmanager.PutResourcePolicyResponse](p, "PutResourcePolicy", &secretsmanager.PutResourcePolicyRequest{SecretId: &arn, ResourcePolicy: ptr(resourcePolicy)})
	restore := &secretsmanager.RestoreSecretRequest{SecretId: &arn}
	want := &secretsmanager.RestoreSecretResponse{ARN: &arn, Name: ptr("s")}
	if diff := cmp.Diff(want, do[secretsmanager.RestoreSecretResponse](p, "RestoreSecret", restore)); diff != "" {
		t.Errorf("what is not deleted (-want +got):\n%s", diff)
	}
	before := describe(p, "s")
	deleted := do[secretsmanager.DeleteSecretResponse](p, "DeleteSecret", &secretsmanager.DeleteSecretRequest{SecretId: &arn})
	if days := deleted.DeletionDate.Sub(p.clock.Now()).Round(time.Hour); days != 30*24*time.Hour {
		t.Errorf("the window is %v by default, want 30 days", days)
	}
	for operation, in := range map[string]any{
		"GetSecretValue":           &secretsmanager.GetSecretValueRequest{SecretId: &arn},
		"PutSecretValue":           putRequest(arn, version2, "two"),
		"UpdateSecret":             &secretsmanager.UpdateSecretRequest{SecretId: &arn, Description: ptr("x")},
		"UpdateSecretVersionStage": move(arn, "MINE", "", version1),
		"TagResource":              &secretsmanager.TagResourceRequest{SecretId: &arn, Tags: secretTags("a", "1")},
		"UntagResource":            &secretsmanager.UntagResourceRequest{SecretId: &arn, TagKeys: []string{"a"}},
		"PutResourcePolicy":        &secretsmanager.PutResourcePolicyRequest{SecretId: &arn, ResourcePolicy: ptr(resourcePolicy)},
		"GetResourcePolicy":        &secretsmanager.GetResourcePolicyRequest{SecretId: &arn},
		"DeleteResourcePolicy":     &secretsmanager.DeleteResourcePolicyRequest{SecretId: &arn},
		"DeleteSecret":             &secretsmanager.DeleteSecretRequest{SecretId: &arn},
	} {
		wantCode(t, p.refused(home, operation, in), secretsmanager.CodeInvalidRequest, "because it was marked for deletion")
	}
	wantCode(t, p.refused(home, "CreateSecret", secretRequest("s", "one")), secretsmanager.CodeInvalidRequest, "scheduled for deletion")
	if got := do[secretsmanager.ListSecretVersionIdsResponse](p, "ListSecretVersionIds", &secretsmanager.ListSecretVersionIdsRequest{SecretId: &arn}); len(got.Versions) != 1 {
		t.Errorf("got versions %s", text(t, got))
	}
	if diff := cmp.Diff(want, do[secretsmanager.RestoreSecretResponse](p, "RestoreSecret", restore)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(before, describe(p, "s")); diff != "" {
		t.Errorf("what is restored (-want +got):\n%s", diff)
	}
	if got := getSecret(p, "s"); *got.SecretString != "one" {
		t.Errorf("got %s", text(t, got))
	}
}

// The worker removes what has ended, and nothing else: not what was restored in the last moment.
func TestSweepOfSecrets(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	for _, name := range []string{"kept", "ended", "restored", "later"} {
		p.secretARN(name, "x")
	}
	for name, days := range map[string]int64{"ended": 7, "restored": 7, "later": 8} {
		do[secretsmanager.DeleteSecretResponse](p, "DeleteSecret", &secretsmanager.DeleteSecretRequest{SecretId: &name, RecoveryWindowInDays: &days})
	}
	p.clock.advance(7*24*time.Hour - time.Second)
	p.sweep()
	do[secretsmanager.RestoreSecretResponse](p, "RestoreSecret", &secretsmanager.RestoreSecretRequest{SecretId: ptr("restored")})
	p.clock.advance(time.Second)
	if log := p.log.String(); strings.Contains(log, "is gone") {
		t.Errorf("too early: %s", log)
	}
	p.sweep()
	for name, want := range map[string]bool{"kept": true, "ended": false, "restored": true, "later": true} {
		_, err := p.config.Store.Named(t.Context(), home, "secret", name)
		if got := err == nil; got != want {
			t.Errorf("%s: got it there %v, want %v", name, got, want)
		}
	}
	wantCode(t, p.refused(home, "RestoreSecret", &secretsmanager.RestoreSecretRequest{SecretId: ptr("ended")}), mailmanager.CodeResourceNotFound)
}

// A secret that is as good as gone cannot be restored, though nobody has removed it yet.
func TestWhatHasEndedIsNotRestored(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	arn := p.secretARN("s", "x")
	do[secretsmanager.DeleteSecretResponse](p, "DeleteSecret", &secretsmanager.DeleteSecretRequest{SecretId: &arn, RecoveryWindowInDays: ptr(int64(7))})
	p.clock.advance(7 * 24 * time.Hour)
	wantCode(t, p.refused(home, "RestoreSecret", &secretsmanager.RestoreSecretRequest{SecretId: &arn}), mailmanager.CodeResourceNotFound)
	p.secretARN("s", "another")
	wantCode(t, p.refused(home, "RestoreSecret", &secretsmanager.RestoreSecretRequest{SecretId: &arn}), mailmanager.CodeResourceNotFound)
}

// sweptStore lets a sweep see the secrets as they are before an update is stored.
type sweptStore struct {
	rivalled
	listed chan struct{}
}

func (s *sweptStore) All(ctx context.Context, kind store.Kind) iter.Seq2[store.Resource, error] {
	return func(yield func(store.Resource, error) bool) {
		s.Store.All(ctx, kind)(yield)
		if kind == "secret" {
			select {
			case s.listed <- struct{}{}:
			default: // nobody waits for another sweep
			}
		}
	}
}

// A secret that is restored in the last moment stays, though the worker has found it ended meanwhile.
func TestSweepLeavesWhatIsBeingRestored(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	arn := p.secretARN("s", "x")
	do[secretsmanager.DeleteSecretResponse](p, "DeleteSecret", &secretsmanager.DeleteSecretRequest{SecretId: &arn, RecoveryWindowInDays: ptr(int64(7))})
	p.clock.advance(7*24*time.Hour - time.Second)
	var swept *sweptStore
	p.reopen(func(s store.Store) store.Store { swept = &sweptStore{rivalled: rivalled{Store: s}}; return swept })
	done := make(chan struct{})
	swept.listed = make(chan struct{}, 1)
	swept.rival = func() {
		p.clock.advance(time.Second)
		go func() {
			defer close(done)
			p.sweep()
		}()
		<-swept.listed
	}
	do[secretsmanager.RestoreSecretResponse](p, "RestoreSecret", &secretsmanager.RestoreSecretRequest{SecretId: &arn})
	<-done
	if got := getSecret(p, "s"); *got.SecretString != "x" {
		t.Errorf("got %s", text(t, got))
	}
}

func TestUpdateSecretVersionStage(t *testing.T) {
	t.Parallel()
	begin := map[string][]string{version1: {"AWSPREVIOUS"}, version2: {"AWSCURRENT"}, version3: {"AWSPENDING"}}
	unknown := strings.Replace(version1, "1", "9", 1)
	tests := []struct {
		name            string
		stage, from, to string
		want            map[string][]string
		code            mailmanager.Code // of the error, if there is one
	}{
		{"the end of a rotation", "AWSCURRENT", version2, version3, map[string][]string{version2: {"AWSPREVIOUS"}, version3: {"AWSPENDING", "AWSCURRENT"}}, ""},
		{"back to the one before", "AWSCURRENT", version2, version1, map[string][]string{version1: {"AWSCURRENT"}, version2: {"AWSPREVIOUS"}, version3: {"AWSPENDING"}}, ""},
		{"removed", "AWSPENDING", version3, "", map[string][]string{version1: {"AWSPREVIOUS"}, version2: {"AWSCURRENT"}}, ""},
		{"a new one", "MINE", "", version1, map[string][]string{version1: {"AWSPREVIOUS", "MINE"}, version2: {"AWSCURRENT"}, version3: {"AWSPENDING"}}, ""},
		{"one of ours moved", "AWSPENDING", version3, version1, map[string][]string{version1: {"AWSPREVIOUS", "AWSPENDING"}, version2: {"AWSCURRENT"}}, ""},
		{"where it is", "AWSCURRENT", "", version2, begin, ""},
		{"from where it is to there", "AWSCURRENT", version2, version2, begin, ""},
		{"neither from nor to", "AWSCURRENT", "", "", begin, secretsmanager.CodeInvalidParameter},
		{"without saying from where", "AWSCURRENT", "", version3, begin, secretsmanager.CodeInvalidParameter},
		{"another without saying from where", "AWSPENDING", "", version1, begin, secretsmanager.CodeInvalidParameter},
		{"from elsewhere", "AWSCURRENT", version1, version3, begin, secretsmanager.CodeInvalidParameter},
		{"from elsewhere to where it is", "AWSCURRENT", version1, version2, begin, secretsmanager.CodeInvalidParameter},
		{"from nowhere", "MINE", version1, version2, begin, secretsmanager.CodeInvalidParameter},
		{"the current one removed", "AWSCURRENT", version2, "", begin, secretsmanager.CodeInvalidParameter},
		{"to an unknown version", "AWSCURRENT", version2, unknown, begin, mailmanager.CodeResourceNotFound},
		{"from an unknown version", "AWSCURRENT", unknown, version3, begin, mailmanager.CodeResourceNotFound},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := newPlane(t)
			arn := p.secretARN("s", "one")
			do[secretsmanager.PutSecretValueResponse](p, "PutSecretValue", putRequest("s", version2, "two"))
			pending := putRequest("s", version3, "three")
			pending.VersionStages = []string{"AWSPENDING"}
			do[secretsmanager.PutSecretValueResponse](p, "PutSecretValue", pending)
			out, err := p.call(home, "UpdateSecretVersionStage", move("s", test.stage, test.from, test.to))
			if test.code != "" {
				wantCode(t, err, test.code)
			} else if diff := cmp.Diff(&secretsmanager.UpdateSecretVersionStageResponse{ARN: &arn, Name: ptr("s")}, out); err != nil || diff != "" {
				t.Errorf("error %v (-want +got):\n%s", err, diff)
			}
			if diff := cmp.Diff(test.want, p.stagesOf("s")); diff != "" {
				t.Errorf("stages (-want +got):\n%s", diff)
			}
		})
	}
}

func TestStagesOfASecretAreBounded(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	p.secretARN("s", "one")
	many := putRequest("s", version2, "two")
	for i := range 19 {
		many.VersionStages = append(many.VersionStages, fmt.Sprint("stage-", i))
	}
	do[secretsmanager.PutSecretValueResponse](p, "PutSecretValue", many)
	wantCode(t, p.refused(home, "UpdateSecretVersionStage", move("s", "one-more", "", version1)), secretsmanager.CodeLimitExceeded, "20")
	more := putRequest("s", version3, "three")
	more.VersionStages = []string{"one-more"}
	wantCode(t, p.refused(home, "PutSecretValue", more), secretsmanager.CodeLimitExceeded, "20")
	wantCode(t, p.refused(home, "PutSecretValue", putRequest("s", version3, "three")), secretsmanager.CodeLimitExceeded, "20") // AWSPREVIOUS is one, too
	do[secretsmanager.UpdateSecretVersionStageResponse](p, "UpdateSecretVersionStage", move("s", "stage-0", version2, ""))
	do[secretsmanager.PutSecretValueResponse](p, "PutSecretValue", putRequest("s", version3, "three"))
}

func TestListSecretVersionIds(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	arn := p.secretARN("s", "one")
	var all []string
	for i := range 5 {
		p.clock.advance(time.Second)
		id := fmt.Sprintf("%032d", i)
		all = append(all, id)
		do[secretsmanager.PutSecretValueResponse](p, "PutSecretValue", putRequest("s", id, id))
	}
	all = append([]string{version1}, all...)
	list := func(deprecated bool, size int32) (ids []string) {
		in := &secretsmanager.ListSecretVersionIdsRequest{SecretId: ptr("s"), IncludeDeprecated: &deprecated, MaxResults: &size}
		for {
			out := do[secretsmanager.ListSecretVersionIdsResponse](p, "ListSecretVersionIds", in)
			if *out.ARN != arn || *out.Name != "s" || len(out.Versions) > int(size) {
				t.Errorf("got %s", text(t, out))
			}
			for _, v := range out.Versions {
				ids = append(ids, *v.VersionId)
			}
			if in.NextToken = out.NextToken; in.NextToken == nil {
				return ids
			}
		}
	}
	for _, size := range []int32{1, 2, 3, 100} {
		if diff := cmp.Diff(all, list(true, size)); diff != "" {
			t.Errorf("all, by %d (-want +got):\n%s", size, diff)
		}
		if diff := cmp.Diff(all[4:], list(false, size)); diff != "" {
			t.Errorf("those with stages, by %d (-want +got):\n%s", size, diff)
		}
	}
	p.secretARN("other", "x")
	first := do[secretsmanager.ListSecretVersionIdsResponse](p, "ListSecretVersionIds", &secretsmanager.ListSecretVersionIdsRequest{SecretId: ptr("s"), MaxResults: ptr(int32(1))})
	for _, token := range []*string{first.NextToken, ptr("x")} { // of another secret
		wantCode(t, p.refused(home, "ListSecretVersionIds", &secretsmanager.ListSecretVersionIdsRequest{SecretId: ptr("other"), NextToken: token}), secretsmanager.CodeInvalidNextToken)
	}
}

func TestSecretTags(t *testing.T) {
	t.Parallel()
	p := newPlane(t, limits(control.Limits{Tags: 3}))
	arn := p.secretARN("s", "x")
	tag := func(pairs ...string) *secretsmanager.TagResourceRequest {
		return &secretsmanager.TagResourceRequest{SecretId: &arn, Tags: secretTags(pairs...)}
	}
	do[secretsmanager.TagResourceResponse](p, "TagResource", tag("a", "1", "b", "2"))
	do[secretsmanager.TagResourceResponse](p, "TagResource", tag("b", "3", "c", ""))
	wantCode(t, p.refused(home, "TagResource", tag("d", "4")), secretsmanager.CodeInvalidParameter, "tags_per_resource")
	wantCode(t, p.refused(home, "TagResource", tag("aws:x", "4")), secretsmanager.CodeInvalidParameter)
	wantCode(t, p.refused(home, "TagResource", tag("a", "4", "a", "5")), secretsmanager.CodeInvalidParameter)
	if diff := cmp.Diff(secretTags("a", "1", "b", "3", "c", ""), describe(p, "s").Tags); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	do[secretsmanager.UntagResourceResponse](p, "UntagResource", &secretsmanager.UntagResourceRequest{SecretId: &arn, TagKeys: []string{"a", "c", "none"}})
	if diff := cmp.Diff(secretTags("b", "3"), describe(p, "s").Tags); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, operation := range []any{&secretsmanager.TagResourceRequest{SecretId: ptr("none"), Tags: secretTags("a", "1")}, &secretsmanager.UntagResourceRequest{SecretId: ptr("none"), TagKeys: []string{"a"}}} {
		name := strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%T", operation), "*secretsmanager."), "Request")
		wantCode(t, p.refused(home, name, operation), mailmanager.CodeResourceNotFound)
	}
}

func TestResourcePolicies(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	arn := p.secretARN("s", "x")
	get := func() *string {
		return do[secretsmanager.GetResourcePolicyResponse](p, "GetResourcePolicy", &secretsmanager.GetResourcePolicyRequest{SecretId: ptr("s")}).ResourcePolicy
	}
	put := func(policy string, block bool) *secretsmanager.PutResourcePolicyRequest {
		return &secretsmanager.PutResourcePolicyRequest{SecretId: &arn, ResourcePolicy: &policy, BlockPublicPolicy: &block}
	}
	if got := get(); got != nil {
		t.Errorf("got %s of none", *got)
	}
	do[secretsmanager.DeleteResourcePolicyResponse](p, "DeleteResourcePolicy", &secretsmanager.DeleteResourcePolicyRequest{SecretId: &arn})
	want := &secretsmanager.PutResourcePolicyResponse{ARN: &arn, Name: ptr("s")}
	if diff := cmp.Diff(want, do[secretsmanager.PutResourcePolicyResponse](p, "PutResourcePolicy", put(resourcePolicy, true))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for text, code := range map[string]mailmanager.Code{
		"{": secretsmanager.CodeMalformedPolicy, "[]": secretsmanager.CodeMalformedPolicy, "{}": secretsmanager.CodeMalformedPolicy,
		publicPolicy: secretsmanager.CodePublicPolicy, strings.Replace(publicPolicy, "Action", "action", 1): secretsmanager.CodeMalformedPolicy,
	} {
		wantCode(t, p.refused(home, "PutResourcePolicy", put(text, true)), code)
	}
	if got := get(); got == nil || *got != resourcePolicy {
		t.Errorf("got %v, want it as it was put", got)
	}
	p.restart()
	if got := get(); got == nil || *got != resourcePolicy {
		t.Errorf("after a restart: got %v", got)
	}
	do[secretsmanager.PutResourcePolicyResponse](p, "PutResourcePolicy", put(publicPolicy, false))
	do[secretsmanager.DeleteResourcePolicyResponse](p, "DeleteResourcePolicy", &secretsmanager.DeleteResourcePolicyRequest{SecretId: &arn})
	if got := get(); got != nil {
		t.Errorf("got %s of what was deleted", *got)
	}
	if got := getSecret(p, "s"); *got.SecretString != "x" {
		t.Errorf("the value is %s", text(t, got))
	}
}

func TestValidateResourcePolicy(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	p.secretARN("s", "x")
	for policy, checks := range map[string][]string{
		resourcePolicy: nil, publicPolicy: {"PUBLIC_ACCESS"}, "{}": {"SYNTAX"},
	} {
		for _, id := range []*string{nil, ptr("s")} {
			out := do[secretsmanager.ValidateResourcePolicyResponse](p, "ValidateResourcePolicy", &secretsmanager.ValidateResourcePolicyRequest{SecretId: id, ResourcePolicy: &policy})
			var got []string
			for _, e := range out.ValidationErrors {
				got = append(got, *e.CheckName)
			}
			if diff := cmp.Diff(checks, got); diff != "" || *out.PolicyValidationPassed != (checks == nil) {
				t.Errorf("%s: got %s (-want +got):\n%s", policy, text(t, out), diff)
			}
		}
	}
	wantCode(t, p.refused(home, "ValidateResourcePolicy", &secretsmanager.ValidateResourcePolicyRequest{ResourcePolicy: ptr("x")}), secretsmanager.CodeMalformedPolicy)
	wantCode(t, p.refused(home, "ValidateResourcePolicy", &secretsmanager.ValidateResourcePolicyRequest{SecretId: ptr("none"), ResourcePolicy: ptr(resourcePolicy)}), mailmanager.CodeResourceNotFound)
}

func TestBatchGetSecretValue(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	arn := p.secretARN("relay/a", "one")
	p.secretARN("relay/b", "two")
	p.secretARN("relay/c", "three")
	p.secretARN("other", "four")
	do[secretsmanager.CreateSecretResponse](p, "CreateSecret", &secretsmanager.CreateSecretRequest{Name: ptr("relay/empty")})
	do[secretsmanager.DeleteSecretResponse](p, "DeleteSecret", &secretsmanager.DeleteSecretRequest{SecretId: ptr("relay/c")})
	show := func(out *secretsmanager.BatchGetSecretValueResponse) (lines []string) {
		for _, v := range out.SecretValues {
			lines = append(lines, fmt.Sprintf("%s=%s %v %s", *v.Name, string(*v.SecretString), v.VersionStages, *v.VersionId))
		}
		for _, e := range out.Errors {
			lines = append(lines, *e.SecretId+" "+*e.ErrorCode)
		}
		return lines
	}
	by := func(in *secretsmanager.BatchGetSecretValueRequest) *secretsmanager.BatchGetSecretValueResponse {
		t.Helper()
		return do[secretsmanager.BatchGetSecretValueResponse](p, "BatchGetSecretValue", in)
	}
	got := show(by(&secretsmanager.BatchGetSecretValueRequest{SecretIdList: []string{"none", arn, "relay/c", "other", "relay/empty"}}))
	want := []string{
		"relay/a=one [AWSCURRENT] " + version1, "other=four [AWSCURRENT] " + version1,
		"none ResourceNotFoundException", "relay/c InvalidRequestException", "relay/empty ResourceNotFoundException",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("by ids (-want +got):\n%s", diff)
	}
	in := &secretsmanager.BatchGetSecretValueRequest{Filters: []secretsmanager.Filter{{Key: ptr("name"), Values: []string{"relay/"}}}, MaxResults: ptr(int32(1))}
	got = nil
	for in.NextToken = ptr(""); in.NextToken != nil; {
		if *in.NextToken == "" {
			in.NextToken = nil
		}
		page := by(in)
		got, in.NextToken = append(got, show(page)...), page.NextToken
	}
	empty := *describe(p, "relay/empty").ARN
	want = []string{"relay/a=one [AWSCURRENT] " + version1, "relay/b=two [AWSCURRENT] " + version1, empty + " ResourceNotFoundException"}
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("by filters (-want +got):\n%s", diff)
	}
	for _, in := range []*secretsmanager.BatchGetSecretValueRequest{
		{}, {SecretIdList: []string{"a"}, Filters: in.Filters}, {SecretIdList: []string{"a"}, MaxResults: ptr(int32(1))}, {SecretIdList: []string{"a"}, NextToken: ptr("x")},
	} {
		wantCode(t, p.refused(home, "BatchGetSecretValue", in), secretsmanager.CodeInvalidParameter)
	}
	wantCode(t, p.refused(home, "BatchGetSecretValue", &secretsmanager.BatchGetSecretValueRequest{Filters: in.Filters, NextToken: ptr("x")}), secretsmanager.CodeInvalidNextToken)
}

func TestGetRandomPassword(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	const lower, upper, digits = "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "0123456789"
	marks := "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
	yes := ptr(true)
	tests := []struct {
		name   string
		in     secretsmanager.GetRandomPasswordRequest
		length int
		types  []string // each of which is there
		only   string   // what may be there, beside them
	}{
		{"by default", secretsmanager.GetRandomPasswordRequest{}, 32, []string{lower, upper, digits, marks}, ""},
		{"with a space", secretsmanager.GetRandomPasswordRequest{IncludeSpace: yes, PasswordLength: ptr(int64(5))}, 5, []string{lower, upper, digits, marks, " "}, ""},
		{"one type", secretsmanager.GetRandomPasswordRequest{ExcludeUppercase: yes, ExcludePunctuation: yes, ExcludeNumbers: yes, PasswordLength: ptr(int64(1))}, 1, []string{lower}, ""},
		{"without some", secretsmanager.GetRandomPasswordRequest{ExcludeCharacters: ptr("\"@/\\'"), PasswordLength: ptr(int64(4096))}, 4096, []string{lower, upper, digits, "!#$%&()*+,-.:;<=>?[]^_`{|}~"}, ""},
		{"without all of a type", secretsmanager.GetRandomPasswordRequest{ExcludeCharacters: ptr(digits), ExcludePunctuation: yes}, 32, []string{lower, upper}, ""},
		{"shorter than its types", secretsmanager.GetRandomPasswordRequest{RequireEachIncludedType: ptr(false), PasswordLength: ptr(int64(2))}, 2, nil, lower + upper + digits + marks},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			seen := map[string]bool{}
			for range 20 {
				got := string(*do[secretsmanager.GetRandomPasswordResponse](p, "GetRandomPassword", &test.in).RandomPassword)
				if len(got) != test.length || strings.Trim(got, strings.Join(test.types, "")+test.only) != "" {
					t.Errorf("got %q", got)
				}
				for _, each := range test.types {
					if !strings.ContainsAny(got, each) {
						t.Errorf("got %q, without any of %s", got, each)
					}
				}
				seen[got] = true
			}
			if len(seen) < 2 {
				t.Error("got one password again and again")
			}
		})
	}
	all := &secretsmanager.GetRandomPasswordRequest{ExcludeUppercase: yes, ExcludePunctuation: yes, ExcludeNumbers: yes, ExcludeLowercase: yes}
	wantCode(t, p.refused(home, "GetRandomPassword", all), secretsmanager.CodeInvalidParameter)
	wantCode(t, p.refused(home, "GetRandomPassword", &secretsmanager.GetRandomPasswordRequest{PasswordLength: ptr(int64(3))}), secretsmanager.CodeInvalidParameter)
}
