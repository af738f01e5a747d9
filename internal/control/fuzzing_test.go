//go:build fuzzing

package control_test

import (
	"errors"

	"sluice/internal/store"
)

// openDatabase has no databases: they take a minute to build for fuzzing, and no target wants one.
func openDatabase(*plane) (store.Store, error) {
	return nil, errors.New("built for fuzzing: there is no database")
}
