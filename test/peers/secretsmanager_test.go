package peers

import (
	"errors"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/google/go-cmp/cmp"

	"sluice/internal/conform"
	"sluice/test/harness"
	"sluice/test/peers/peer"
)

// The tests of this file keep secrets through the clients of AWS as they are published: every operation that is there.

const (
	secretName   = "relay/office"
	secretPolicy = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ses.amazonaws.com"},"Action":"secretsmanager:GetSecretValue","Resource":"*"}]}`
)

func secretsOf(server *harness.Server) *secretsmanager.Client {
	own := server.MailManager().Options()
	return secretsmanager.New(secretsmanager.Options{Region: own.Region, BaseEndpoint: own.BaseEndpoint, Credentials: own.Credentials, RetryMaxAttempts: 1})
}

// refusedAs fails the test unless an error is of the type that the client has for it.
func refusedAs[E error](t *testing.T, err error) {
	t.Helper()
	var want E
	if !errors.As(err, &want) {
		t.Errorf("got %v, want a %T", err, want)
	}
}

func TestGoSDKSecretValues(t *testing.T) {
	t.Parallel()
	ctx, api := t.Context(), secretsOf(harness.Start(t))
	made := must[*secretsmanager.CreateSecretOutput](t)(api.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: aws.String(secretName), SecretString: aws.String("one"), Tags: []types.Tag{{Key: aws.String("team"), Value: aws.String("mail")}}}))
	_, err := api.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: aws.String(secretName), SecretString: aws.String("one")})
	refusedAs[*types.ResourceExistsException](t, err)
	get := func(stage string) string {
		t.Helper()
		out := must[*secretsmanager.GetSecretValueOutput](t)(api.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: made.ARN, VersionStage: aws.String(stage)}))
		return aws.ToString(out.SecretString) + string(out.SecretBinary)
	}
	put := must[*secretsmanager.PutSecretValueOutput](t)(api.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{SecretId: made.ARN, SecretString: aws.String("two")}))
	updated := must[*secretsmanager.UpdateSecretOutput](t)(api.UpdateSecret(ctx, &secretsmanager.UpdateSecretInput{SecretId: aws.String(secretName), SecretBinary: []byte("three"), Description: aws.String("for the office")}))
	if get("AWSCURRENT") != "three" || get("AWSPREVIOUS") != "two" {
		t.Errorf("got %s and %s before it", get("AWSCURRENT"), get("AWSPREVIOUS"))
	}
	must[*secretsmanager.UpdateSecretVersionStageOutput](t)(api.UpdateSecretVersionStage(ctx, &secretsmanager.UpdateSecretVersionStageInput{
		SecretId: made.ARN, VersionStage: aws.String("AWSCURRENT"), RemoveFromVersionId: updated.VersionId, MoveToVersionId: put.VersionId,
	}))
	if get("AWSCURRENT") != "two" || get("AWSPREVIOUS") != "three" {
		t.Errorf("once moved: got %s and %s before it", get("AWSCURRENT"), get("AWSPREVIOUS"))
	}
	_, err = api.UpdateSecretVersionStage(ctx, &secretsmanager.UpdateSecretVersionStageInput{SecretId: made.ARN, VersionStage: aws.String("AWSCURRENT"), MoveToVersionId: made.VersionId})
	refusedAs[*types.InvalidParameterException](t, err)
	_, err = api.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{SecretId: made.ARN, ClientRequestToken: put.VersionId, SecretString: aws.String("other")})
	refusedAs[*types.ResourceExistsException](t, err)
	_, err = api.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: aws.String("none")})
	refusedAs[*types.ResourceNotFoundException](t, err)

	var versions []string
	for pages := secretsmanager.NewListSecretVersionIdsPaginator(api, &secretsmanager.ListSecretVersionIdsInput{SecretId: made.ARN, IncludeDeprecated: aws.Bool(true), MaxResults: aws.Int32(1)}); pages.HasMorePages(); {
		for _, v := range must[*secretsmanager.ListSecretVersionIdsOutput](t)(pages.NextPage(ctx)).Versions {
			versions = append(versions, *v.VersionId+" "+strings.Join(v.VersionStages, ","))
		}
	}
	want := []string{*made.VersionId + " ", *put.VersionId + " AWSCURRENT", *updated.VersionId + " AWSPREVIOUS"}
	if diff := cmp.Diff(want, versions); diff != "" {
		t.Errorf("versions (-want +got):\n%s", diff)
	}
	batch := must[*secretsmanager.BatchGetSecretValueOutput](t)(api.BatchGetSecretValue(ctx, &secretsmanager.BatchGetSecretValueInput{SecretIdList: []string{secretName, "none"}}))
	if len(batch.SecretValues) != 1 || aws.ToString(batch.SecretValues[0].SecretString) != "two" || len(batch.Errors) != 1 || aws.ToString(batch.Errors[0].ErrorCode) != "ResourceNotFoundException" {
		t.Errorf("got %+v", batch)
	}
	random := must[*secretsmanager.GetRandomPasswordOutput](t)(api.GetRandomPassword(ctx, &secretsmanager.GetRandomPasswordInput{PasswordLength: aws.Int64(20), ExcludePunctuation: aws.Bool(true)}))
	if password := aws.ToString(random.RandomPassword); len(password) != 20 || strings.ContainsAny(password, "!/@ ") {
		t.Errorf("got the random password %q", password)
	}
}

func TestGoSDKSecretResource(t *testing.T) {
	t.Parallel()
	ctx, api := t.Context(), secretsOf(harness.Start(t))
	made := must[*secretsmanager.CreateSecretOutput](t)(api.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: aws.String(secretName), SecretString: aws.String("one")}))
	must[*secretsmanager.TagResourceOutput](t)(api.TagResource(ctx, &secretsmanager.TagResourceInput{SecretId: made.ARN, Tags: []types.Tag{{Key: aws.String("team"), Value: aws.String("mail")}, {Key: aws.String("old"), Value: aws.String("")}}}))
	must[*secretsmanager.UntagResourceOutput](t)(api.UntagResource(ctx, &secretsmanager.UntagResourceInput{SecretId: made.ARN, TagKeys: []string{"old"}}))
	policy := func() *string {
		t.Helper()
		return must[*secretsmanager.GetResourcePolicyOutput](t)(api.GetResourcePolicy(ctx, &secretsmanager.GetResourcePolicyInput{SecretId: made.ARN})).ResourcePolicy
	}
	if policy() != nil {
		t.Error("it has a policy that nobody gave it")
	}
	valid := must[*secretsmanager.ValidateResourcePolicyOutput](t)(api.ValidateResourcePolicy(ctx, &secretsmanager.ValidateResourcePolicyInput{ResourcePolicy: aws.String(secretPolicy)}))
	if !valid.PolicyValidationPassed || len(valid.ValidationErrors) > 0 {
		t.Errorf("got %+v", valid)
	}
	must[*secretsmanager.PutResourcePolicyOutput](t)(api.PutResourcePolicy(ctx, &secretsmanager.PutResourcePolicyInput{SecretId: made.ARN, ResourcePolicy: aws.String(secretPolicy), BlockPublicPolicy: aws.Bool(true)}))
	_, err := api.PutResourcePolicy(ctx, &secretsmanager.PutResourcePolicyInput{SecretId: made.ARN, ResourcePolicy: aws.String("{")})
	refusedAs[*types.MalformedPolicyDocumentException](t, err)
	public := aws.String(strings.Replace(secretPolicy, `{"Service":"ses.amazonaws.com"}`, `"*"`, 1))
	_, err = api.PutResourcePolicy(ctx, &secretsmanager.PutResourcePolicyInput{SecretId: made.ARN, ResourcePolicy: public, BlockPublicPolicy: aws.Bool(true)})
	refusedAs[*types.PublicPolicyException](t, err)
	if got := policy(); aws.ToString(got) != secretPolicy {
		t.Errorf("got the policy %v", got)
	}
	must[*secretsmanager.DeleteResourcePolicyOutput](t)(api.DeleteResourcePolicy(ctx, &secretsmanager.DeleteResourcePolicyInput{SecretId: made.ARN}))
	if policy() != nil {
		t.Error("its policy is still there")
	}

	_, err = api.DeleteSecret(ctx, &secretsmanager.DeleteSecretInput{SecretId: made.ARN, RecoveryWindowInDays: aws.Int64(6)})
	refusedAs[*types.InvalidParameterException](t, err)
	deleted := must[*secretsmanager.DeleteSecretOutput](t)(api.DeleteSecret(ctx, &secretsmanager.DeleteSecretInput{SecretId: made.ARN, RecoveryWindowInDays: aws.Int64(7)}))
	described := must[*secretsmanager.DescribeSecretOutput](t)(api.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: made.ARN}))
	if described.DeletedDate == nil || !described.DeletedDate.Equal(*deleted.DeletionDate) || len(described.Tags) != 1 {
		t.Errorf("got %+v, want the end at %v", described, deleted.DeletionDate)
	}
	_, err = api.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: made.ARN})
	refusedAs[*types.InvalidRequestException](t, err)
	must[*secretsmanager.RestoreSecretOutput](t)(api.RestoreSecret(ctx, &secretsmanager.RestoreSecretInput{SecretId: made.ARN}))
	listed := must[*secretsmanager.ListSecretsOutput](t)(api.ListSecrets(ctx, &secretsmanager.ListSecretsInput{}))
	if len(listed.SecretList) != 1 || aws.ToString(listed.SecretList[0].Name) != secretName {
		t.Errorf("got %+v", listed.SecretList)
	}
	must[*secretsmanager.DeleteSecretOutput](t)(api.DeleteSecret(ctx, &secretsmanager.DeleteSecretInput{SecretId: made.ARN, ForceDeleteWithoutRecovery: aws.Bool(true)}))
	_, err = api.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: made.ARN})
	refusedAs[*types.ResourceNotFoundException](t, err)
}

func TestGoSDKCallerIdentity(t *testing.T) {
	t.Parallel()
	conform.Check(t, "A30")
	own := harness.Start(t).MailManager().Options()
	api := sts.New(sts.Options{Region: own.Region, BaseEndpoint: own.BaseEndpoint, Credentials: own.Credentials, RetryMaxAttempts: 1})
	got := must[*sts.GetCallerIdentityOutput](t)(api.GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{}))
	account := aws.ToString(got.Account)
	if len(account) != 12 || !strings.HasPrefix(aws.ToString(got.Arn), "arn:aws:iam::"+account+":") || aws.ToString(got.UserId) == "" {
		t.Errorf("got %s, %s, %s", account, aws.ToString(got.Arn), aws.ToString(got.UserId))
	}
	_, err := api.GetSessionToken(t.Context(), &sts.GetSessionTokenInput{})
	refused(t, err, "InvalidAction")
}

// The calls that people and scripts make of a secret with the AWS CLI.
func TestAWSCLISecret(t *testing.T) {
	t.Parallel()
	conform.Check(t, "A30")
	peer.Optional(t, "pip install awscli", "aws", "secretsmanager", "list-secrets", "--generate-cli-skeleton")
	server := harness.Start(t)
	secrets := func(operation string, args ...string) map[string]any {
		t.Helper()
		return cliOf(t, server, "secretsmanager", operation, args...)
	}
	secrets("create-secret", "--name", secretName, "--secret-string", "one", "--tags", "Key=team,Value=mail")
	secrets("update-secret", "--secret-id", secretName, "--description", "for the office", "--secret-string", "two")
	secrets("tag-resource", "--secret-id", secretName, "--tags", "Key=stage,Value=test")
	secrets("untag-resource", "--secret-id", secretName, "--tag-keys", "team")
	secrets("put-resource-policy", "--secret-id", secretName, "--resource-policy", secretPolicy, "--block-public-policy")
	if got := secrets("get-resource-policy", "--secret-id", secretName); got["ResourcePolicy"] != secretPolicy {
		t.Errorf("got %v", got)
	}
	if got := secrets("get-secret-value", "--secret-id", secretName); got["SecretString"] != "two" {
		t.Errorf("got %v", got)
	}
	if versions, _ := secrets("list-secret-version-ids", "--secret-id", secretName)["Versions"].([]any); len(versions) != 2 {
		t.Errorf("got %v", versions)
	}
	if got, _ := secrets("get-random-password", "--password-length", "40")["RandomPassword"].(string); len(got) != 40 {
		t.Errorf("got %q", got)
	}
	if values, _ := secrets("batch-get-secret-value", "--secret-id-list", secretName)["SecretValues"].([]any); len(values) != 1 {
		t.Errorf("got %v", values)
	}
	secrets("delete-secret", "--secret-id", secretName)
	if out, err := tool(t, server, "aws", "secretsmanager", "get-secret-value", "--secret-id", secretName); err == nil || !strings.Contains(out, "InvalidRequestException") {
		t.Errorf("a secret that is deleted: got %v\n%s", err, out)
	}
	secrets("restore-secret", "--secret-id", secretName)
	secrets("delete-secret", "--secret-id", secretName, "--force-delete-without-recovery")
	if listed, _ := secrets("list-secrets", "--include-planned-deletion")["SecretList"].([]any); len(listed) != 0 {
		t.Errorf("got %v", listed)
	}
	identity := cliOf(t, server, "sts", "get-caller-identity")
	if account, _ := identity["Account"].(string); len(account) != 12 || identity["UserId"] == nil {
		t.Errorf("got %v", identity)
	}
}
