package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/diff"

	"sluice/cmd/sluice/internal/render"
	"sluice/internal/action"
	"sluice/internal/control"
	"sluice/internal/mailmanager"
	"sluice/internal/message"
	"sluice/internal/rule"
	"sluice/internal/simulate"
	"sluice/internal/smtp"
	"sluice/internal/srs"
	"sluice/internal/trace"
)

// simulatedAccount is whose message is simulated. Mail Manager, A28.
const simulatedAccount = "000000000000"

// simulatedPort is the client's: nothing decides by it.
const simulatedPort = 25

type simulateCommand struct {
	endpointFlags
	RuleSet string `required:"" placeholder:"ID|FILE" help:"Rule set: its id on the server, or a file with the JSON of CreateRuleSet or GetRuleSet."`
	Policy  string `required:"" placeholder:"ID|FILE" help:"Traffic policy, likewise."`
	Message string `required:"" placeholder:"FILE" help:"File with the message; its line ends become CRLF."`

	From        string   `placeholder:"ADDRESS" help:"Reverse-path. Without it, the null reverse-path."`
	To          []string `required:"" sep:"none" placeholder:"ADDRESS" help:"Recipient; may be given several times."`
	IP          string   `required:"" name:"ip" placeholder:"ADDRESS" help:"Address of the client."`
	Helo        string   `default:"localhost" placeholder:"NAME" help:"What the client says in EHLO."`
	TLS         string   `name:"tls" placeholder:"VERSION" help:"TLSv1.2 or TLSv1.3. Without it, the session is in clear."`
	TLSWrapped  bool     `name:"tls-wrapped" help:"TLS from the first octet on."`
	AuthUser    string   `placeholder:"NAME" help:"Who has authenticated."`
	CertCN      []string `name:"cert-cn" sep:"none" placeholder:"NAME" help:"Common name of the client's certificate."`
	CertSerial  string   `name:"cert-serial" placeholder:"HEX" help:"Its serial number, as 0A:DE."`
	CertEmail   []string `name:"cert-email" sep:"none" placeholder:"ADDRESS" help:"Alternative name of it: an address."`
	CertDNS     []string `name:"cert-dns" sep:"none" placeholder:"NAME" help:"Alternative name of it: a host."`
	CertURI     []string `name:"cert-uri" sep:"none" placeholder:"URI" help:"Alternative name of it: a URI."`
	CertIP      []string `name:"cert-ip" sep:"none" placeholder:"ADDRESS" help:"Alternative name of it: an IP address."`
	Relay       []string `sep:"none" placeholder:"ID" help:"Relay that exists, where the rule set is a file. Without it, every relay does."`
	List        []string `sep:"none" placeholder:"ID=FILE" help:"Address list, and a file with its members, one a line, or CSV as for an import. The lists of the server are found there."`
	Profile     string   `default:"" enum:",default,aws-strict" placeholder:"NAME" help:"Refusals: default or aws-strict. Without it, those of the account for what the server has, and the default for files."`
	SRSDomain   string   `name:"srs-domain" placeholder:"DOMAIN" help:"Domain of replaced senders (MailFrom REPLACE); without one that fails."`
	Stable      bool     `help:"Print the JSON without times, ids and what else differs from one run to the next."`
	Expect      string   `placeholder:"FILE" help:"Compare with what --write-expect or --json wrote: on a difference, show it and exit with 1."`
	WriteExpect string   `placeholder:"FILE" help:"Write the stable JSON to a file."`
}

// Help is the part of --help below the flags' summary.
func (simulateCommand) Help() string {
	return `It says what would become of a message, with the code that mail goes through, and does nothing: no mail is sent, and with
files no server is asked. What it shows is a trace, as of sluice trace; a step that would be taken is an attempt that is QUEUED.

A rule set has tests in CI so. Once, and whenever the decisions are meant to change:

  sluice simulate --rule-set rules.json --policy policy.json --message invoice.eml \
    --from a@example.org --to b@example.com --ip 192.0.2.1 --write-expect invoice.expect.json

On every change, with the same flags but for the last one, where an exit code of 1 says that something is decided otherwise:

  sluice simulate … --expect invoice.expect.json`
}

// Run decides and shows.
func (c *simulateCommand) Run(ctx context.Context, to streams) error {
	from := &resources{endpointFlags: c.endpointFlags}
	set, err := from.ruleSet(ctx, c.RuleSet)
	if err != nil {
		return err
	}
	pol, err := from.trafficPolicy(ctx, c.Policy)
	if err != nil {
		return err
	}
	m, err := c.message()
	if err != nil {
		return err
	}
	relays := &relaysOf{named: c.Relay}
	if set.remote {
		if relays.servers, err = serversOf(ctx, from, set.Rules); err != nil {
			return err
		}
	}
	lists, err := c.lists(ctx, from, set, pol)
	if err != nil {
		return err
	}
	var rewriter *srs.Rewriter
	if c.SRSDomain != "" {
		rewriter = srs.New(c.SRSDomain, make([]byte, srs.KeyOctets)) // whose hash is not shown
	}
	_, hash := rule.Source(set.Rules)
	strict, err := c.strict(ctx, to, from, set.remote || pol.remote)
	if err != nil {
		return err
	}
	events, err := simulate.Run(ctx, simulate.Config{
		PolicyID: pol.label, Policy: pol.policy, RuleSetID: set.label, RuleSet: set.set, Hash: hash, Strict: strict, Lists: lists,
		Planner: action.NewPlanner(action.PlannerConfig{Relays: relays, Strict: func(string) bool { return strict }, Rewriter: rewriter}),
	}, m)
	if err != nil {
		return err
	}
	for i := range events {
		events[i].Time = m.ID.Time()
	}
	fmt.Fprintln(to.err, relays)
	if note := lists.String(); note != "" {
		fmt.Fprintln(to.err, note)
	}
	return c.show(to, trace.Record{Version: trace.Version, ID: m.ID, Events: events})
}

// strict reports whether the profile is the one that has AWS's refusals: that of the flag, or else of the account.
func (c *simulateCommand) strict(ctx context.Context, to streams, from *resources, remote bool) (bool, error) {
	name := c.Profile
	if name == "" && remote {
		var ok bool
		var err error
		if name, ok, err = from.profile(ctx); err != nil {
			return false, err
		}
		if !ok {
			fmt.Fprintln(to.err, "note: the profile is taken to be", profileDefault, "because sluice:GetStatus, which tells it, is not allowed; --profile says another")
		}
	}
	return name == profileStrict, nil
}

// show prints, writes or compares, as the flags say.
func (c *simulateCommand) show(to streams, record trace.Record) error {
	if !c.Stable && c.Expect == "" && c.WriteExpect == "" {
		if c.JSON {
			return printJSON(to.out, record)
		}
		return render.Trace(to.out, record)
	}
	got, err := simulate.Stable(record.Events)
	switch {
	case err != nil:
		return err
	case c.WriteExpect != "":
		if err := os.WriteFile(c.WriteExpect, got, 0o644); err != nil {
			return fmt.Errorf("write what is expected: %w", err)
		}
	}
	if c.Stable {
		if _, err := to.out.Write(got); err != nil {
			return err
		}
	}
	if c.Expect == "" {
		return nil
	}
	return c.compare(to, got)
}

// compare fails when the decisions are not those of the file.
func (c *simulateCommand) compare(to streams, got []byte) error {
	text, err := os.ReadFile(c.Expect)
	if err != nil {
		return usage(fmt.Errorf("read what is expected: %w", err), "--write-expect writes the file")
	}
	want, err := simulate.Normal(text)
	if err != nil {
		return usage(fmt.Errorf("%s: %w", c.Expect, err), "--write-expect writes the file")
	}
	if bytes.Equal(want, got) {
		return nil
	}
	if _, err := to.out.Write(diff.Diff(c.Expect, want, "simulated", got)); err != nil {
		return err
	}
	return hint(fmt.Errorf("the decisions are not those of %s", c.Expect), "if they are right, write them with --write-expect")
}

// message is the message and its session, as the flags say.
func (c *simulateCommand) message() (m simulate.Message, err error) {
	now := time.Now()
	m.ID = message.NewID(now)
	client, err := netip.ParseAddr(c.IP)
	if err != nil {
		return m, usage(fmt.Errorf("--ip: %w", err), "")
	}
	if c.TLS != "" && c.TLS != "TLSv1.2" && c.TLS != "TLSv1.3" {
		return m, usage(fmt.Errorf("--tls %q is none of TLSv1.2, TLSv1.3", c.TLS), "")
	}
	if c.TLS == "" && (c.TLSWrapped || c.certificate() != nil) {
		return m, usage(errors.New("a session in clear has no certificate and is not wrapped"), "say --tls TLSv1.3")
	}
	m.Session = message.Session{
		ID: message.NewID(now), Account: simulatedAccount, Region: defaultRegion, IngressPoint: simulate.IngressPoint, Started: now,
		Client: netip.AddrPortFrom(client.Unmap(), simulatedPort), Hello: c.Helo, Extended: true,
		TLSVersion: c.TLS, TLSWrapped: c.TLSWrapped, AuthUser: c.AuthUser, Certificate: c.certificate(),
	}
	if m.Envelope, err = c.envelope(); err != nil {
		return m, err
	}
	text, err := os.ReadFile(c.Message)
	if err != nil {
		return m, usage(fmt.Errorf("read the message: %w", err), "")
	}
	m.Content = inCRLF(text)
	return m, nil
}

func (c *simulateCommand) envelope() (e message.Envelope, err error) {
	if c.From != "" && c.From != "<>" {
		if e.ReversePath, err = smtp.ParseMailbox(c.From); err != nil {
			return e, usage(fmt.Errorf("--from %q: %w", c.From, err), "")
		}
	}
	for _, to := range c.To {
		path, err := smtp.ParseMailbox(to)
		if err != nil {
			return e, usage(fmt.Errorf("--to %q: %w", to, err), "")
		}
		e.Recipients = append(e.Recipients, message.Recipient{Path: path})
	}
	return e, nil
}

// certificate is the client's, nil without one.
func (c *simulateCommand) certificate() *message.Certificate {
	if len(c.CertCN)+len(c.CertSerial)+len(c.CertEmail)+len(c.CertDNS)+len(c.CertURI)+len(c.CertIP) == 0 {
		return nil
	}
	return &message.Certificate{
		CommonNames: c.CertCN, SerialNumber: c.CertSerial, RFC822Names: c.CertEmail, DNSNames: c.CertDNS, URIs: c.CertURI, IPAddresses: c.CertIP,
	}
}

// inCRLF is a text file as a client sends it: every line ends with CRLF.
func inCRLF(text []byte) []byte {
	text = bytes.ReplaceAll(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))
	if len(text) > 0 && !bytes.HasSuffix(text, []byte("\r\n")) {
		text = append(text, "\r\n"...)
	}
	return text
}

// relaysOf are the relays that exist for a simulation. It implements action.Relays.
type relaysOf struct {
	named   []string          // by a flag; empty: every relay exists
	servers map[string]string // as the server has them, by what the rules call them; nil: it was not asked
}

// Relay finds a relay. Its credentials are not looked at.
func (r *relaysOf) Relay(scope control.Scope, idOrARN string) (*control.Relay, bool) {
	id := idInARN(idOrARN)
	relay := &control.Relay{Key: control.Key{Scope: scope, ID: id}, Server: r.servers[idOrARN]}
	if r.servers != nil {
		return relay, relay.Server != ""
	}
	return relay, len(r.named) == 0 || slices.Contains(r.named, id) || slices.Contains(r.named, idOrARN)
}

// String says which relays exist, and that is not all of it.
func (r *relaysOf) String() string {
	switch {
	case r.servers != nil:
		return "note: relays are those of the server; their credentials are not looked at"
	case len(r.named) > 0:
		return "note: relays that exist are " + strings.Join(r.named, ", ")
	}
	return "note: every relay that a rule names is taken to exist"
}

// serversOf looks up the relays that rules name.
func serversOf(ctx context.Context, from *resources, rules []mailmanager.Rule) (map[string]string, error) {
	servers := map[string]string{}
	for _, id := range relaysNamed(rules) {
		host, ok, err := from.relayServer(ctx, id)
		if err != nil {
			return nil, err
		}
		if ok {
			servers[id] = host
		}
	}
	return servers, nil
}

// relaysNamed are the relays that rules name, each once.
func relaysNamed(rules []mailmanager.Rule) (names []string) {
	for _, r := range rules {
		for _, a := range r.Actions {
			if a.Relay != nil && !slices.Contains(names, string(mailmanager.Value(a.Relay.Relay))) {
				names = append(names, string(mailmanager.Value(a.Relay.Relay)))
			}
		}
	}
	return names
}
