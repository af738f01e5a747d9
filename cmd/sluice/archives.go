package main

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"strings"

	"sluice/internal/lint"
	"sluice/internal/mailmanager"
)

// archivesThatExist tells which archives of the server actions can name: by id, name or ARN, those that are ACTIVE (Mail
// Manager, A23). The server is asked when rules name any.
func archivesThatExist(ctx context.Context, from *resources, rules []mailmanager.Rule) (lint.Exist, error) {
	exist := map[string]bool{}
	named := archivesNamed(rules)
	if len(named) > 0 {
		if err := from.activeArchives(ctx, exist); err != nil {
			return nil, err
		}
	}
	for _, target := range named {
		if id := path.Base(target); strings.HasPrefix(target, "arn:") && exist[id] {
			arn, err := from.archiveARN(ctx, id)
			if err != nil {
				return nil, err
			}
			exist[arn] = true
		}
	}
	return func(target string) bool { return exist[target] }, nil
}

// archivesNamed are the archives that rules name.
func archivesNamed(rules []mailmanager.Rule) (targets []string) {
	for _, r := range rules {
		for _, a := range r.Actions {
			if a.Archive != nil {
				targets = append(targets, string(mailmanager.Value(a.Archive.TargetArchive)))
			}
		}
	}
	return targets
}

// activeArchives notes the id and the name of every archive of the server that is not being deleted.
func (r *resources) activeArchives(ctx context.Context, exist map[string]bool) error {
	input := map[string]string{}
	for {
		answer, err := r.ask(ctx, "ListArchives", input)
		if err != nil {
			return err
		}
		var page struct {
			Archives  []struct{ ArchiveId, ArchiveName, ArchiveState string }
			NextToken string
		}
		if err := json.Unmarshal(answer, &page); err != nil {
			return fmt.Errorf("ListArchives: %w", err)
		}
		for _, a := range page.Archives {
			if a.ArchiveState == string(mailmanager.ArchiveStateActive) {
				exist[a.ArchiveId], exist[a.ArchiveName] = true, true
			}
		}
		if page.NextToken == "" {
			return nil
		}
		input["NextToken"] = page.NextToken
	}
}

// archiveARN is the ARN of an archive of the server.
func (r *resources) archiveARN(ctx context.Context, id string) (string, error) {
	answer, err := r.ask(ctx, "GetArchive", map[string]string{"ArchiveId": id})
	if err != nil {
		return "", err
	}
	var archive struct{ ArchiveArn string }
	if err := json.Unmarshal(answer, &archive); err != nil {
		return "", fmt.Errorf("GetArchive: %w", err)
	}
	return archive.ArchiveArn, nil
}
