package action

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"sluice/internal/control"
	"sluice/internal/mailmanager"
)

// errNotRead says that a secret could not be read now, which says nothing of how the relay is configured.
var errNotRead = errors.New("it cannot be read now")

// checkSecret resolves a relay's secret and checks its form: a JSON object of exactly the strings username and password
// (Mail Manager, section 6). The error names the secret and never its content (S40).
func checkSecret(ctx context.Context, secret Secret, relay *control.Relay) error {
	value, err := secret(ctx, relay.Scope, relay.SecretARN)
	var known *mailmanager.Error
	switch {
	case err != nil && !errors.As(err, &known): // an error without a code is internal
		return fmt.Errorf("secret %s of relay %s: %w: %w", relay.SecretARN, relay.ID, errNotRead, err)
	case err != nil:
		return fmt.Errorf("secret %s of relay %s: %w", relay.SecretARN, relay.ID, err)
	}
	if !isCredentials(value) {
		return fmt.Errorf("secret %s of relay %s is not a JSON object of exactly username and password", relay.SecretARN, relay.ID)
	}
	return nil
}

func isCredentials(value string) bool {
	var fields map[string]string
	if json.Unmarshal([]byte(value), &fields) != nil {
		return false
	}
	return len(fields) == 2 && fields["username"] != "" && fields["password"] != ""
}
