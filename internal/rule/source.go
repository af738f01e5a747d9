package rule

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"

	"sluice/internal/mailmanager"
)

// sourceFormat is the version of a rule set's source; a reader refuses a newer one.
const sourceFormat = 1

// source is the stored form of a rule set.
type source struct {
	Format int                `json:"format"`
	Rules  []mailmanager.Rule `json:"rules"`
}

// Source returns the canonical source of rules that Compile took, and its SHA-256: the same rules have the same source.
// The spool keeps it, so that a message ends under the rules it began with (Mail Manager, D19). It panics for rules that
// Compile refuses because a number is not finite.
func Source(rules []mailmanager.Rule) ([]byte, [sha256.Size]byte) {
	s := source{Format: sourceFormat, Rules: make([]mailmanager.Rule, len(rules))}
	for i, r := range rules {
		r.Conditions = append([]mailmanager.RuleCondition{}, r.Conditions...) // an absent list is an empty one
		r.Unless = append([]mailmanager.RuleCondition{}, r.Unless...)
		r.Actions = append([]mailmanager.RuleAction{}, r.Actions...)
		s.Rules[i] = r
	}
	text, err := json.Marshal(s)
	if err != nil {
		panic(fmt.Sprintf("source of a rule set that was not compiled: %v", err))
	}
	return text, sha256.Sum256(text)
}

// Parse compiles a source. It returns ErrNewerFormat, ErrMalformedSource, or an error of Compile.
func Parse(text []byte) (*Set, error) {
	var version struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(text, &version); err != nil || version.Format < 1 {
		return nil, ErrMalformedSource
	}
	if version.Format > sourceFormat {
		return nil, fmt.Errorf("rule set of format %d: %w", version.Format, ErrNewerFormat)
	}
	var s source
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, ErrMalformedSource
	}
	return Compile(s.Rules)
}
