package client

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
)

func clientOf(t *testing.T, handle http.HandlerFunc) *Client {
	t.Helper()
	server := httptest.NewServer(handle)
	t.Cleanup(server.Close)
	return &Client{
		Endpoint: server.URL + "/", Region: "eu-central-1",
		Credentials: aws.Credentials{AccessKeyID: "AKEXAMPLE", SecretAccessKey: "secret"},
	}
}

func TestCallsAreSignedForTheAdminService(t *testing.T) {
	t.Parallel()
	var path, authorization, body string
	c := clientOf(t, func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		path, authorization, body = r.Method+" "+r.URL.Path, r.Header.Get("Authorization"), string(text)
		io.WriteString(w, `{"Record":{"version":1}}`)
	})
	answer, err := c.GetTrace(t.Context(), "someid")
	if err != nil || answer.Record.Version != 1 {
		t.Fatalf("got %+v, %v", answer, err)
	}
	if path != "POST /admin/GetTrace" || body != `{"Id":"someid"}` {
		t.Errorf("got %s %s", path, body)
	}
	for _, part := range []string{"Credential=AKEXAMPLE/", "/eu-central-1/sluice/aws4_request", "SignedHeaders=", "host"} {
		if !strings.Contains(authorization, part) {
			t.Errorf("Authorization %q lacks %q", authorization, part)
		}
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		status int
		body   string
		want   Error
	}{
		{"plain type", 404, `{"__type":"ResourceNotFoundException","message":"No trace"}`, Error{404, "ResourceNotFoundException", "No trace"}},
		{"type with a namespace", 400, `{"__type":"com.amazonaws.x#ValidationException","Message":"Bad"}`, Error{400, "ValidationException", "Bad"}},
		{"no JSON", 502, "<html>", Error{502, "Bad Gateway", ""}},
		{"empty", 403, "", Error{403, "Forbidden", ""}},
		{"other JSON", 500, `[1]`, Error{500, "Internal Server Error", ""}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := clientOf(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(test.status)
				io.WriteString(w, test.body)
			})
			_, err := c.ListListeners(t.Context())
			var got *Error
			if !errors.As(err, &got) || *got != test.want {
				t.Errorf("got %v, want %v", err, &test.want)
			}
			if errors.Is(err, ErrUnreachable) {
				t.Error("an answer counts as none")
			}
		})
	}
}

func TestNobodyAnswers(t *testing.T) {
	t.Parallel()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	c := &Client{Endpoint: gone.URL, Region: "us-east-1", Credentials: aws.Credentials{AccessKeyID: "a", SecretAccessKey: "b"}}
	if _, err := c.GetStatus(t.Context()); !errors.Is(err, ErrUnreachable) {
		t.Errorf("got %v, want %v", err, ErrUnreachable)
	}
}

func TestAnAnswerThatIsNotOursIsNone(t *testing.T) {
	t.Parallel()
	c := clientOf(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") })
	if _, err := c.GetStatus(t.Context()); !errors.Is(err, ErrUnreachable) {
		t.Errorf("got %v, want %v", err, ErrUnreachable)
	}
}
