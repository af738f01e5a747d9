// Package conform knows what is to be proved of Sluice: the operations of the API and the ids of behaviour that the code and
// its tests cite, each with the tests that prove it. A test says what it proves with Check; the test of this package reads
// those calls from the source, without running anything, and writes or checks the tables of docs/conformance.md. A row
// that no test proves must say what it waits for, and may not say so once a test is there.
//
// It leaves out whether a test passes, and whether it proves enough: the one is for the test run, the other for reviewers.
// Start with Check.
package conform

import (
	"slices"
	"testing"
)

// Behaviour is an id that Sluice was specified with, where the documentation of AWS is silent.
type Behaviour struct {
	ID    string
	Title string // what it is about
	Due   string // what it waits for while no test proves it; empty: a test does
}

// Operation is a verb of the API.
type Operation struct {
	Resource string
	Name     string
	Due      string // what it waits for while it is not implemented; empty: it is
}

// Behaviours is every id, in order. The caller must not change it.
func Behaviours() []Behaviour { return behaviours }

// Operations is every operation, by resource. The caller must not change it.
func Operations() []Operation { return operations }

// Check marks the test that calls it as a proof of behaviours and operations; an id that is unknown fails the test. The ids
// must be literals, and the call must stand in the test function itself: both are read from the source.
func Check(t testing.TB, ids ...string) {
	t.Helper()
	for _, id := range ids {
		if !Known(id) {
			t.Errorf("%q is neither an id of behaviour nor an operation", id)
		}
	}
}

// Known reports whether an id is one of a behaviour, or the name of an operation.
func Known(id string) bool {
	return slices.ContainsFunc(behaviours, func(b Behaviour) bool { return b.ID == id }) ||
		slices.ContainsFunc(operations, func(op Operation) bool { return op.Name == id })
}
