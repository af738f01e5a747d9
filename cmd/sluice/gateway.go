package main

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"sluice/internal/action"
	"sluice/internal/admin"
	"sluice/internal/audit"
	"sluice/internal/awsapi"
	"sluice/internal/certs"
	"sluice/internal/control"
	"sluice/internal/identity"
	"sluice/internal/ingress"
	"sluice/internal/mailmanager"
	"sluice/internal/objects/files"
	"sluice/internal/rdns"
	"sluice/internal/records"
	"sluice/internal/seal"
	"sluice/internal/smtpd"
	"sluice/internal/srs"
	"sluice/internal/store/sqlite"
	"sluice/internal/throttle"
)

// What is in the data directory, beside the root credentials.
const (
	masterKeyFile = "master-key"
	storeFile     = "resources.sqlite"
	auditFile     = "audit/audit.jsonl"
	objectsFolder = "objects"
	spoolFolder   = "spool"
	traceFolder   = "trace"
)

// masterKeyVariable has the master key where it must not lie beside the data it protects.
const masterKeyVariable = "SLUICE_MASTER_KEY"

// gateway is everything behind the HTTP address. Its parts are opened from the disk upwards; mail, which needs the most of the
// disk, is opened last, and later than the others when its disk is not ready (storage.go).
type gateway struct {
	server *server

	store        *sqlite.Store
	objects      *files.Store
	certificates *certs.Certificates
	records      *records.Log
	names        *rdns.Names
	authorities  map[string]*x509.CertPool
	keys         *seal.Keys
	rewriter     *srs.Rewriter // nil: senders are not replaced
	profiles     *control.Profiles
	users        *identity.Users
	audit        *audit.Log
	control      *control.Control
	relays       *action.RelayExecutor
	planner      *action.Planner
	reporter     *action.Reporter
	ingress      *ingress.Ingress
	tokens       *awsapi.PageTokens // of the admin API
	smtp         *smtpd.Server

	api       http.Handler
	admin     adminAPI
	readiness admin.Readiness
	undo      []func() error // in the order of opening

	storage *storage
}

// openGateway opens the parts and joins them. Nothing is listened on before run.
func openGateway(ctx context.Context, s *server) (*gateway, error) {
	g := &gateway{server: s, profiles: s.cfg.profiles(), storage: newStorage(s.registry)}
	for _, open := range []func(context.Context) error{
		g.openKeys, g.openCertificates, g.openRecords, g.openNames, g.openIngress, g.openControl, g.openUsers, g.openActions, g.openSMTP, g.openAPI, g.tryMail,
	} {
		if err := open(ctx); err != nil {
			return nil, errors.Join(err, g.close())
		}
	}
	return g, nil
}

// openKeys opens what secrets are sealed under, and what is derived from it.
func (g *gateway) openKeys(context.Context) (err error) {
	s := g.server
	if g.keys, err = openSeal(filepath.Join(s.dir.path, masterKeyFile)); err != nil {
		return err
	}
	g.rewriter = s.cfg.rewriter(g.keys.Derive)
	return nil
}

// openRecords opens the log that records of AWS's form go to, when any are asked for.
func (g *gateway) openRecords(context.Context) (err error) {
	s := g.server
	if g.records, err = records.Open(records.Config{Kinds: s.cfg.LogRecords, Path: s.cfg.LogRecordsFile, Logger: s.log, Registerer: s.registry}); err != nil {
		return hint(fmt.Errorf("open the log of records: %w", err), "name a file that can be written with --log-records-file")
	}
	g.undo = append(g.undo, g.records.Close)
	return nil
}

// openNames prepares the look-ups of clients' names.
func (g *gateway) openNames(context.Context) error {
	s := g.server
	if !s.cfg.ReverseDNS {
		return nil
	}
	names := rdns.New(rdns.Config{Now: s.now, Logger: s.log, Registerer: s.registry})
	g.names = names
	g.undo = append(g.undo, names.Close)
	return nil
}

// clientNames is nil, and no interface that holds nil, when names are not looked up.
func (g *gateway) clientNames() ingress.Names {
	if g.names == nil {
		return nil
	}
	return g.names
}

// openIngress prepares the sockets; the control plane and mail are joined once they are there.
func (g *gateway) openIngress(context.Context) error {
	cfg := g.server.cfg
	pool, err := ingress.ParsePool(cfg.SMTP)
	if err != nil {
		return usage(err, "")
	}
	listeners := map[string]ingress.ListenerConfig{}
	for name, l := range cfg.Listeners {
		listeners[name] = l.ingress()
	}
	g.ingress = ingress.New(ingress.Config{
		Pool: pool, Listeners: listeners, Certificates: g.certificates, Names: g.clientNames(), Records: g.records,
		SRS: g.rewriter, Return: g.bounceRoute,
		MaxRecipients: cfg.MaxRecipients, Inherited: g.server.inherited.Claim, Now: g.server.now, Logger: g.server.log, Registerer: g.server.registry,
	})
	return nil
}

func (g *gateway) openControl(ctx context.Context) (err error) {
	s := g.server
	keys := g.keys
	if g.tokens, err = awsapi.NewPageTokens(keys.Derive("admin: page tokens"), s.now); err != nil {
		return err
	}
	if err := g.openStore(ctx); err != nil {
		return err
	}
	if g.authorities, err = s.cfg.loadAuthorities(); err != nil {
		return err
	}
	g.objects = files.New(files.Config{Folder: s.dir.file(objectsFolder), Key: keys.Derive("objects: signed URLs"), URL: s.url, Now: s.now})
	g.control, err = control.Open(ctx, control.Config{
		Store: g.store, Seal: keys, Sockets: g.ingress, Now: s.now, Logger: s.log,
		Profiles: g.profiles, MailDomain: s.cfg.MailDomain,
		RelayChanged: g.probe,
		HasAuthority: func(name string) bool { return g.authorities[name] != nil },
		HasAnalyzer:  s.cfg.hasAnalyzer,
		Objects:      g.objects, Traffic: g.traffic, Registerer: s.registry,
	})
	if err != nil {
		return fmt.Errorf("open the control plane: %w", err)
	}
	return nil
}

// openStore opens the resources: read-only where the disk takes no writes, for what is there can be told and mail be answered
// 421 all the same (S29). What cannot be read either ends the process: without resources there is nothing to serve.
func (g *gateway) openStore(ctx context.Context) (err error) {
	s := g.server
	path := s.dir.file(storeFile)
	if g.store, err = sqlite.Open(ctx, path); err != nil && !isFinal(err) {
		var failed error
		if g.store, failed = sqlite.OpenReadOnly(ctx, path); failed == nil {
			s.log.Error("the API answers and changes nothing: its store cannot be opened for writing", "error", err.Error(), "hint", storageHint(err))
			err = nil
		}
	}
	if err != nil {
		return fmt.Errorf("open the store: %w", err)
	}
	g.undo = append(g.undo, g.store.Close)
	return nil
}

// openSeal takes the master key from the environment or from its file, which the first start makes.
func openSeal(path string) (*seal.Keys, error) {
	text := os.Getenv(masterKeyVariable)
	if text == "" {
		master, err := seal.File(path)
		if err != nil {
			return nil, fmt.Errorf("master key: %w", err)
		}
		return seal.New(master)
	}
	master, err := seal.Parse(text)
	if err != nil {
		return nil, usage(fmt.Errorf("%s: %w", masterKeyVariable, err), "")
	}
	return seal.New(master)
}

// openActions makes what the steps of rules are done with.
func (g *gateway) openActions(context.Context) (err error) {
	s := g.server
	g.relays = action.NewRelayExecutor(action.RelayConfig{
		Relays: g.control, Secret: g.control.Secret, Strict: g.profiles.Strict, Hello: s.cfg.hostname(),
		Connections: s.cfg.RelayConnections, Authorities: g.authorities, Log: s.log, Metrics: s.registry,
	})
	g.planner = action.NewPlanner(action.PlannerConfig{Relays: g.control, Secret: g.control.Secret, Strict: g.profiles.Strict, Rewriter: g.rewriter})
	g.reporter, err = g.newReporter()
	return err
}

// newReporter makes what tells senders. A host name that is no domain needs another address to tell from.
func (g *gateway) newReporter() (*action.Reporter, error) {
	s := g.server
	from, err := s.cfg.bouncesFrom()
	if err != nil {
		return nil, usage(fmt.Errorf("whom notifications are from: %w", err), "set hostname, or from of [bounces]")
	}
	return action.NewReporter(action.ReporterConfig{
		Route: g.bounceRoute, Always: s.cfg.alwaysBounces(), From: from, Hostname: s.cfg.hostname(),
		Now: time.Now, Logger: s.log, Registerer: s.registry,
	}), nil
}

func (g *gateway) openSMTP(context.Context) error {
	s := g.server
	g.smtp = smtpd.New(smtpd.Config{
		Hostname: s.cfg.hostname(), Host: g.ingress.Host(), MaxConnections: s.cfg.MaxConnections,
		GreetingDelay: time.Duration(s.cfg.GreetingDelay),
		MaxPerSource:  s.cfg.MaxConnectionsPerSource, Logger: s.log, Registerer: s.registry,
	})
	g.ingress.Attach(g.control, g.smtp)
	return nil
}

func (g *gateway) openAPI(context.Context) error {
	s := g.server
	g.readiness = admin.Readiness{
		{Name: "storage", Failing: g.storage.failing},
		{Name: "queue", Failing: g.storage.behind},
	}
	g.admin.serve(g.adminConfig(admin.Mail{}))
	g.api = awsapi.New(awsapi.Config{
		Services:    []awsapi.Service{awsapi.MailManager(g.control), awsapi.SecretsManager(g.control.Secrets())},
		Admin:       &g.admin,
		Credentials: g.users,
		Authorizer:  identity.NewAuthorizer(g.users, g.control),
		Auditor:     auditor{g.audit},
		Regions:     s.cfg.Regions,
		Throttle:    throttle.New(s.cfg.rateOf, time.Now()),
		Log:         s.log,
		Metrics:     s.registry,
	})
	return nil
}

// adminConfig is the admin API's, with mail or without.
func (g *gateway) adminConfig(mail admin.Mail) admin.Config {
	return admin.Config{
		Mail: mail, Points: g.control, Sockets: g.ingress, Relays: relayTrials{g.control, g.relays}, Readiness: g.readiness,
		Resources: g.control, Tokens: g.tokens, Operator: defaultAccount, Log: g.server.log,
		Users:        g.users,
		StatusReason: g.statusReason, Version: version(), Profile: g.profileName,
	}
}

func (g *gateway) profileName(account string) string {
	if g.profiles.Strict(account) {
		return profileStrict
	}
	return profileDefault
}

// adminAPI is the admin API that serves now: another one takes its place when mail is opened.
type adminAPI struct{ now atomic.Pointer[admin.API] }

func (a *adminAPI) serve(config admin.Config) { a.now.Store(admin.New(config)) }

// HandleAdmin implements awsapi.AdminHandler.
func (a *adminAPI) HandleAdmin(ctx context.Context, caller awsapi.Caller, operation string, input json.RawMessage) (any, error) {
	return a.now.Load().HandleAdmin(ctx, caller, operation, input)
}

// relayTrials is the admin API's way to relays: found by the control plane, tried as mail would.
type relayTrials struct {
	*control.Control
	*action.RelayExecutor
}

// statusReason asks the control plane why a point is FAILED: the snapshot that sessions read does not have it.
func (g *gateway) statusReason(key control.Key) string {
	operation, _ := mailmanager.Lookup("GetIngressPoint")
	caller := awsapi.Caller{Account: key.Account, Region: key.Region}
	id := mailmanager.IngressPointId(key.ID)
	answer, err := g.control.Handle(context.Background(), caller, operation, &mailmanager.GetIngressPointRequest{IngressPointId: &id})
	point, ok := answer.(*mailmanager.GetIngressPointResponse)
	if err != nil || !ok {
		return "" // it was deleted meanwhile
	}
	return mailmanager.Value(point.StatusReason)
}

// start opens the sockets of the ingress points, and follows the files of certificates until ctx ends. It returns at once, and
// before run and drain are called.
func (g *gateway) start(ctx context.Context) {
	go g.certificates.Watch(ctx, certs.DefaultInterval)
	g.control.Start(context.WithoutCancel(ctx))
}

// run lets mail through until drain, as soon as mail can be opened. The end of ctx does not end it then: sessions that are running
// may still bring mail.
func (g *gateway) run(ctx context.Context) error {
	again := time.NewTicker(storageRetry)
	defer again.Stop()
	m, err := g.awaitMail(ctx, again.C)
	if m == nil {
		return err
	}
	m.queue.Run(context.WithoutCancel(ctx))
	return nil
}

// drain ends what is running: no connection is taken any more and no step begins; idle sessions get 421. Running sessions and
// running steps have the same time, so that a session which takes all of it cuts no relaying short, which would deliver twice.
// What sessions still bring waits in the spool for the next start.
func (g *gateway) drain() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(g.server.cfg.SessionDrain))
	defer cancel()
	log := g.server.log
	if err := g.control.Close(ctx); err != nil {
		log.Warn("life cycle of ingress points cut short", "error", err.Error())
	}
	g.ingress.Shutdown()
	var ends sync.WaitGroup
	defer ends.Wait()
	ends.Go(func() {
		if err := g.drainMail(ctx); err != nil {
			log.Warn("running steps cut short; they will run again", "error", err.Error())
		}
	})
	if err := g.smtp.Shutdown(ctx); err != nil {
		log.Warn("SMTP sessions cut short", "error", err.Error())
	}
}

// close gives the disk back. It is called after run has returned, or instead of it.
func (g *gateway) close() error {
	var all []error
	if m := g.storage.mail.Load(); m != nil {
		all = append(all, m.close())
	}
	for _, undo := range slices.Backward(g.undo) {
		all = append(all, undo())
	}
	return errors.Join(all...)
}

// hostname is what we call ourselves where no ingress point is concerned.
func (c *Config) hostname() string {
	if c.Hostname != "" {
		return c.Hostname
	}
	if name, err := os.Hostname(); err == nil && name != "" {
		return name
	}
	return "localhost"
}
