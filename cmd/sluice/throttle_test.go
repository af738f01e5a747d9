package main

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/mailmanager"
	"github.com/aws/aws-sdk-go-v2/service/mailmanager/types"
	"github.com/aws/smithy-go"

	"sluice/internal/conform"
)

// Mail Manager, A15, with the real clock: a client that comes too often is told so, and gets through by its own retries.
func TestServerThrottles(t *testing.T) {
	t.Parallel()
	conform.Check(t, "A15")
	cfg := testConfig(t)
	cfg.Config = configFile(t, "[throttle.operations]\nListRelays = { rate = 20, burst = 1 }\n")
	s, _ := started(t, cfg)
	once := mailmanager.New(apiOf(s).Options(), func(o *mailmanager.Options) { o.Retryer = aws.NopRetryer{} })
	var refused error
	for range 10_000 { // two of them come within 50 ms
		if _, refused = once.ListRelays(t.Context(), &mailmanager.ListRelaysInput{}); refused != nil {
			break
		}
	}
	var failure smithy.APIError
	if !errors.As(refused, &failure) || failure.ErrorCode() != "ThrottlingException" || failure.ErrorMessage() != "Rate exceeded" {
		t.Fatalf("got %v, want a ThrottlingException", refused)
	}
	for range 3 {
		if _, err := once.ListRuleSets(t.Context(), &mailmanager.ListRuleSetsInput{}); err != nil {
			t.Errorf("another operation: %v", err)
		}
	}
	patient := mailmanager.New(apiOf(s).Options(), func(o *mailmanager.Options) {
		o.Retryer = retry.NewStandard(func(o *retry.StandardOptions) {
			o.MaxAttempts, o.RateLimiter = 10_000, ratelimit.None
			o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return 0, nil })
		})
	})
	for range 3 {
		if _, err := patient.ListRelays(t.Context(), &mailmanager.ListRelaysInput{}); err != nil {
			t.Error(err)
		}
	}
	if _, body := page(t, http.DefaultClient, s.url()+"/metrics"); !strings.Contains(body, `mailmanager_api_requests_total{code="ThrottlingException",operation="MailManagerSvc.ListRelays"}`) {
		t.Error("the metrics do not count it")
	}
}

// Quotas of the file hold over the wire, for the account that they are given to, and their error says what to do.
func TestServerKeepsTheQuotasOfTheFile(t *testing.T) {
	t.Parallel()
	conform.Check(t, "A16", "A26")
	cfg := testConfig(t)
	cfg.Config = configFile(t, "[accounts.000000000000.limits]\nrule_sets = 1\n")
	s, _ := started(t, cfg)
	client := apiOf(s)
	if _, err := client.CreateRuleSet(t.Context(), &mailmanager.CreateRuleSetInput{RuleSetName: aws.String("one"), Rules: []types.Rule{}}); err != nil {
		t.Fatal(err)
	}
	_, err := client.CreateRuleSet(t.Context(), &mailmanager.CreateRuleSetInput{RuleSetName: aws.String("two"), Rules: []types.Rule{}})
	var exceeded *types.ServiceQuotaExceededException
	if !errors.As(err, &exceeded) || !strings.Contains(exceeded.ErrorMessage(), "'rule_sets' of account 000000000000 is 1.") {
		t.Errorf("got %v, want a ServiceQuotaExceededException that names the quota", err)
	}
	var response interface{ HTTPStatusCode() int }
	if !errors.As(err, &response) || response.HTTPStatusCode() != http.StatusPaymentRequired {
		t.Errorf("got %v, want status 402", err)
	}
}
