package main

import (
	"context"
	"fmt"

	"sluice/internal/audit"
	"sluice/internal/awsapi"
	"sluice/internal/identity"
)

// openUsers loads who may use the API, and opens the log of what they do.
func (g *gateway) openUsers(ctx context.Context) (err error) {
	s := g.server
	if g.users, err = identity.Open(ctx, identity.Config{Store: g.store, Seal: g.keys, Root: s.credentials, Now: s.now, Logger: s.log}); err != nil {
		return fmt.Errorf("open the users: %w", err)
	}
	g.undo = append(g.undo, g.users.Close)
	path := s.cfg.AuditLog
	if path == "" {
		path = s.dir.file(auditFile)
	}
	if g.audit, err = audit.Open(audit.Config{Path: path, Now: s.now, Logger: s.log, Registerer: s.registry}); err != nil {
		return hint(err, "name a file that can be written with --audit-log")
	}
	g.undo = append(g.undo, g.audit.Close)
	return nil
}

// auditor is the audit log as the API knows it.
type auditor struct{ log *audit.Log }

// Audit implements awsapi.Auditor.
func (a auditor) Audit(e awsapi.Entry) { a.log.Append(audit.Entry(e)) }
