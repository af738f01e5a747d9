package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"sluice/internal/addressfile"
	"sluice/internal/addresslist"
	"sluice/internal/control"
	"sluice/internal/mailmanager"
)

// membersPage is how many members of an address list are asked for at once. Mail Manager, ListMembersOfAddressList.
const membersPage = 1000

// listsOf are the address lists that exist for a simulation. It implements control.AddressLists.
type listsOf struct {
	given   map[string]*addresslist.List // by flags: by id, whatever account and region an ARN is of
	found   map[string]*addresslist.List // on the server, as they are named
	missing []string                     // that are named and do not exist, as they are named
}

// AddressList finds a list.
func (l *listsOf) AddressList(_ control.Scope, idOrARN string) (*addresslist.List, bool) {
	list, ok := l.given[idInARN(idOrARN)]
	if !ok {
		list, ok = l.found[idOrARN]
	}
	return list, ok
}

// String says which lists are missing; it is empty when none is.
func (l *listsOf) String() string {
	if len(l.missing) == 0 {
		return ""
	}
	return "note: address lists that do not exist, whose conditions cannot be told: " + strings.Join(l.missing, ", ") +
		"; --list ID=FILE gives one"
}

// lists brings the address lists together that the rule set and the policy name: those of the flags, and for what the server
// has, those of the server.
func (c *simulateCommand) lists(ctx context.Context, from *resources, set *ruleSet, pol *trafficPolicy) (*listsOf, error) {
	l := &listsOf{given: map[string]*addresslist.List{}, found: map[string]*addresslist.List{}}
	for _, flag := range c.List {
		name, file, _ := strings.Cut(flag, "=")
		if name == "" || file == "" {
			return nil, usage(fmt.Errorf("--list %q is not ID=FILE", flag), "say --list ID=FILE, with one address a line")
		}
		list, err := readList(file)
		if err != nil {
			return nil, err
		}
		l.given[idInARN(name)] = list
	}
	for _, named := range []struct {
		remote bool
		lists  []string
	}{{set.remote, listsInRules(set.Rules)}, {pol.remote, listsInStatements(pol.PolicyStatements)}} {
		for _, name := range named.lists {
			if err := l.find(ctx, from, name, named.remote); err != nil {
				return nil, err
			}
		}
	}
	return l, nil
}

// find adds a list that is named, from the server if it is to be found there.
func (l *listsOf) find(ctx context.Context, from *resources, name string, remote bool) error {
	if _, known := l.AddressList(control.Scope{}, name); known || slices.Contains(l.missing, name) {
		return nil
	}
	if remote {
		exists, err := from.hasList(ctx, name)
		if err != nil {
			return err
		}
		if exists {
			l.found[name], err = from.members(ctx, name)
			return err
		}
	}
	l.missing = append(l.missing, name)
	return nil
}

// readList reads a file with one member a line, as an import would; but a bad row is an error.
func readList(name string) (*addresslist.List, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, usage(fmt.Errorf("--list: %w", err), "")
	}
	defer file.Close() // it is only read
	list := addresslist.New()
	for rows := addressfile.NewReader(addressfile.CSV, file, addressfile.Place{}); ; {
		row, err := rows.Next()
		switch {
		case errors.Is(err, io.EOF):
			return list, nil
		case err != nil:
			return nil, usage(fmt.Errorf("--list: %w", err), "")
		}
		e, err := addresslist.Parse(row.Address)
		if row.Problem != "" {
			err = errors.New(row.Problem)
		}
		if err != nil {
			return nil, usage(fmt.Errorf("--list: %s, line %d: %w", name, row.Number, err), "the file is CSV as for an import, with one address, domain or wildcard a line")
		}
		list.Add(e)
	}
}

// hasList reports whether the server has an address list, by its id or ARN.
func (r *resources) hasList(ctx context.Context, idOrARN string) (bool, error) {
	if ours, err := r.isOurs(ctx, idOrARN); !ours {
		return false, err
	}
	_, ok, err := r.find(ctx, "GetAddressList", map[string]string{"AddressListId": idInARN(idOrARN)})
	return ok, err
}

// members are the members of an address list of the server.
func (r *resources) members(ctx context.Context, idOrARN string) (*addresslist.List, error) {
	list := addresslist.New()
	input := map[string]any{"AddressListId": idInARN(idOrARN), "PageSize": membersPage}
	members, err := r.list(ctx, listing{"ListMembersOfAddressList", "Addresses", "Address", input})
	if err != nil {
		return nil, err
	}
	for _, text := range members {
		if e, err := addresslist.Parse(text); err == nil {
			list.Add(e)
		}
	}
	return list, nil
}

// listsInRules are the address lists that rules name.
func listsInRules(rules []mailmanager.Rule) (names []string) {
	for _, r := range rules {
		for _, c := range slices.Concat(r.Conditions, r.Unless) {
			in := mailmanager.Value(mailmanager.Value(c.BooleanExpression).Evaluate).IsInAddressList
			names = appendTexts(names, mailmanager.Value(in).AddressLists)
		}
	}
	return names
}

// listsInStatements are the address lists that a traffic policy names.
func listsInStatements(statements []mailmanager.PolicyStatement) (names []string) {
	for _, s := range statements {
		for _, c := range s.Conditions {
			in := mailmanager.Value(mailmanager.Value(c.BooleanExpression).Evaluate).IsInAddressList
			names = appendTexts(names, mailmanager.Value(in).AddressLists)
		}
	}
	return names
}

func appendTexts(texts []string, lists []mailmanager.AddressListArn) []string {
	for _, list := range lists {
		texts = append(texts, string(list))
	}
	return texts
}
