package client

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

const (
	// signingName is what the Mail Manager API is called in the scope of a signature, and target what names an operation.
	signingName string = "ses"
	target      string = "MailManagerSvc."
)

// MailManager calls an operation of the Mail Manager API and returns its answer as the server wrote it, for callers that want
// the JSON and not the SDK's types. Errors are those of the admin API's operations.
func (c *Client) MailManager(ctx context.Context, operation string, input any) ([]byte, error) {
	body, err := json.Marshal(input)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", operation, err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.Endpoint, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("endpoint %q: %w", c.Endpoint, err)
	}
	request.Header.Set("Content-Type", "application/x-amz-json-1.0")
	request.Header.Set("X-Amz-Target", target+operation)
	c.name(request)
	sum := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(ctx, c.Credentials, request, hex.EncodeToString(sum[:]), signingName, c.Region, time.Now()); err != nil {
		return nil, fmt.Errorf("sign %s: %w", operation, err)
	}
	return c.send(request, operation)
}
