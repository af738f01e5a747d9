package client

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

const (
	// Service is what the admin API is called in the scope of a signature. Source: design contract, HTTP.
	Service = "sluice"

	accountHeader = "X-Sluice-Account"

	maxAnswerOctets int64 = 64 << 20 // a trace record is far smaller
	requestTimeout        = 30 * time.Second
)

// Client calls the admin API of one server. Its fields are not changed after the first call; it is safe for concurrent use.
type Client struct {
	Endpoint    string // such as http://127.0.0.1:4579
	Region      string
	Account     string // that is meant, where it is not the caller's own; only the root of the installation may mean another
	Credentials aws.Credentials
	HTTP        *http.Client // nil: one with a time limit
}

// Error is what the server answered instead of an output.
type Error struct {
	Status  int    // of HTTP
	Code    string // name of the error's shape
	Message string
}

// Error implements error.
func (e *Error) Error() string {
	if e.Message == "" {
		return fmt.Sprintf("%s (HTTP status %d)", e.Code, e.Status)
	}
	return e.Code + ": " + e.Message
}

// ErrUnreachable says that no answer came at all: no server is there, or it is another kind of server.
var ErrUnreachable = errors.New("the server does not answer")

// GetTrace returns the record of a message or session.
func (c *Client) GetTrace(ctx context.Context, id string) (trace GetTraceOutput, err error) {
	err = c.call(ctx, OpGetTrace, GetTraceInput{Id: id}, &trace)
	return trace, err
}

// FindTraces lists messages and sessions by what is known of them.
func (c *Client) FindTraces(ctx context.Context, query FindTracesInput) (traces FindTracesOutput, err error) {
	err = c.call(ctx, OpFindTraces, query, &traces)
	return traces, err
}

// ListListeners returns where each ingress point of the region is reached.
func (c *Client) ListListeners(ctx context.Context) (listeners ListListenersOutput, err error) {
	err = c.call(ctx, OpListListeners, ListListenersInput{}, &listeners)
	return listeners, err
}

// GetStatus returns how the server is.
func (c *Client) GetStatus(ctx context.Context) (status GetStatusOutput, err error) {
	err = c.call(ctx, OpGetStatus, GetStatusInput{}, &status)
	return status, err
}

// TestRelay has the server connect to a relay, and returns what came of it.
func (c *Client) TestRelay(ctx context.Context, id string) (test TestRelayOutput, err error) {
	err = c.call(ctx, OpTestRelay, TestRelayInput{Id: id}, &test)
	return test, err
}

// call sends one operation. An error is an *Error when the server answered with one, else it wraps ErrUnreachable.
func (c *Client) call(ctx context.Context, operation string, input, output any) error {
	body, err := json.Marshal(input)
	if err != nil {
		return fmt.Errorf("encode %s: %w", operation, err)
	}
	request, err := c.request(ctx, operation, body)
	if err != nil {
		return err
	}
	text, err := c.send(request, operation)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, output); err != nil {
		return fmt.Errorf("%s: %w: its answer cannot be read: %w", operation, ErrUnreachable, err)
	}
	return nil
}

// send sends a signed call and returns its answer. Errors are those of call.
func (c *Client) send(request *http.Request, operation string) ([]byte, error) {
	answer, err := c.http().Do(request)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", operation, ErrUnreachable, err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswerOctets))
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", operation, ErrUnreachable, err)
	}
	if answer.StatusCode != http.StatusOK {
		return nil, readError(answer.StatusCode, text)
	}
	return text, nil
}

// request builds and signs the call.
func (c *Client) request(ctx context.Context, operation string, body []byte) (*http.Request, error) {
	url := strings.TrimSuffix(c.Endpoint, "/") + "/admin/" + operation
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("endpoint %q: %w", c.Endpoint, err)
	}
	request.Header.Set("Content-Type", "application/json")
	sum := sha256.Sum256(body)
	hash := hex.EncodeToString(sum[:])
	request.Header.Set("X-Amz-Content-Sha256", hash)
	c.name(request)
	if err := v4.NewSigner().SignHTTP(ctx, c.Credentials, request, hash, Service, c.Region, time.Now()); err != nil {
		return nil, fmt.Errorf("sign %s: %w", operation, err)
	}
	return request, nil
}

// name says which account is meant.
func (c *Client) name(request *http.Request) {
	if c.Account != "" {
		request.Header.Set(accountHeader, c.Account)
	}
}

func (c *Client) http() *http.Client {
	if c.HTTP != nil {
		return c.HTTP
	}
	return &http.Client{Timeout: requestTimeout}
}

// readError reads the AWS JSON form of an error. What is no such form keeps its status.
func readError(status int, text []byte) error {
	var shape struct {
		Type    string `json:"__type"`
		Message string `json:"message"`
		Upper   string `json:"Message"`
	}
	// A body that is no JSON leaves the shape empty: the status says all there is.
	_ = json.Unmarshal(text, &shape)
	if shape.Type == "" {
		shape.Type = http.StatusText(status)
	}
	if shape.Message == "" {
		shape.Message = shape.Upper
	}
	_, code, qualified := strings.Cut(shape.Type, "#")
	if !qualified {
		code = shape.Type
	}
	return &Error{Status: status, Code: code, Message: shape.Message}
}
