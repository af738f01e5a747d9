//go:build race

package harness

// raceDetector reports whether this test is built with it.
const raceDetector = true
