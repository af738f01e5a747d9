package action

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"sluice/internal/control"
	"sluice/internal/mailmanager"
	"sluice/internal/smtpclient"
)

// errNotRead says that a secret could not be read now, which says nothing of how the relay is configured.
var errNotRead = errors.New("it cannot be read now")

// checkSecret resolves a relay's secret and checks its form: a JSON object of exactly the strings username and password
// (Mail Manager, section 6). The error names the secret and never its content (S40).
func checkSecret(ctx context.Context, secret Secret, relay *control.Relay) error {
	_, err := credentialsOf(ctx, secret, relay)
	return err
}

// credentialsOf is checkSecret that returns what is in the secret. It is not kept: a rotated password counts for the next
// connection.
func credentialsOf(ctx context.Context, secret Secret, relay *control.Relay) (*smtpclient.Credentials, error) {
	value, err := secret(ctx, relay.Scope, relay.SecretARN)
	var known *mailmanager.Error
	switch {
	case err != nil && !errors.As(err, &known): // an error without a code is internal
		return nil, fmt.Errorf("secret %s of relay %s: %w: %w", relay.SecretARN, relay.ID, errNotRead, err)
	case err != nil:
		return nil, fmt.Errorf("secret %s of relay %s: %w", relay.SecretARN, relay.ID, err)
	}
	credentials, ok := parseCredentials(value)
	if !ok {
		return nil, fmt.Errorf("secret %s of relay %s is not a JSON object of exactly username and password", relay.SecretARN, relay.ID)
	}
	return credentials, nil
}

func parseCredentials(value string) (*smtpclient.Credentials, bool) {
	var fields map[string]string
	if json.Unmarshal([]byte(value), &fields) != nil || len(fields) != 2 || fields["username"] == "" || fields["password"] == "" {
		return nil, false
	}
	return &smtpclient.Credentials{User: fields["username"], Password: fields["password"]}, true
}
