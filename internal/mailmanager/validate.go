package mailmanager

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxListedViolations is how many violations the text of one ValidationException spells out; the rest are counted.
// Coral lists all of them; a request of the largest size could have millions.
const maxListedViolations = 20

// Validate checks value, a pointer to the Go type of a structure, against its shape: required members, lengths, ranges,
// patterns, enums, unions, sizes and uniqueness of lists. All violations together are one *Error with CodeValidation,
// whose text names paths and constraints and never a value (Mail Manager, A27). It takes time linear in the size of the
// value. Safe for concurrent use.
func Validate(shape *Shape, value any) error {
	var v validator
	v.check(shape, reflect.ValueOf(value).Elem())
	return v.err()
}

// validator collects violations. path leads to the value at hand; it is rendered only when something is wrong.
type validator struct {
	path   []segment
	count  int
	listed []string
}

// segment is one step of a path: a member's name or, without one, the index of a list's element.
type segment struct {
	name  string
	index int
}

func (v *validator) check(shape *Shape, value reflect.Value) {
	switch shape.Kind {
	case KindStructure:
		v.structure(shape, value)
	case KindUnion:
		v.union(shape, value)
	case KindList:
		v.list(shape, value)
	case KindMap:
		v.mapping(shape, value)
	case KindString:
		v.text(shape, value.String())
	case KindBlob:
		v.size(shape, value.Len())
	case KindInteger:
		v.number(shape, float64(value.Int()))
	case KindDouble:
		v.number(shape, value.Float())
	}
}

func (v *validator) structure(shape *Shape, value reflect.Value) {
	for i, member := range shape.Members {
		v.member(member, value.Field(i))
	}
}

// member checks field i of a structure or union; nil means absent.
func (v *validator) member(member Member, field reflect.Value) {
	v.path = append(v.path, segment{name: member.Name})
	switch {
	case !field.IsNil() && field.Kind() == reflect.Pointer:
		v.check(member.Shape, field.Elem())
	case !field.IsNil():
		v.check(member.Shape, field)
	case member.Required:
		v.fail("Value null", "Member must not be null")
	}
	v.path = v.path[:len(v.path)-1]
}

func (v *validator) union(shape *Shape, value reflect.Value) {
	set := 0
	for i := range shape.Members {
		if !value.Field(i).IsNil() {
			set++
		}
	}
	if set != 1 {
		v.violation("Member must have exactly one of its members set")
	}
	v.structure(shape, value)
}

func (v *validator) list(shape *Shape, value reflect.Value) {
	v.size(shape, value.Len())
	if shape.Unique && hasDuplicates(value) {
		v.violation("Member must have unique elements")
	}
	for i := range value.Len() {
		v.path = append(v.path, segment{index: i})
		v.check(shape.Element, value.Index(i))
		v.path = v.path[:len(v.path)-1]
	}
}

// hasDuplicates reports whether two elements of a list are equal. Lists that must be unique have strings in them.
func hasDuplicates(list reflect.Value) bool {
	seen := make(map[string]struct{}, list.Len())
	for i := range list.Len() {
		seen[list.Index(i).String()] = struct{}{}
	}
	return len(seen) < list.Len()
}

func (v *validator) mapping(shape *Shape, value reflect.Value) {
	v.size(shape, value.Len())
	v.path = append(v.path, segment{name: "member"})
	for entries := value.MapRange(); entries.Next(); {
		v.check(shape.Element, entries.Value())
	}
	v.path = v.path[:len(v.path)-1]
}

func (v *validator) text(shape *Shape, text string) {
	v.size(shape, utf8.RuneCountInString(text))
	if !shape.Matches(text) {
		v.violation("Member must satisfy regular expression pattern: ", shape.Pattern)
	}
	if len(shape.Enum) > 0 && !slices.Contains(shape.Enum, text) {
		v.violation("Member must satisfy enum value set: [", strings.Join(shape.Enum, ", "), "]")
	}
}

func (v *validator) size(shape *Shape, n int) { v.bounds(shape, float64(n), "length") }

func (v *validator) number(shape *Shape, n float64) { v.bounds(shape, n, "value") }

func (v *validator) bounds(shape *Shape, n float64, what string) {
	if shape.HasMin && n < shape.Min {
		v.violation("Member must have ", what, " greater than or equal to ", decimal(shape.Min))
	}
	if shape.HasMax && n > shape.Max {
		v.violation("Member must have ", what, " less than or equal to ", decimal(shape.Max))
	}
}

// decimal prints without an exponent: the limits are whole.
func decimal(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

func (v *validator) violation(constraint ...string) { v.fail("Value", constraint...) }

func (v *validator) fail(subject string, constraint ...string) {
	v.count++
	if v.count <= maxListedViolations {
		v.listed = append(v.listed, fmt.Sprintf("%s at '%s' failed to satisfy constraint: %s",
			subject, v.where(), strings.Join(constraint, "")))
	}
}

// where renders the path: members begin in lower case and elements count from 1, as in relayName and
// rules.1.member.actions.
func (v *validator) where() string {
	var b strings.Builder
	for i, s := range v.path {
		if i > 0 {
			b.WriteByte('.')
		}
		if s.name == "" {
			fmt.Fprintf(&b, "%d.member", s.index+1)
			continue
		}
		b.WriteString(strings.ToLower(s.name[:1]) + s.name[1:])
	}
	return b.String()
}

func (v *validator) err() error {
	if v.count == 0 {
		return nil
	}
	noun := "errors"
	if v.count == 1 {
		noun = "error"
	}
	more := ""
	if rest := v.count - len(v.listed); rest > 0 {
		more = fmt.Sprintf("; and %d more", rest)
	}
	return Errorf(CodeValidation, "%d validation %s detected: %s%s", v.count, noun, strings.Join(v.listed, "; "), more)
}
