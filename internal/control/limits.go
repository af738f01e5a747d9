package control

import (
	"fmt"
	"reflect"

	"sluice/internal/mailmanager"
)

// Limits are quotas: how much there may be in each region of an account. Of a member that is 0 the profile has the number.
// Each member's tag is what the configuration and errors call it, and its comment is the reference in docs/operate.md.
// Source: Mail Manager, section 10; Mail Manager, A16 and A17.
type Limits struct {
	// OpenIngressPoints is how many ingress points of type OPEN there may be.
	OpenIngressPoints int `toml:"open_ingress_points"`

	// AuthorizedIngressPoints is how many ingress points of type AUTH there may be.
	AuthorizedIngressPoints int `toml:"authorized_ingress_points"`

	// MTLSIngressPoints is how many ingress points of type MTLS there may be.
	MTLSIngressPoints int `toml:"mtls_ingress_points"`

	// RuleSets is how many rule sets there may be.
	RuleSets int `toml:"rule_sets"`

	// RulesPerRuleSet is how many rules a rule set may have. The API's model has no more than 40.
	RulesPerRuleSet int `toml:"rules_per_rule_set"`

	// ConditionsPerRule is how many conditions a rule may have, and how many exceptions. The API's model has no more than 10 of
	// each.
	ConditionsPerRule int `toml:"conditions_per_rule"`

	// ActionsPerRule is how many actions a rule may have. The API's model has no more than 10.
	ActionsPerRule int `toml:"actions_per_rule"`

	// RelaysAndSendsPerRuleSet is how many Relay and Send actions all rules of a rule set may have.
	RelaysAndSendsPerRuleSet int `toml:"relay_or_send_actions_per_rule_set"`

	// TrafficPolicies is how many traffic policies there may be.
	TrafficPolicies int `toml:"traffic_policies"`

	// StatementsPerPolicy is how many statements a traffic policy may have.
	StatementsPerPolicy int `toml:"statements_per_traffic_policy"`

	// ConditionsPerStatement is how many conditions a statement of a traffic policy may have.
	ConditionsPerStatement int `toml:"conditions_per_statement"`

	// Relays is how many relays there may be.
	Relays int `toml:"relays"`

	// AddressLists is how many address lists there may be.
	AddressLists int `toml:"address_lists"`

	// AddressesPerList is how many addresses an address list may have.
	AddressesPerList int `toml:"addresses_per_address_list"`

	// ImportJobs is how many import jobs of address lists there may be; each is remembered for 30 days.
	ImportJobs int `toml:"import_jobs"`

	// ImportFiles is how many uploaded files may wait for their import jobs to end; each has at most 50 MiB, and is kept for a week
	// at most.
	ImportFiles int `toml:"waiting_import_files"`

	// ActiveArchives is how many archives there may be that are not being deleted.
	ActiveArchives int `toml:"active_archives"`

	// ParallelSearches is how many searches of archives may run at once. Like the three that follow, it has nothing to count while
	// archives cannot be searched.
	ParallelSearches int `toml:"parallel_archive_searches"`

	// ParallelExports is how many exports of archives may run at once.
	ParallelExports int `toml:"parallel_archive_exports"`

	// SearchResults is how many results a search of an archive has at most. The API's model has no more than 1000.
	SearchResults int `toml:"archive_search_results"`

	// ExportedResults is how many messages an export of an archive has at most.
	ExportedResults int `toml:"exported_archive_results"`

	// RetentionChanges is how often in seven days the retention of an archive may be changed.
	RetentionChanges int `toml:"archive_retention_changes_per_week"`

	// Secrets is how many secrets there may be.
	Secrets int `toml:"secrets"`

	// Tags is how many tags a resource may have.
	Tags int `toml:"tags_per_resource"`
}

// Numbers that are the same in every profile: the model has no more, or AWS's number is nobody's hindrance.
const (
	rulesPerRuleSet   = 40      // Mail Manager, CreateRuleSet
	conditionsPerRule = 10      // Mail Manager, CreateRuleSet
	actionsPerRule    = 10      // Mail Manager, CreateRuleSet
	searchResults     = 1000    // Mail Manager, StartArchiveSearch
	importJobs        = 10_000  // ours: AWS tells none
	importFiles       = 100     // ours: 5 GB
	secrets           = 500_000 // Secrets Manager, CreateSecret
	tagsPerResource   = 50      // Mail Manager, A17
)

// awsLimits are AWS's numbers: Mail Manager, section 10. It has none for MTLS, which is newer than the page; ours is that of
// the other points whose clients prove who they are.
func awsLimits() Limits {
	return Limits{
		OpenIngressPoints: 10, AuthorizedIngressPoints: 50, MTLSIngressPoints: 50,
		RuleSets: 40, RulesPerRuleSet: rulesPerRuleSet, ConditionsPerRule: conditionsPerRule, ActionsPerRule: actionsPerRule,
		RelaysAndSendsPerRuleSet: 10,
		TrafficPolicies:          100, StatementsPerPolicy: 20, ConditionsPerStatement: 10,
		Relays:       40,
		AddressLists: 100, AddressesPerList: 100_000, ImportJobs: importJobs, ImportFiles: importFiles,
		ActiveArchives: 10, ParallelSearches: 1, ParallelExports: 1, SearchResults: searchResults, ExportedResults: 250_000, RetentionChanges: 1,
		Secrets: secrets, Tags: tagsPerResource,
	}
}

// generousLimits keep a script that has gone wild from filling the disk, and nobody else from working. All rules of a rule
// set have 400 actions at most.
func generousLimits() Limits {
	return Limits{
		OpenIngressPoints: 10_000, AuthorizedIngressPoints: 10_000, MTLSIngressPoints: 10_000,
		RuleSets: 100_000, RulesPerRuleSet: rulesPerRuleSet, ConditionsPerRule: conditionsPerRule, ActionsPerRule: actionsPerRule,
		RelaysAndSendsPerRuleSet: rulesPerRuleSet * actionsPerRule,
		TrafficPolicies:          100_000, StatementsPerPolicy: 10_000, ConditionsPerStatement: 1_000,
		Relays:       100_000,
		AddressLists: 100_000, AddressesPerList: 10_000_000, ImportJobs: importJobs, ImportFiles: importFiles,
		ActiveArchives: 10_000, ParallelSearches: 100, ParallelExports: 100, SearchResults: searchResults, ExportedResults: 10_000_000, RetentionChanges: 1_000,
		Secrets: secrets, Tags: tagsPerResource,
	}
}

// Or is the limits with those of another in place of what is 0.
func (l Limits) Or(other Limits) Limits {
	own, others := reflect.ValueOf(&l).Elem(), reflect.ValueOf(other)
	for i := range own.NumField() {
		if own.Field(i).IsZero() {
			own.Field(i).Set(others.Field(i))
		}
	}
	return l
}

// Check refuses numbers that cannot be.
func (l Limits) Check() error {
	members := reflect.ValueOf(l)
	for i := range members.NumField() {
		if n := members.Field(i).Int(); n < 0 {
			return fmt.Errorf("%s is %d, at least 1", members.Type().Field(i).Tag.Get("toml"), n)
		}
	}
	return nil
}

// quota is a limit as an error names it.
type quota struct {
	name string // the member's tag in Limits
	most int
}

// What resources are counted as.
const (
	countedRelay           = "relay"
	countedRuleSet         = "rule-set"
	countedTrafficPolicy   = "traffic-policy"
	countedOpenPoint       = "ingress-point/open"
	countedAuthorizedPoint = "ingress-point/authorized"
	countedMTLSPoint       = "ingress-point/mtls"
	countedArchive         = "archive"
	countedAddressList     = "address-list"
	countedImportJob       = "import-job"
	countedSecret          = "secret"
	notCounted             = "" // there is no quota for it
)

// countedPoint is what a new ingress point is counted as.
func countedPoint(t mailmanager.IngressPointType) string {
	switch t {
	case mailmanager.IngressPointTypeOpen:
		return countedOpenPoint
	case mailmanager.IngressPointTypeMtls:
		return countedMTLSPoint
	default:
		return countedAuthorizedPoint
	}
}

// quota is how many resources may be counted as that; of the zero quota, any number.
func (l *Limits) quota(counted string) quota {
	switch counted {
	case countedRelay:
		return quota{"relays", l.Relays}
	case countedRuleSet:
		return quota{"rule_sets", l.RuleSets}
	case countedTrafficPolicy:
		return quota{"traffic_policies", l.TrafficPolicies}
	case countedOpenPoint:
		return quota{"open_ingress_points", l.OpenIngressPoints}
	case countedAuthorizedPoint:
		return quota{"authorized_ingress_points", l.AuthorizedIngressPoints}
	case countedMTLSPoint:
		return quota{"mtls_ingress_points", l.MTLSIngressPoints}
	case countedAddressList:
		return quota{"address_lists", l.AddressLists}
	case countedImportJob:
		return quota{"import_jobs", l.ImportJobs}
	case countedArchive:
		return quota{"active_archives", l.ActiveArchives}
	case countedSecret:
		return quota{"secrets", l.Secrets}
	default:
		return quota{}
	}
}

// limits are what an account may have.
func (c *Control) limits(account string) *Limits { return &c.cfg.Profiles.Of(account).Limits }

// exceeded is the error for what a quota has no room for. It names the quota, its number and the way out, and nothing of any
// other account. Operations that have no quota error in the model answer with another code.
func (q quota) exceeded(account string, code mailmanager.Code) error {
	return mailmanager.Errorf(code,
		"The quota '%s' of account %s is %d. Whoever runs this server can raise it: %s in [limits] or [accounts.%s.limits] of its configuration.",
		q.name, account, q.most, q.name, account)
}

// within refuses more than a quota has room for, with that code.
func (q quota) within(n int, account string, code mailmanager.Code) error {
	if n > q.most {
		return q.exceeded(account, code)
	}
	return nil
}
