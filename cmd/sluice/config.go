package main

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"github.com/pelletier/go-toml/v2"

	"sluice/internal/control"
	"sluice/internal/ingress"
	"sluice/internal/records"
	"sluice/internal/smtpd"
)

// Defaults that scripts rely on. Source: design contract, command line.
const (
	defaultAPI  = "127.0.0.1:4579"
	defaultSMTP = "127.0.0.1:2525-2599"
)

// Config is everything that operators set. Each field is a flag, an environment variable SLUICE_<FLAG> and, with
// underscores for hyphens, a key of the configuration file; a flag wins over the environment, that over the file, and
// that over the default. The doc comments are the reference in docs/operate.md.
type Config struct {
	// Config is a file with the settings below, in TOML. A key that it does not know is an error.
	Config string `placeholder:"FILE" toml:"-" help:"Configuration file, in TOML. Flags and environment win over it."`

	// Data is the directory of everything the server keeps: resources, queued mail, traces, keys. It is created, and one
	// server at a time uses it.
	Data string `default:"./sluice-data" placeholder:"DIR" toml:"data" help:"Directory of everything the server keeps."`

	// API is the address of the HTTP API. Beyond loopback it needs api_cert and api_key, or api_insecure.
	API string `name:"api" default:"${api}" placeholder:"HOST:PORT" toml:"api" help:"Address of the HTTP API."`

	// APIURL is the URL that clients reach the API at, where that is not the address: behind a proxy, or by name. The URLs for files of
	// imports begin with it.
	APIURL string `name:"api-url" placeholder:"URL" toml:"api_url" help:"URL that clients reach the API at (default: its address)."`

	// APICert is a file with the API's certificate and its chain, in PEM. With api_key, the API is HTTPS.
	APICert string `name:"api-cert" placeholder:"FILE" toml:"api_cert" help:"Certificate chain of the API, in PEM; with --api-key the API is HTTPS."`

	// APIKey is a file with the private key of api_cert, in PEM.
	APIKey string `name:"api-key" placeholder:"FILE" toml:"api_key" help:"Private key of --api-cert, in PEM."`

	// APIInsecure lets the API be served in clear beyond loopback: requests are signed, but anyone on the way can read them.
	APIInsecure bool `name:"api-insecure" toml:"api_insecure" help:"Serve the API in clear beyond loopback."`

	// APIMaxConnections is how many connections the API's address serves at once; further ones wait until one ends. Those of the address
	// of admin are counted apart.
	APIMaxConnections int `default:"4096" name:"api-max-connections" placeholder:"N" toml:"api_max_connections" help:"Connections to the API at once."`

	// Admin is the address of /metrics. By default it is served on the API address while that is loopback, and else nowhere.
	Admin string `placeholder:"HOST:PORT" toml:"admin" help:"Address of /metrics (default: the API address while that is loopback)."`

	// SMTP is the range of addresses that ingress points without a named listener get one of, and keep for life.
	SMTP string `name:"smtp" default:"${smtp}" placeholder:"HOST:LOW-HIGH" toml:"smtp" help:"Addresses for ingress points without a listener of their own, one each."`

	// SMTPCert is a file with the certificate of SMTP and its chain, in PEM. Together with smtp_key. Without any certificate
	// one that is self-signed is made on the first start, into smtp-cert.pem of the data directory. Files that change are
	// loaded anew within 10 seconds, and at SIGHUP.
	SMTPCert string `name:"smtp-cert" placeholder:"FILE" toml:"smtp_cert" help:"Certificate chain of SMTP, in PEM (default: one that is self-signed)."`

	// SMTPKey is a file with the private key of smtp_cert, in PEM.
	SMTPKey string `name:"smtp-key" placeholder:"FILE" toml:"smtp_key" help:"Private key of --smtp-cert, in PEM."`

	// GreetingDelay is how long a client must be silent before it is greeted, up to 1m; one that talks before is refused. 0s
	// greets at once.
	GreetingDelay Delay `default:"0s" placeholder:"TIME" toml:"greeting_delay" help:"Time for which a client must be silent before it is greeted."`

	// Hostname is what greetings call a socket that several ingress points share. By default it is the machine's name.
	Hostname string `placeholder:"NAME" toml:"hostname" help:"Name in greetings of shared listeners (default: the machine's)."`

	// MailDomain is the domain that the host names of ingress points, their ARecord, are made in.
	MailDomain string `default:"mail-manager-smtp.localhost" placeholder:"DOMAIN" toml:"mail_domain" help:"Domain of the ingress points' host names."`

	// Regions is the list of regions whose requests are served. An empty one stands for any.
	Regions []string `placeholder:"REGION" toml:"regions" help:"Regions that are served, with commas (default: any)."`

	// Profile is "default", or "aws-strict" to enforce the quotas and refusals of AWS, so that a test fails where AWS would.
	Profile string `default:"default" enum:"default,aws-strict" placeholder:"NAME" toml:"profile" help:"Quotas and refusals: ${enum}."`

	// MaxRecipients is how many recipients a transaction may have; the surplus gets 452.
	MaxRecipients int `default:"100" placeholder:"N" toml:"max_recipients" help:"Recipients of a transaction."`

	// MaxConnections is how many SMTP connections are served at once; further ones get 421.
	MaxConnections int `default:"60000" placeholder:"N" toml:"max_connections" help:"SMTP connections at once."`

	// MaxConnectionsPerSource is how many of them may come from one IPv4 address or IPv6 /64.
	MaxConnectionsPerSource int `default:"20000" placeholder:"N" toml:"max_connections_per_source" help:"SMTP connections at once from one address."`

	// SessionDrain is how long running SMTP sessions have to end when the server stops. Idle ones are told at once.
	SessionDrain Duration `default:"30s" placeholder:"TIME" toml:"session_drain" help:"Time for running SMTP sessions to end when the server stops."`

	// RelayConnections is how many connections are open to one relay at once.
	RelayConnections int `default:"20" placeholder:"N" toml:"relay_connections" help:"Connections at once to a relay."`

	// RetryFirst is when a message that got a 4yz is tried again. Each further attempt waits twice as long.
	RetryFirst Duration `default:"1m" placeholder:"TIME" toml:"retry_first" help:"Wait before the second attempt; it doubles with each."`

	// RetryMax is the longest wait between two attempts.
	RetryMax Duration `default:"4h" placeholder:"TIME" toml:"retry_max" help:"Longest wait between two attempts."`

	// GiveUp is how long after its acceptance a message is tried.
	GiveUp Duration `default:"120h" placeholder:"TIME" toml:"give_up" help:"Time after acceptance at which attempts end."`

	// ProbeFirst is how long a lane waits whose target cannot be reached, before one item probes it. It doubles with each probe.
	ProbeFirst Duration `default:"1m" placeholder:"TIME" toml:"probe_first" help:"Wait before an unreachable target is probed; it doubles with each probe."`

	// ProbeMax is the longest wait between two probes.
	ProbeMax Duration `default:"30m" placeholder:"TIME" toml:"probe_max" help:"Longest wait between two probes."`

	// HeldFor is how long held mail is kept for somebody to look at it.
	HeldFor Duration `default:"168h" placeholder:"TIME" toml:"held_for" help:"Time for which held mail is kept."`

	// HeldOctets is how much unrouted mail is held, in octets of content; beyond it the oldest is bounced.
	HeldOctets int64 `default:"4294967296" placeholder:"N" toml:"held_octets" help:"Octets of unrouted mail that are held before the oldest is bounced."`

	// DiskReserve is how many octets of the data directory's file system must stay free for mail to be taken; less gets 452. 0
	// stands for the larger of 1 GiB and 5 %.
	DiskReserve uint64 `default:"0" placeholder:"N" toml:"disk_reserve" help:"Octets that must stay free for mail to be taken (default: the larger of 1 GiB and 5 %)."`

	// LogLevel is the least severe level that is logged: debug, info, warn or error.
	LogLevel string `default:"${log_level}" enum:"debug,info,warn,error" placeholder:"LEVEL" toml:"log_level" help:"Least severe level that is logged: ${enum}."`

	// LogRecords is the list of log records that are written, in the form of AWS: "ingress-application", one for each accepted
	// message, "traffic-policy-debug", one for each recipient that a traffic policy decided on, and "rule-set-application", one
	// for each action of a rule set and each rule that does not match. None by default.
	LogRecords []records.Kind `placeholder:"KIND" toml:"log_records" help:"Log records of AWS's form that are written, with commas: ingress-application, traffic-policy-debug, rule-set-application (default: none)."`

	// LogRecordsFile is the file that they are appended to, opened anew at SIGHUP. By default they go to standard error.
	LogRecordsFile string `placeholder:"FILE" toml:"log_records_file" help:"File of the log records (default: standard error)."`

	// AuditLog is the file of the audit log, which has a line of JSON for every call of the API, or "-" for standard error. By
	// default it is audit/audit.jsonl in the data directory. A file that is longer than 64 MiB is put aside, and 16 are kept.
	AuditLog string `placeholder:"FILE" toml:"audit_log" help:"File of the audit log, or - for standard error (default: audit/audit.jsonl in the data directory)."`

	// ReverseDNS has the names of clients looked up, for the Received field, traces and records. No session waits for one.
	ReverseDNS bool `name:"reverse-dns" default:"true" negatable:"" toml:"reverse_dns" help:"Look the names of SMTP clients up."`

	// Certificates is a list of further certificates of SMTP. A client gets the one for the name it asks for (SNI), a name
	// before a wildcard, and else the first of all. A name may have one with an RSA key and one with an ECDSA key.
	Certificates []Certificate `kong:"-" toml:"certificates"`

	// Listeners is a table of sockets by name. The tag sluice:listener puts an ingress point on one, or on two joined by +. One with
	// the name of a VPC endpoint has the private ingress points of that endpoint.
	Listeners map[string]Listener `kong:"-" toml:"listeners"`

	// Authorities is a table of files, each with the certificates of a private authority in PEM, by name. The tag sluice:ca of a
	// relay names the one that its certificate is verified against.
	Authorities map[string]string `kong:"-" toml:"authorities"`

	// Analyzers is a table of the add-ons that can be subscribed to, by AWS's names for them: ABUSIX_MAIL_INTELLIGENCE,
	// SPAMHAUS_DBL, TRENDMICRO_VSAPI, VADE_ADVANCED_EMAIL_SECURITY. An empty table [analyzers.NAME] enables one. It enables
	// the resources only: this version asks no analyzer, and conditions on one cannot be told.
	Analyzers map[string]Analyzer `kong:"-" toml:"analyzers"`

	// Bounces is a table of how senders are told what became of their mail.
	Bounces Bounces `kong:"-" toml:"bounces"`

	// SRS is a table of how the action Relay replaces senders where its MailFrom is REPLACE.
	SRS SRS `kong:"-" toml:"srs"`

	// Limits is a table of quotas, for each region of an account. What is not set is as the profile has it.
	Limits control.Limits `kong:"-" toml:"limits"`

	// Throttle is a table of how often an account may call the API. Without it nobody is throttled.
	Throttle Throttle `kong:"-" toml:"throttle"`

	// Accounts is a table of what accounts have of their own, by their twelve digits.
	Accounts map[string]Account `kong:"-" toml:"accounts"`
}

// Duration is a length of time, written as 90s, 5m or 4h.
type Duration time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	if err != nil || parsed <= 0 {
		return fmt.Errorf("%q is not a length of time such as 90s, 5m or 4h", text)
	}
	*d = Duration(parsed)
	return nil
}

// Delay is a length of time that may be none.
type Delay time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Delay) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	if err != nil || parsed < 0 {
		return fmt.Errorf("%q is not a length of time such as 0s, 500ms or 5s", text)
	}
	*d = Delay(parsed)
	return nil
}

// Certificate is an entry of [[certificates]] in the configuration file.
type Certificate struct {
	// Cert is a file with the certificate and its chain, in PEM.
	Cert string `toml:"cert"`

	// Key is a file with its private key, in PEM.
	Key string `toml:"key"`
}

// Listener is a [listeners.NAME] table of the configuration file.
type Listener struct {
	// Addresses is what the listener listens on, each HOST:PORT. At least one.
	Addresses []string `toml:"addresses"`

	// TLS is "starttls", which is the default: clear until the client asks for TLS; "implicit": TLS from the first octet on, as
	// on port 465; or "none".
	TLS string `toml:"tls"`

	// ProxyFrom is a list of addresses and networks, such as "192.0.2.7" and "10.0.0.0/8", of load balancers. Their connections
	// begin with a PROXY protocol header, version 1 or 2, that says who the client is. One from elsewhere is refused.
	ProxyFrom []Network `toml:"proxy_from"`
}

// Analyzer is an [analyzers.NAME] table of the configuration file. It has no keys yet: it is there, or not.
type Analyzer struct{}

// Bounces is the [bounces] table of the configuration file.
type Bounces struct {
	// Route is where notifications leave: the id of a relay, which is looked up in the account and region of the message, or
	// HOST:PORT. Without it they are held in held/bounce.
	Route string `toml:"route"`

	// Always has senders told of failures though nothing says that they are who they say. Without it only those are told who
	// had logged in, and what fails of others is held in held/undeliverable. True unless it is set.
	Always *bool `toml:"always"`

	// From is the address that notifications are from: an address, or a local part at the host name. By default it is postmaster.
	From string `toml:"from"`
}

// SRS is the [srs] table of the configuration file.
type SRS struct {
	// Domain is the domain of replaced senders. Without it an action that wants senders replaced fails.
	Domain string `toml:"domain"`
}

// Network is an address or a network in CIDR notation.
type Network netip.Prefix

// UnmarshalText implements encoding.TextUnmarshaler. Host bits say nothing.
func (n *Network) UnmarshalText(text []byte) error {
	prefix, err := netip.ParsePrefix(string(text))
	if address, alone := netip.ParseAddr(string(text)); alone == nil && address.Zone() == "" {
		prefix, err = netip.PrefixFrom(address, address.BitLen()), nil
	}
	if err != nil || prefix.Addr().Is4In6() { // a client with such an address is an IPv4 client
		return fmt.Errorf("%q is neither an address nor a network such as 10.0.0.0/8 or 2001:db8::/32", text)
	}
	*n = Network(prefix.Masked())
	return nil
}

// tlsModes are the words for TLSMode.
var tlsModes = map[string]smtpd.TLSMode{
	"": smtpd.TLSStart, "starttls": smtpd.TLSStart, "implicit": smtpd.TLSImplicit, "none": smtpd.TLSNone,
}

func (l Listener) check(name string) error {
	if len(l.Addresses) == 0 {
		return usage(fmt.Errorf("listener %q has no addresses", name), `write addresses = ["0.0.0.0:25"]`)
	}
	if _, ok := tlsModes[l.TLS]; !ok {
		return usage(fmt.Errorf("listener %q: tls = %q is none of starttls, implicit, none", name, l.TLS), "")
	}
	return nil
}

// ingress is the listener as package ingress knows it.
func (l Listener) ingress() ingress.ListenerConfig {
	config := ingress.ListenerConfig{Addresses: l.Addresses, TLS: tlsModes[l.TLS]}
	for _, network := range l.ProxyFrom {
		config.ProxyFrom = append(config.ProxyFrom, netip.Prefix(network))
	}
	return config
}

// settle completes what parsing leaves open and refuses what cannot be.
func (c *Config) settle() error {
	if c.Config != "" {
		file, _, err := readConfig(c.Config)
		if err != nil {
			return err
		}
		c.Listeners, c.Certificates = file.Listeners, file.Certificates
		c.Authorities, c.Bounces, c.SRS = file.Authorities, file.Bounces, file.SRS
		c.Limits, c.Throttle, c.Accounts = file.Limits, file.Throttle, file.Accounts
		c.Analyzers = file.Analyzers
	}
	return c.check()
}

// maxGreetingDelay is well below the 5 minutes that clients wait for a greeting (RFC 5321, section 4.5.3.2.1).
const maxGreetingDelay = Delay(time.Minute)

// check refuses what is well-formed but cannot be.
func (c *Config) check() error {
	if (c.APICert == "") != (c.APIKey == "") {
		return usage(errors.New("--api-cert and --api-key go together"), "set both or neither")
	}
	if !isLoopback(c.API) && c.APICert == "" && !c.APIInsecure {
		return usage(fmt.Errorf("the API on %s can be reached from other machines, in clear", c.API),
			"give it --api-cert and --api-key, or say --api-insecure")
	}
	if err := checkAPIURL(c.APIURL); err != nil {
		return err
	}
	if c.GreetingDelay > maxGreetingDelay {
		return usage(fmt.Errorf("--greeting-delay is %s, at most %s", time.Duration(c.GreetingDelay), time.Duration(maxGreetingDelay)), "")
	}
	for name, n := range map[string]int{
		"max-recipients": c.MaxRecipients, "max-connections": c.MaxConnections, "api-max-connections": c.APIMaxConnections,
		"max-connections-per-source": c.MaxConnectionsPerSource, "relay-connections": c.RelayConnections,
	} {
		if n < 1 {
			return usage(fmt.Errorf("--%s is %d, at least 1", name, n), "")
		}
	}
	for name, listener := range c.Listeners {
		if err := listener.check(name); err != nil {
			return err
		}
	}
	if err := c.checkOut(); err != nil {
		return err
	}
	if err := c.checkAccounts(); err != nil {
		return err
	}
	if err := c.checkAnalyzers(); err != nil {
		return err
	}
	return c.checkCertificates()
}

// checkAPIURL refuses what no URL can begin with: signed URLs are made of it.
func checkAPIURL(text string) error {
	if text == "" {
		return nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return usage(fmt.Errorf("--api-url %q is not the URL of an API", text), "such as https://mail.example.com")
	}
	return nil
}

func (c *Config) checkCertificates() error {
	if (c.SMTPCert == "") != (c.SMTPKey == "") {
		return usage(errors.New("--smtp-cert and --smtp-key go together"), "set both or neither")
	}
	for i, certificate := range c.Certificates {
		if certificate.Cert == "" || certificate.Key == "" {
			return usage(fmt.Errorf("certificate %d of [[certificates]] has no cert or no key", i+1), "name a file for each")
		}
	}
	return nil
}

// readConfig reads a configuration file: as it is understood, and as it was written. What is wrong with it is an error of
// usage that names the line.
func readConfig(path string) (Config, map[string]any, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Config{}, nil, usage(fmt.Errorf("read the configuration: %w", err), "")
	}
	var file Config
	decoder := toml.NewDecoder(strings.NewReader(string(text)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&file); err != nil {
		return Config{}, nil, explainTOML(path, err)
	}
	var written map[string]any
	if err := toml.Unmarshal(text, &written); err != nil {
		return Config{}, nil, explainTOML(path, err)
	}
	return file, written, nil
}

func explainTOML(path string, err error) error {
	var unknown *toml.StrictMissingError
	if errors.As(err, &unknown) && len(unknown.Errors) > 0 {
		first := unknown.Errors[0]
		row, _ := first.Position()
		return usage(fmt.Errorf("%s:%d: unknown key %q", path, row, strings.Join(first.Key(), ".")),
			"docs/operate.md lists the keys")
	}
	var malformed *toml.DecodeError
	if errors.As(err, &malformed) {
		row, _ := malformed.Position()
		return usage(fmt.Errorf("%s:%d: %w", path, row, malformed), "")
	}
	return usage(fmt.Errorf("%s: %w", path, err), "")
}

// fileResolver gives flags their value from the configuration file, read once when the first flag asks.
type fileResolver struct {
	path    string
	written map[string]any
}

// Validate implements kong.Resolver.
func (*fileResolver) Validate(*kong.Application) error { return nil }

// Resolve implements kong.Resolver: nil leaves the flag as the command line, the environment or its default has it.
func (r *fileResolver) Resolve(ctx *kong.Context, parent *kong.Path, flag *kong.Flag) (any, error) {
	path := configPath(ctx, parent)
	if path == "" || flag.Name == "config" || inEnvironment(flag) {
		return nil, nil
	}
	if r.path != path {
		_, written, err := readConfig(path)
		if err != nil {
			return nil, err
		}
		r.path, r.written = path, written
	}
	return r.written[strings.ReplaceAll(flag.Name, "-", "_")], nil
}

// configPath is what --config or SLUICE_CONFIG says, for the subcommands that have it.
func configPath(ctx *kong.Context, parent *kong.Path) string {
	for _, flag := range parent.Flags {
		if flag.Name == "config" {
			path, _ := ctx.FlagValue(flag).(string)
			return path
		}
	}
	return ""
}

func inEnvironment(flag *kong.Flag) bool {
	for _, name := range flag.Envs {
		if _, ok := os.LookupEnv(name); ok {
			return true
		}
	}
	return false
}
