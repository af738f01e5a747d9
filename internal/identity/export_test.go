package identity

import (
	"maps"
	"slices"
)

// AdminRows are the operations of the admin API that have a row, in order.
func AdminRows() []string { return slices.Sorted(maps.Keys(tables[serviceAdmin])) }
