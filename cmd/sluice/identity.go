package main

import (
	"context"
	"fmt"
	"net/http"

	"sluice/internal/audit"
	"sluice/internal/awsapi"
	"sluice/internal/control"
	"sluice/internal/identity"
	"sluice/internal/objects/files"
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

// signedURL is who makes a request that nobody's key has signed, but whose URL was given to somebody by a call.
const signedURL = "signed-url"

// used notes what was done by a signed URL (S41). Of what only pretends to be one, the URL is not noted.
func (a auditor) used(u files.Use) {
	e := audit.Entry{
		Time: u.Began, Operation: "objects." + objectOperation(u.Request.Method), Address: u.Request.RemoteAddr, UserAgent: u.Request.UserAgent(),
		Code: u.Code, Status: u.Status, Duration: u.Took,
	}
	if u.Signed {
		scope, _ := control.ObjectScope(u.Key) // it has one
		e.Principal, e.Resources, e.Account, e.Region = signedURL, []string{u.Key}, scope.Account, scope.Region
	}
	a.log.Append(e)
}

func objectOperation(method string) string {
	switch method {
	case http.MethodPut:
		return "PutObject"
	case http.MethodGet:
		return "GetObject"
	default:
		return "Unknown"
	}
}
