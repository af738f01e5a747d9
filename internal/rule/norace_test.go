//go:build !race

package rule

// slower is how many times as long as usual the race detector may make a computation take: it is not there.
const slower = 1
