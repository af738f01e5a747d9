// Package match has the operators that the two condition languages share: strings, IP networks, numbers, booleans and TLS
// versions, compiled from the API's values, with their three results. It is pure and allocates only while it compiles.
// What is compared (which operand, of whom) is the business of policy and rule. Source: Mail Manager, section 4.2;
// Mail Manager, C1 to C4 and D8 to D10.
package match

import (
	"fmt"
	"slices"
	"strings"

	"sluice/internal/mailmanager"
)

// Result is what became of a condition. "Cannot tell" is never quietly "no match".
type Result uint8

// The results of a condition. The zero Result is none of them.
const (
	Match Result = 1 + iota
	NoMatch
	CannotTell
)

var resultNames = [...]string{Match: "MATCH", NoMatch: "NO_MATCH", CannotTell: "CANNOT_TELL"}

// Of is Match when the condition holds, else NoMatch.
func Of(holds bool) Result {
	if holds {
		return Match
	}
	return NoMatch
}

// String is MATCH, NO_MATCH or CANNOT_TELL.
func (r Result) String() string {
	if int(r) < len(resultNames) {
		return resultNames[r]
	}
	return fmt.Sprintf("Result(%d)", uint8(r))
}

// MarshalText implements encoding.TextMarshaler.
func (r Result) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (r *Result) UnmarshalText(text []byte) error {
	for i, name := range resultNames {
		if name != "" && name == string(text) {
			*r = Result(i)
			return nil
		}
	}
	return fmt.Errorf("unknown result of a condition: %q", text)
}

// Invalid is the error for a value that the API's model allows and we cannot use. It names the value's path and never the
// value, so that it is safe to show. Mail Manager, A27.
func Invalid(path, constraint string) error {
	return mailmanager.Errorf(mailmanager.CodeValidation,
		"1 validation error detected: Value at '%s' failed to satisfy constraint: %s", path, constraint)
}

// resultFields are what the analyzers of add-ons answer, in small letters. Mail Manager, F16.
var resultFields = []string{"category", "islisted", "ispassed", "listedon", "verdict"}

// ResultField returns the error for a field that no add-on has. Letters have no case, and the prefix addon. says nothing more.
// Mail Manager, F16.
func ResultField(path string, field *mailmanager.ResultField) error {
	name := strings.ToLower(string(mailmanager.Value(field)))
	if !slices.Contains(resultFields, strings.TrimPrefix(name, "addon.")) {
		return Invalid(path+".resultField", "Member must be a field of an add-on: isListed, listedOn, isPassed, category, verdict")
	}
	return nil
}
