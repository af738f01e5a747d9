package main

import (
	"fmt"
	"regexp"

	"sluice/internal/control"
)

// profileStrict is the profile that enforces the quotas and refusals of AWS (Mail Manager, A16); the other is the default.
const (
	profileDefault = "default"
	profileStrict  = "aws-strict"
)

// Account is an [accounts.ID] table of the configuration file.
type Account struct {
	// Profile is the account's own profile, with the numbers of that profile: [limits] is not for it. By default the account
	// has the profile and the limits of all.
	Profile string `toml:"profile"`

	// Limits is a table like [limits], which wins over it and over the profile.
	Limits control.Limits `toml:"limits"`

	// Throttle is a table like [throttle], which wins over it: its rate over every rate there, those of its operations over those.
	Throttle Throttle `toml:"throttle"`
}

var accountNumber = regexp.MustCompile(`^[0-9]{12}$`)

func (c *Config) checkAccounts() error {
	if err := c.Limits.Check(); err != nil {
		return usage(fmt.Errorf("[limits]: %w", err), "")
	}
	if err := c.Throttle.check(); err != nil {
		return usage(fmt.Errorf("[throttle]: %w", err), "")
	}
	for number, account := range c.Accounts {
		if !accountNumber.MatchString(number) {
			return usage(fmt.Errorf("account %q is not twelve digits", number), "write [accounts.111122223333]")
		}
		if err := account.check(); err != nil {
			return usage(fmt.Errorf("[accounts.%s]: %w", number, err), "")
		}
	}
	return nil
}

func (a Account) check() error {
	switch a.Profile {
	case "", profileDefault, profileStrict:
	default:
		return fmt.Errorf("profile = %q is none of %s, %s", a.Profile, profileDefault, profileStrict)
	}
	if err := a.Limits.Check(); err != nil {
		return err
	}
	return a.Throttle.check()
}

// profiles are the profiles of all accounts.
func (c *Config) profiles() *control.Profiles {
	accounts := make(map[string]control.Profile, len(c.Accounts))
	for number, account := range c.Accounts {
		strict, under := c.Profile == profileStrict, c.Limits
		if account.Profile != "" {
			strict, under = account.Profile == profileStrict, control.Limits{}
		}
		accounts[number] = control.NewProfile(strict, account.Limits.Or(under))
	}
	return control.NewProfiles(control.NewProfile(c.Profile == profileStrict, c.Limits), accounts)
}
