package main

import (
	"fmt"
	"slices"
	"strings"

	"sluice/internal/control"
)

// checkAnalyzers refuses analyzers of add-ons that AWS does not have: nobody could subscribe to them (Mail Manager, F16).
func (c *Config) checkAnalyzers() error {
	for name := range c.Analyzers {
		if names := control.AddonNames(); !slices.Contains(names, name) {
			return usage(fmt.Errorf("[analyzers.%s]: there is no such add-on", name), "name one of "+strings.Join(names, ", "))
		}
	}
	return nil
}

// hasAnalyzer reports whether an add-on can be subscribed to.
func (c *Config) hasAnalyzer(addonName string) bool {
	_, ok := c.Analyzers[addonName]
	return ok
}
