package main

import (
	"fmt"
	"slices"
	"strings"

	"sluice/internal/mailmanager"
	"sluice/internal/secretsmanager"
	"sluice/internal/throttle"
)

// Throttle is the [throttle] table of the configuration file, or that of an account.
type Throttle struct {
	// Rate is how many requests a second an account may make of each operation, in the long run. 0 has no limit.
	Rate *float64 `toml:"rate"`

	// Burst is how many requests may come at once after a rest. By default it is one second's.
	Burst int `toml:"burst"`

	// Operations is a table of rates of operations by their names, such as CreateRelay = { rate = 1, burst = 5 }. They win over rate.
	Operations map[string]Rate `toml:"operations"`
}

// Rate is an entry of the table operations of a Throttle.
type Rate struct {
	// Rate is how many requests of this operation an account may make in a second.
	Rate *float64 `toml:"rate"`

	// Burst is how many may come at once.
	Burst int `toml:"burst"`
}

// identityOperation is the operation of STS (Mail Manager, A30).
const identityOperation = "GetCallerIdentity"

func (t Throttle) check() error {
	if t.Rate == nil && t.Burst != 0 {
		return fmt.Errorf("burst is set, and rate is not")
	}
	if t.Rate != nil {
		if err := checkRate(*t.Rate, t.Burst); err != nil {
			return err
		}
	}
	for name, rate := range t.Operations {
		if !isOperation(name) {
			return fmt.Errorf("there is no operation %q", name)
		}
		if rate.Rate == nil {
			return fmt.Errorf("operation %s has no rate", name)
		}
		if err := checkRate(*rate.Rate, rate.Burst); err != nil {
			return fmt.Errorf("operation %s: %w", name, err)
		}
	}
	return nil
}

func checkRate(rate float64, burst int) error {
	if rate != 0 && !(rate >= throttle.MinPerSecond && rate <= throttle.MaxPerSecond) { // also not a number
		return fmt.Errorf("rate is %v, neither 0 nor from one an hour (%.4f) to %.0f", rate, throttle.MinPerSecond, throttle.MaxPerSecond)
	}
	if burst < 0 || burst > throttle.MaxBurst {
		return fmt.Errorf("burst is %d, at least 1 and at most %d", burst, throttle.MaxBurst)
	}
	return nil
}

func isOperation(name string) bool {
	has := func(table []mailmanager.Operation) bool {
		return slices.ContainsFunc(table, func(op mailmanager.Operation) bool { return op.Name == name })
	}
	return has(mailmanager.Operations()) || has(secretsmanager.Operations()) || name == identityOperation
}

// of is the rate of an operation, if the table has any for it.
func (t Throttle) of(operation string) (throttle.Rate, bool) {
	if own, ok := t.Operations[operation]; ok {
		return rateOf(*own.Rate, own.Burst), true
	}
	if t.Rate != nil {
		return rateOf(*t.Rate, t.Burst), true
	}
	return throttle.Rate{}, false
}

func rateOf(rate float64, burst int) throttle.Rate {
	if burst == 0 {
		burst = min(max(1, int(rate)), throttle.MaxBurst)
	}
	return throttle.Rate{PerSecond: rate, Burst: burst}
}

// rateOf is the rate of an account for an operation, which has its service in front: that of the account, or else that of all.
func (c *Config) rateOf(account, operation string) throttle.Rate {
	_, name, _ := strings.Cut(operation, ".")
	if rate, ok := c.Accounts[account].Throttle.of(name); ok {
		return rate
	}
	rate, _ := c.Throttle.of(name)
	return rate
}
