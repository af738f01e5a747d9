package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/config"

	"sluice/internal/admin/client"
)

// defaultRegion is where requests go that name none. Source: Mail Manager, A28.
const defaultRegion = "us-east-1"

// endpointFlags say which server a subcommand asks. Who asks is in the AWS credential variables, or in a profile.
type endpointFlags struct {
	Endpoint string `default:"http://${api}" placeholder:"URL" help:"Server to ask, as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE."`
	Account  string `placeholder:"ID" help:"Account that is meant, where it is not the caller's: only the root key may say another."`
	JSON     bool   `name:"json" help:"Print the answer as JSON."`
}

// client returns a client of the server with the caller's credentials. It looks nowhere but in the environment and in
// the shared files: a subcommand talks to no one but its server.
func (f endpointFlags) client(ctx context.Context) (*client.Client, error) {
	env, err := config.NewEnvConfig()
	if err != nil {
		return nil, usage(fmt.Errorf("AWS environment variables: %w", err), "")
	}
	c := &client.Client{Endpoint: f.Endpoint, Account: f.Account, Region: env.Region, Credentials: env.Credentials}
	if !c.Credentials.HasKeys() {
		shared, err := sharedProfile(ctx, env)
		if err != nil {
			return nil, err
		}
		c.Credentials = shared.Credentials
		if c.Region == "" {
			c.Region = shared.Region
		}
	}
	if c.Region == "" {
		c.Region = defaultRegion
	}
	return c, nil
}

func sharedProfile(ctx context.Context, env config.EnvConfig) (config.SharedConfig, error) {
	profile := env.SharedConfigProfile
	if profile == "" {
		profile = "default"
	}
	shared, err := config.LoadSharedConfigProfile(ctx, profile, func(o *config.LoadSharedConfigOptions) {
		if env.SharedCredentialsFile != "" {
			o.CredentialsFiles = []string{env.SharedCredentialsFile}
		}
		if env.SharedConfigFile != "" {
			o.ConfigFiles = []string{env.SharedConfigFile}
		}
	})
	if err == nil && !shared.Credentials.HasKeys() {
		err = fmt.Errorf("profile %q has no access key", profile)
	}
	if err != nil {
		return shared, usage(fmt.Errorf("no credentials: %w", err),
			"export AWS_SHARED_CREDENTIALS_FILE=DIR/root-credentials, where DIR is the server's data directory")
	}
	return shared, nil
}

// hintAt gives an error a way out where the server answered that it does not have what was asked for.
func hintAt(explained, err error, way string) error {
	if refused := (*client.Error)(nil); errors.As(err, &refused) && refused.Status == http.StatusNotFound {
		return hint(explained, way)
	}
	return explained
}

// explain gives an answer that is an error its way out.
func explain(err error, endpoint string) error {
	var refused *client.Error
	switch {
	case errors.Is(err, client.ErrUnreachable):
		return hint(fmt.Errorf("ask %s: %w", endpoint, err), "is the server running, and is SLUICE_ENDPOINT its address?")
	case errors.As(err, &refused) && refused.Status == 403 && refused.Code != "AccessDeniedException":
		return hint(fmt.Errorf("ask %s: %w", endpoint, err),
			"the credentials are not this server's: its own are in DIR/root-credentials")
	default:
		return fmt.Errorf("ask %s: %w", endpoint, err)
	}
}
