// Package mailmanager has the nouns and verbs of the Amazon SES Mail Manager API: a Go type for every structure, a
// Shape for every constraint and an Operation for every call. All three are generated from the API model; the names of
// types and fields are exactly the model's. Optional scalars are pointers and nil means absent; a nil slice is an
// absent list and an empty one an empty list. Start with Lookup.
package mailmanager

import (
	"regexp"
	"slices"
	"sync"
)

//go:generate go run ./generate -model ${SLUICE_MODEL} -out .

// redacted stands for a sensitive value wherever it would be printed.
const redacted = "[redacted]"

// Kind says what a value of a Shape is.
type Kind uint8

// The kinds of shapes.
const (
	KindStructure Kind = iota
	KindUnion
	KindList
	KindString
	KindInteger
	KindDouble
	KindBoolean
	KindTimestamp
	KindBlob
	KindMap
)

// Shape is what the model says of a value: its kind, its constraints and, for structures, lists and maps, what is
// inside. Min and Max bound the length of strings (characters), blobs (octets), lists (elements) and maps (entries) and
// the value of numbers. The keys of a map are strings without constraints.
// Shapes are shared and must not be changed.
type Shape struct {
	Name           string
	Kind           Kind
	Min, Max       float64
	HasMin, HasMax bool
	Pattern        string
	Enum           []string
	Sensitive      bool
	Unique         bool // a list's elements must differ
	Members        []Member
	Element        *Shape

	compile  sync.Once
	compiled *regexp.Regexp
}

// Matches reports whether the whole text satisfies the pattern; every text satisfies an absent one. The pattern is
// compiled when it is first needed. Safe for concurrent use.
func (s *Shape) Matches(text string) bool {
	if s.Pattern == "" {
		return true
	}
	// The model's patterns are meant for the whole value. RE2 runs in time linear in the text (S16).
	s.compile.Do(func() { s.compiled = regexp.MustCompile(`\A(?:` + s.Pattern + `)\z`) })
	return s.compiled.MatchString(text)
}

// Member is one member of a structure or union; its index is also that of the Go field.
type Member struct {
	Name             string
	Shape            *Shape
	Required         bool
	IdempotencyToken bool
}

// Operation is one verb of the API. New and NewOutput return pointers to zero values of its Go types.
type Operation struct {
	Name          string
	Input, Output *Shape
	New           func() any
	NewOutput     func() any
	Errors        []Code
	Idempotent    bool
	ReadOnly      bool
}

// Operations returns the table of all operations in the model's order. The caller must not change it.
func Operations() []Operation { return operations }

// Lookup returns the operation with the name.
func Lookup(name string) (*Operation, bool) {
	i := slices.IndexFunc(operations, func(op Operation) bool { return op.Name == name })
	if i < 0 {
		return nil, false
	}
	return &operations[i], true
}

// Ptr returns a pointer to v, for optional members.
func Ptr[T any](v T) *T { return &v }

// Value returns what p points to, or the zero value when the member is absent.
func Value[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}
