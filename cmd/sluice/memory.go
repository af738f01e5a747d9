package main

import (
	"os"
	"runtime/debug"
)

// gcPercent lets the heap grow to three times what lives in it before the collector runs. With ten thousand idle sessions each
// of its cycles has as many stacks to look at, a tenth of a second on two cores, and honest clients wait for it (S11): half as many
// cycles keep that out of their 99th percentile. What lives is little: sessions and queue are bounded.
const gcPercent = 200

// tuneCollector sets gcPercent, unless the operator has said otherwise.
func tuneCollector() {
	if _, set := os.LookupEnv("GOGC"); !set {
		debug.SetGCPercent(gcPercent)
	}
}
