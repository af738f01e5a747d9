// Package control is the control plane: what the operations of the API mean. It checks what the model cannot say, keeps
// resources in the store, passes ingress points through their states, and holds the snapshot that the data plane reads.
// It takes requests that awsapi has decoded and validated. Start with Open, give its Snapshot to the data plane, then
// call Start.
//
// One file has one kind of resource (relays.go, rule_sets.go, traffic_policies.go, ingress_points.go, archives.go, addons.go, secrets.go); what
// they share is in resources.go (create, update, delete, list), client_tokens.go, tags.go and names.go (ids and ARNs).
// lifecycle.go has the states of ingress points, snapshot.go what sessions see, passwords.go how they check passwords.
// Source: Mail Manager, sections 1 and 13; Mail Manager, A1 to A28, B19 and B20.
package control

import (
	"context"
	"fmt"
	"hash/maphash"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/internal/awsapi"
	"sluice/internal/mailmanager"
	"sluice/internal/objects"
	"sluice/internal/seal"
	"sluice/internal/store"
)

// DefaultMailDomain is the domain that the host names of ingress points are in, when no other is configured
// (Mail Manager, B19).
const DefaultMailDomain string = "mail-manager-smtp.localhost"

// PageTokens makes a position in a list into text that tells nothing, and that nobody else can make. The scope is where
// the text may come back; the error for any other text is a ValidationException. awsapi.PageTokens are PageTokens.
type PageTokens interface {
	Seal(position []byte, scope ...string) string
	Open(token string, scope ...string) ([]byte, error)
}

// Config is what a Control works with.
type Config struct {
	Store      store.Store // the caller closes it after Close
	Seal       *seal.Keys
	Tokens     PageTokens // nil: awsapi.PageTokens under a key derived from Seal's
	Sockets    Sockets
	Now        func() time.Time // nil: time.Now
	Logger     *slog.Logger     // nil: slog.Default
	Profiles   *Profiles        // nil: every account has the generous one
	MailDomain string           // empty: DefaultMailDomain
	// RelayChanged is called after a change of a relay, its tags or its secret can be seen, before the change is answered;
	// nil: nobody cares.
	RelayChanged func(Key)
	// Objects keeps the files of imports; nil: there are no imports. Signed URLs of it lead to a handler that asks AdmitUpload.
	Objects objects.Store
	// Traffic counts what happens to mail: while it grows, background duties make way. nil: they never do.
	Traffic func() uint64
	// HasAuthority reports whether the configuration names such a certificate authority; nil: nobody asks.
	HasAuthority func(name string) bool
	// HasAnalyzer reports whether the configuration names an analyzer for that add-on; nil: it names none.
	HasAnalyzer func(addonName string) bool
	// Registerer takes the metrics; nil: there are none.
	Registerer prometheus.Registerer
}

// Control carries out the operations and is the Snapshot of what they made. All methods are safe for concurrent use.
type Control struct {
	snapshot
	cfg        Config
	operations operations
	// secretOperations are those of Secrets Manager.
	secretOperations operations
	locks            keyLocks
	lifecycle        lifecycle
	imports          importTasks
	sweeper          sweeper
	tokenKey         []byte // client tokens are fingerprinted under it
	hasher           *hasher
	absent           *password    // stands for every password that is not there
	nobody           IngressPoint // stands for every point that is not there
	// defaults is held while a point may become the default of a listener. It is taken before the lock of the point.
	defaults sync.Mutex
}

var (
	_ awsapi.Handler = (*Control)(nil)
	_ Snapshot       = (*Control)(nil)
)

// Open loads every resource from the store. A resource that cannot be used any more, such as a rule set that does not
// compile, is logged and left out of the snapshot. No socket is touched before Start.
func Open(ctx context.Context, cfg Config) (*Control, error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, err
	}
	c := &Control{cfg: cfg, tokenKey: cfg.Seal.Derive("control: client token")}
	c.initPasswords()
	c.operations, c.secretOperations = c.table(), c.secretTable()
	c.locks.seed = maphash.MakeSeed()
	c.lifecycle.init()
	c.imports.init()
	c.sweeper.init()
	if err := c.load(ctx); err != nil {
		return nil, fmt.Errorf("load the resources: %w", err)
	}
	if err := c.registerMetrics(cfg.Registerer); err != nil {
		return nil, err
	}
	return c, nil
}

func (cfg *Config) setDefaults() error {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.MailDomain == "" {
		cfg.MailDomain = DefaultMailDomain
	}
	if cfg.Profiles == nil {
		cfg.Profiles = NewProfiles(NewProfile(false, Limits{}), nil)
	}
	if cfg.Tokens != nil {
		return nil
	}
	var err error
	cfg.Tokens, err = awsapi.NewPageTokens(cfg.Seal.Derive("control: page tokens"), cfg.Now)
	return err
}

// operation carries out one operation for callers of a scope. The input is what op.New returned.
type operation func(ctx context.Context, scope Scope, input any) (output any, err error)

// on makes an operation of a method that knows its types.
func on[In, Out any](method func(context.Context, Scope, *In) (*Out, error)) operation {
	return func(ctx context.Context, scope Scope, input any) (any, error) {
		in, ok := input.(*In)
		if !ok {
			return nil, fmt.Errorf("the input is a %T, want a %T", input, in)
		}
		out, err := method(ctx, scope, in)
		if err != nil {
			return nil, err
		}
		return out, nil
	}
}

// table is every operation of Mail Manager that there is.
func (c *Control) table() map[string]operation {
	return map[string]operation{
		"CreateRelay": on(c.createRelay),
		"GetRelay":    on(c.getRelay),
		"ListRelays":  on(c.listRelays),
		"UpdateRelay": on(c.updateRelay),
		"DeleteRelay": on(c.deleteRelay),

		"CreateRuleSet": on(c.createRuleSet),
		"GetRuleSet":    on(c.getRuleSet),
		"ListRuleSets":  on(c.listRuleSets),
		"UpdateRuleSet": on(c.updateRuleSet),
		"DeleteRuleSet": on(c.deleteRuleSet),

		"CreateTrafficPolicy": on(c.createTrafficPolicy),
		"GetTrafficPolicy":    on(c.getTrafficPolicy),
		"ListTrafficPolicies": on(c.listTrafficPolicies),
		"UpdateTrafficPolicy": on(c.updateTrafficPolicy),
		"DeleteTrafficPolicy": on(c.deleteTrafficPolicy),

		"CreateIngressPoint": on(c.createIngressPoint),
		"GetIngressPoint":    on(c.getIngressPoint),
		"ListIngressPoints":  on(c.listIngressPoints),
		"UpdateIngressPoint": on(c.updateIngressPoint),
		"DeleteIngressPoint": on(c.deleteIngressPoint),

		"CreateArchive": on(c.createArchive),
		"GetArchive":    on(c.getArchive),
		"ListArchives":  on(c.listArchives),
		"UpdateArchive": on(c.updateArchive),
		"DeleteArchive": on(c.deleteArchive),

		"CreateAddonSubscription": on(c.createAddonSubscription),
		"GetAddonSubscription":    on(c.getAddonSubscription),
		"ListAddonSubscriptions":  on(c.listAddonSubscriptions),
		"DeleteAddonSubscription": on(c.deleteAddonSubscription),

		"CreateAddonInstance": on(c.createAddonInstance),
		"GetAddonInstance":    on(c.getAddonInstance),
		"ListAddonInstances":  on(c.listAddonInstances),
		"DeleteAddonInstance": on(c.deleteAddonInstance),

		"TagResource":         on(c.tagResource),
		"UntagResource":       on(c.untagResource),
		"ListTagsForResource": on(c.listTagsForResource),

		"CreateAddressList": on(c.createAddressList),
		"GetAddressList":    on(c.getAddressList),
		"ListAddressLists":  on(c.listAddressLists),
		"DeleteAddressList": on(c.deleteAddressList),

		"RegisterMemberToAddressList":     on(c.registerMember),
		"DeregisterMemberFromAddressList": on(c.deregisterMember),
		"GetMemberOfAddressList":          on(c.getMember),
		"ListMembersOfAddressList":        on(c.listMembers),

		"CreateAddressListImportJob": on(c.createImportJob),
		"GetAddressListImportJob":    on(c.getImportJob),
		"ListAddressListImportJobs":  on(c.listImportJobs),
		"StartAddressListImportJob":  on(c.startImportJob),
		"StopAddressListImportJob":   on(c.stopImportJob),
	}
}

// secretTable is every operation of Secrets Manager that there is.
func (c *Control) secretTable() map[string]operation {
	return map[string]operation{
		"CreateSecret":        on(c.createSecret),
		"GetSecretValue":      on(c.getSecretValue),
		"BatchGetSecretValue": on(c.batchGetSecretValue),
		"PutSecretValue":      on(c.putSecretValue),
		"UpdateSecret":        on(c.updateSecret),
		"DescribeSecret":      on(c.describeSecret),
		"ListSecrets":         on(c.listSecrets),
		"DeleteSecret":        on(c.deleteSecret),
		"RestoreSecret":       on(c.restoreSecret),

		"ListSecretVersionIds":     on(c.listSecretVersionIds),
		"UpdateSecretVersionStage": on(c.updateSecretVersionStage),

		"TagResource":   on(c.tagSecret),
		"UntagResource": on(c.untagSecret),

		"PutResourcePolicy":      on(c.putResourcePolicy),
		"GetResourcePolicy":      on(c.getResourcePolicy),
		"DeleteResourcePolicy":   on(c.deleteResourcePolicy),
		"ValidateResourcePolicy": on(c.validateResourcePolicy),

		"GetRandomPassword": on(c.getRandomPassword),
	}
}

// Handle implements awsapi.Handler, for Mail Manager.
func (c *Control) Handle(ctx context.Context, caller awsapi.Caller, op *mailmanager.Operation, input any) (any, error) {
	return c.operations.Handle(ctx, caller, op, input)
}

// Secrets is the handler for Secrets Manager. Some of its operations have the names of others of Mail Manager.
func (c *Control) Secrets() awsapi.Handler { return c.secretOperations }

// operations are those of one service, by their names.
type operations map[string]operation

// Handle implements awsapi.Handler.
func (all operations) Handle(ctx context.Context, caller awsapi.Caller, op *mailmanager.Operation, input any) (any, error) {
	run, ok := all[op.Name]
	if !ok {
		return nil, mailmanager.Errorf(mailmanager.CodeUnknownOperation, "%s is not implemented yet", op.Name)
	}
	return run(ctx, Scope{Account: caller.Account, Region: caller.Region}, input)
}

// now is the time as resources keep it.
func (c *Control) now() time.Time { return c.cfg.Now().UTC().Truncate(time.Microsecond) }
