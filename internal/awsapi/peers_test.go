package awsapi

import (
	"bytes"
	"errors"
	"log/slog"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/mailmanager/types"
	"github.com/google/go-cmp/cmp"

	sdk "github.com/aws/aws-sdk-go-v2/service/mailmanager"
	sdksecrets "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	sdksts "github.com/aws/aws-sdk-go-v2/service/sts"

	"sluice/internal/mailmanager"
	"sluice/internal/secretsmanager"
)

// serve starts the API on a socket, with the clock on the wall that peers sign with.
func serve(t *testing.T, h handlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(New(Config{
		Services:    []Service{MailManager(h), SecretsManager(h)},
		Admin:       h,
		Credentials: oneKey{},
		Log:         slog.New(slog.DiscardHandler),
	}))
	t.Cleanup(server.Close)
	return server
}

func sdkConfig(server *httptest.Server, secret string) aws.Config {
	return aws.Config{
		Region:       testRegion,
		BaseEndpoint: aws.String(server.URL),
		Credentials:  credentials.NewStaticCredentialsProvider(testKey, secret, ""),
		HTTPClient:   server.Client(),
	}
}

func TestPeerSDKMailManager(t *testing.T) {
	t.Parallel()
	created := time.UnixMilli(1700000000123).UTC()
	var got *mailmanager.CreateRuleSetRequest
	server := serve(t, func(_ Caller, op string, input any) (any, error) {
		switch op {
		case "CreateRuleSet":
			got = input.(*mailmanager.CreateRuleSetRequest)
			return &mailmanager.CreateRuleSetResponse{RuleSetId: mailmanager.Ptr(mailmanager.RuleSetId("rs-1"))}, nil
		case "GetRelay":
			return &mailmanager.GetRelayResponse{
				RelayId:          mailmanager.Ptr(mailmanager.RelayId("r-1")),
				Authentication:   &mailmanager.RelayAuthentication{NoAuthentication: &mailmanager.NoAuthentication{}},
				CreatedTimestamp: &created,
			}, nil
		default:
			return nil, mailmanager.Errorf(mailmanager.CodeConflict, "the policy is in use")
		}
	})
	client := sdk.NewFromConfig(sdkConfig(server, testSecret))

	_, err := client.CreateRuleSet(t.Context(), &sdk.CreateRuleSetInput{RuleSetName: aws.String("rs"), Rules: []types.Rule{{
		Conditions: []types.RuleCondition{&types.RuleConditionMemberNumberExpression{Value: types.RuleNumberExpression{
			Evaluate: &types.RuleNumberToEvaluateMemberAttribute{Value: types.RuleNumberEmailAttributeMessageSize},
			Operator: types.RuleNumberOperatorGreaterThan, Value: aws.Float64(1e6)}}},
		Actions: []types.RuleAction{&types.RuleActionMemberDrop{}}}}})
	if err != nil {
		t.Fatal(err)
	}
	if number := got.Rules[0].Conditions[0].NumberExpression; *number.Value != 1e6 || got.Rules[0].Actions[0].Drop == nil || got.ClientToken == nil {
		t.Errorf("got %+v, want the rule that was sent and a client token", got)
	}

	relay, err := client.GetRelay(t.Context(), &sdk.GetRelayInput{RelayId: aws.String("r-1")})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := relay.Authentication.(*types.RelayAuthenticationMemberNoAuthentication); !ok || !relay.CreatedTimestamp.Equal(created) {
		t.Errorf("got %+v at %v, want no authentication at %v", relay.Authentication, relay.CreatedTimestamp, created)
	}

	_, err = client.DeleteTrafficPolicy(t.Context(), &sdk.DeleteTrafficPolicyInput{TrafficPolicyId: aws.String("tp-1")})
	var conflict *types.ConflictException
	if !errors.As(err, &conflict) || conflict.ErrorMessage() != "the policy is in use" {
		t.Errorf("got %v, want a ConflictException with its text", err)
	}
	_, err = client.GetRelay(t.Context(), &sdk.GetRelayInput{RelayId: aws.String("!")})
	var validation *types.ValidationException
	if !errors.As(err, &validation) || !strings.Contains(validation.ErrorMessage(), "'relayId'") {
		t.Errorf("got %v, want a ValidationException that names relayId", err)
	}
	wrong := sdk.NewFromConfig(sdkConfig(server, "wrong"))
	if _, err = wrong.GetRelay(t.Context(), &sdk.GetRelayInput{RelayId: aws.String("r-1")}); err == nil || !strings.Contains(err.Error(), "InvalidSignatureException") {
		t.Errorf("got %v, want an InvalidSignatureException", err)
	}
}

func TestPeerSDKSecretsManagerAndSTS(t *testing.T) {
	t.Parallel()
	server := serve(t, func(_ Caller, op string, input any) (any, error) {
		if op == "CreateSecret" {
			in := input.(*secretsmanager.CreateSecretRequest)
			return &secretsmanager.CreateSecretResponse{Name: in.Name, VersionId: in.ClientRequestToken}, nil
		}
		return &secretsmanager.GetSecretValueResponse{SecretBinary: []byte{0, 255}, VersionStages: []string{"AWSCURRENT"}}, nil
	})
	secrets := sdksecrets.NewFromConfig(sdkConfig(server, testSecret))
	created, err := secrets.CreateSecret(t.Context(), &sdksecrets.CreateSecretInput{Name: aws.String("relay/office"), SecretBinary: []byte{1, 2, 254}})
	if err != nil || *created.Name != "relay/office" || len(*created.VersionId) != 36 {
		t.Errorf("got %+v, %v, want the name and a version", created, err)
	}
	value, err := secrets.GetSecretValue(t.Context(), &sdksecrets.GetSecretValueInput{SecretId: aws.String("relay/office")})
	if err != nil || !bytes.Equal(value.SecretBinary, []byte{0, 255}) || value.VersionStages[0] != "AWSCURRENT" {
		t.Errorf("got %+v, %v, want two octets", value, err)
	}
	sts := sdksts.NewFromConfig(sdkConfig(server, testSecret))
	identity, err := sts.GetCallerIdentity(t.Context(), &sdksts.GetCallerIdentityInput{})
	if err != nil || *identity.Account != testAccount || *identity.Arn != "arn:aws:iam::000000000000:root" {
		t.Errorf("got %+v, %v, want account %s", identity, err, testAccount)
	}
	sts = sdksts.NewFromConfig(sdkConfig(server, "wrong"))
	if _, err = sts.GetCallerIdentity(t.Context(), &sdksts.GetCallerIdentityInput{}); err == nil || !strings.Contains(err.Error(), "SignatureDoesNotMatch") {
		t.Errorf("got %v, want SignatureDoesNotMatch", err)
	}
}

// TestPeerCurl has another signer than the SDK's sign for us.
func TestPeerCurl(t *testing.T) {
	t.Parallel()
	curl, err := exec.LookPath("curl")
	if err != nil {
		if os.Getenv("SLUICE_REQUIRE_PEERS") == "1" {
			t.Fatal("curl is not installed, and SLUICE_REQUIRE_PEERS=1")
		}
		t.Skip("curl is not installed: its signatures are not checked")
	}
	server := serve(t, func(caller Caller, op string, input any) (any, error) {
		if op == "ListRelays" {
			return &mailmanager.ListRelaysResponse{Relays: []mailmanager.Relay{}}, nil
		}
		return map[string]string{"region": caller.Region}, nil
	})
	run := func(service, user, path string, more ...string) string {
		arguments := append([]string{"-sS", "--aws-sigv4", "aws:amz:" + testRegion + ":" + service, "--user", user}, more...)
		out, err := exec.CommandContext(t.Context(), curl, append(arguments, server.URL+path)...).CombinedOutput()
		if err != nil {
			t.Fatalf("curl: %v: %s", err, out)
		}
		return string(out)
	}
	good := testKey + ":" + testSecret
	list := []string{"-H", "X-Amz-Target: MailManagerSvc.ListRelays", "-H", "Content-Type: application/x-amz-json-1.0", "--data", `{"PageSize":5}`}
	got := map[string]string{
		"list":          run("ses", good, "/", list...),
		"admin":         run("sluice", good, "/admin/GetTrace", "-H", "Content-Type: application/json", "--data", `{}`),
		"wrong secret":  errorCode(run("ses", testKey+":wrong", "/", list...)),
		"wrong service": errorCode(run("s3", good, "/", list...)),
		"unknown key":   errorCode(run("ses", "AKIDNOBODY:x", "/", list...)),
	}
	want := map[string]string{
		"list":          `{"Relays":[]}`,
		"admin":         `{"region":"eu-central-1"}`,
		"wrong secret":  "InvalidSignatureException",
		"wrong service": "InvalidSignatureException",
		"unknown key":   "UnrecognizedClientException",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// errorCode is the code in an error's JSON.
func errorCode(body string) string {
	_, rest, _ := strings.Cut(body, `"__type":"`)
	code, _, _ := strings.Cut(rest, `"`)
	return code
}
