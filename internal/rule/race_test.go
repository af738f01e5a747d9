//go:build race

package rule

// slower is how many times as long as usual the race detector may make a computation take.
const slower = 10
