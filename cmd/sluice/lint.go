package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"

	"sluice/internal/lint"
)

type lintCommand struct {
	endpointFlags
	RuleSet []string `sep:"none" placeholder:"ID|FILE" help:"Rule set: its id on the server, or a file with the JSON of CreateRuleSet or GetRuleSet."`
	Policy  []string `sep:"none" placeholder:"ID|FILE" help:"Traffic policy, likewise."`
}

// Help is the part of --help below the flags' summary.
func (lintCommand) Help() string {
	return `It finds what the API takes and what is wrong all the same: rules and statements that can never match or are never reached,
relays, archives and address lists that do not exist, rule sets that leave mail unrouted. Without a flag it looks at every rule set and
traffic policy of the account; with files alone it asks no server, and takes all of these to exist. It exits with 1 when a finding is an
ERROR. In CI:

  sluice lint --rule-set rules.json --policy policy.json`
}

// finding is a finding and what it is about.
type finding struct {
	Kind     string `json:"kind"` // rule set, traffic policy
	Resource string `json:"resource"`
	lint.Finding
}

// errFindings says that lint has found what must be corrected.
var errFindings = errors.New("there are findings of level ERROR")

// Run looks at each resource and prints what it finds.
func (c *lintCommand) Run(ctx context.Context, to streams) error {
	from := &resources{endpointFlags: c.endpointFlags}
	if err := c.everything(ctx, from); err != nil {
		return err
	}
	found := []finding{}
	for _, name := range c.RuleSet {
		list, err := lintRuleSet(ctx, from, name)
		if err != nil {
			return err
		}
		found = append(found, list...)
	}
	for _, name := range c.Policy {
		list, err := lintPolicy(ctx, from, name)
		if err != nil {
			return err
		}
		found = append(found, list...)
	}
	if err := c.print(to.out, found); err != nil {
		return err
	}
	return failing(found)
}

// everything names all of the account where nothing was named.
func (c *lintCommand) everything(ctx context.Context, from *resources) (err error) {
	if len(c.RuleSet)+len(c.Policy) > 0 {
		return nil
	}
	if c.RuleSet, err = from.list(ctx, listing{"ListRuleSets", "RuleSets", "RuleSetId", map[string]any{}}); err != nil {
		return err
	}
	c.Policy, err = from.list(ctx, listing{"ListTrafficPolicies", "TrafficPolicies", "TrafficPolicyId", map[string]any{}})
	return err
}

// lintRuleSet looks up the relays, archives and address lists of a rule set that the server has.
func lintRuleSet(ctx context.Context, from *resources, name string) (found []finding, err error) {
	set, err := from.ruleSet(ctx, name)
	if err != nil {
		return nil, err
	}
	var known lint.Known
	if set.remote {
		servers, err := serversOf(ctx, from, set.Rules)
		if err != nil {
			return nil, err
		}
		known.Relays = func(id string) bool { return servers[id] != "" }
		if known.Archives, err = archivesThatExist(ctx, from, set.Rules); err != nil {
			return nil, err
		}
		if known.Lists, err = listsThatExist(ctx, from, listsInRules(set.Rules)); err != nil {
			return nil, err
		}
	}
	for _, f := range lint.RuleSet(set.Rules, known) {
		found = append(found, finding{"rule set", name, f})
	}
	return found, nil
}

// lintPolicy looks up the address lists of a traffic policy that the server has.
func lintPolicy(ctx context.Context, from *resources, name string) (found []finding, err error) {
	p, err := from.trafficPolicy(ctx, name)
	if err != nil {
		return nil, err
	}
	var known lint.Known
	if p.remote {
		if known.Lists, err = listsThatExist(ctx, from, listsInStatements(p.PolicyStatements)); err != nil {
			return nil, err
		}
	}
	for _, f := range lint.Policy(p.PolicyStatements, *p.DefaultAction, known) {
		found = append(found, finding{"traffic policy", name, f})
	}
	return found, nil
}

// listsThatExist tells those of the named address lists that the server has.
func listsThatExist(ctx context.Context, from *resources, names []string) (lint.Exist, error) {
	exist := map[string]bool{}
	for _, name := range names {
		ok, err := from.hasList(ctx, name)
		if err != nil {
			return nil, err
		}
		exist[name] = ok
	}
	return func(name string) bool { return exist[name] }, nil
}

func failing(found []finding) error {
	for _, f := range found {
		if f.Level == lint.LevelError {
			return errFindings
		}
	}
	return nil
}

func (c *lintCommand) print(w io.Writer, found []finding) error {
	if c.JSON {
		return printJSON(w, struct {
			Findings []finding `json:"findings"`
		}{found})
	}
	out := bufio.NewWriter(w)
	for _, f := range found {
		fmt.Fprintf(out, "%s %s %s%s: %s\n    hint: %s\n", f.Code, f.Level, f.Resource, place(&f), f.Text, f.Hint)
	}
	if len(found) == 0 {
		fmt.Fprintln(out, "nothing is wrong with", len(c.RuleSet), "rule sets and", len(c.Policy), "traffic policies")
	}
	return out.Flush()
}

// place is which part of the resource a finding is about.
func place(f *finding) string {
	part := " rule"
	switch {
	case f.Index == 0:
		return ""
	case f.Kind == "traffic policy":
		part = " statement"
	}
	text := fmt.Sprintf("%s %d", part, f.Index)
	if f.Name != "" {
		text += fmt.Sprintf(" %q", f.Name)
	}
	return text
}
