package client

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestMailManagerIsSignedForItsService(t *testing.T) {
	t.Parallel()
	var target, authorization, body string
	c := clientOf(t, func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		target, authorization, body = r.Header.Get("X-Amz-Target"), r.Header.Get("Authorization"), string(text)
		io.WriteString(w, `{"RuleSetId":"rs-1"}`)
	})
	answer, err := c.MailManager(t.Context(), "GetRuleSet", map[string]string{"RuleSetId": "rs-1"})
	if err != nil || string(answer) != `{"RuleSetId":"rs-1"}` {
		t.Fatalf("got %s, %v", answer, err)
	}
	if target != "MailManagerSvc.GetRuleSet" || body != `{"RuleSetId":"rs-1"}` || !strings.Contains(authorization, "/eu-central-1/ses/aws4_request") {
		t.Errorf("got %s, %s, %s", target, body, authorization)
	}
}

func TestMailManagerErrors(t *testing.T) {
	t.Parallel()
	c := clientOf(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		io.WriteString(w, `{"__type":"ResourceNotFoundException"}`)
	})
	var refused *Error
	if _, err := c.MailManager(t.Context(), "GetRelay", nil); !errors.As(err, &refused) || refused.Code != "ResourceNotFoundException" {
		t.Errorf("got %v, want the server's error", err)
	}
	c.Endpoint = "http://127.0.0.1:1"
	if _, err := c.MailManager(t.Context(), "GetRelay", nil); !errors.Is(err, ErrUnreachable) {
		t.Errorf("got %v, want ErrUnreachable", err)
	}
	c.Endpoint = ":"
	if _, err := c.MailManager(t.Context(), "GetRelay", nil); err == nil || errors.Is(err, ErrUnreachable) {
		t.Errorf("got %v, want an error of the endpoint", err)
	}
}
