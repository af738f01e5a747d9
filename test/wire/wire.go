// Package wire is a client of the API of Mail Manager that sends whatever it is told to, valid or not, in either protocol. A
// document is a tree of what JSON has, and of time.Time and []byte, which the protocols write differently. Start with Client.
package wire

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"sluice/internal/mailmanager"
)

// Client calls the operations of one region in one protocol. It does not try again. Safe for concurrent use.
type Client struct {
	Endpoint    string // http://HOST:PORT
	Region      string
	Protocol    Protocol
	Credentials aws.Credentials
	HTTP        *http.Client // nil: http.DefaultClient
}

// Refusal is an error that the API answered with.
type Refusal struct {
	Operation string
	Status    int // of HTTP
	Code      string
	Message   string
}

// Error is for people.
func (r *Refusal) Error() string {
	return fmt.Sprintf("%s: %d %s: %s", r.Operation, r.Status, r.Code, r.Message)
}

// Call calls an operation with a document and returns the document that is its output. The error is a *Refusal when the
// API refused it.
func (c *Client) Call(ctx context.Context, operation string, input any) (map[string]any, error) {
	body, err := c.Protocol.encode(input)
	if err != nil {
		return nil, fmt.Errorf("encode the input of %s: %w", operation, err)
	}
	request, err := c.request(ctx, operation, body)
	if err != nil {
		return nil, fmt.Errorf("make the request for %s: %w", operation, err)
	}
	caller := c.HTTP
	if caller == nil {
		caller = http.DefaultClient
	}
	answer, err := caller.Do(request)
	if err != nil {
		return nil, fmt.Errorf("call %s: %w", operation, err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, fmt.Errorf("read the answer of %s: %w", operation, err)
	}
	output, err := c.Protocol.decode(text)
	if err != nil {
		return nil, fmt.Errorf("decode the answer of %s (status %d): %w", operation, answer.StatusCode, err)
	}
	if answer.StatusCode != http.StatusOK {
		code, _ := output["__type"].(string)
		message, _ := output["Message"].(string)
		if message == "" { // of what the model does not have
			message, _ = output["message"].(string)
		}
		return nil, &Refusal{Operation: operation, Status: answer.StatusCode, Code: code, Message: message}
	}
	return output, nil
}

// request is a signed request with the body.
func (c *Client) request(ctx context.Context, operation string, body []byte) (*http.Request, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.Endpoint+c.Protocol.path(operation), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for name, value := range c.Protocol.headers(operation) {
		request.Header.Set(name, value)
	}
	sum := sha256.Sum256(body)
	return request, v4.NewSigner().SignHTTP(ctx, c.Credentials, request, hex.EncodeToString(sum[:]), mailmanager.SigningName, c.Region, time.Now())
}
