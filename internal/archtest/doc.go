// Package archtest has the tests that keep the picture in docs/architecture.md true: which package may import which, what
// the pure ones may not touch, how large things may grow, and that the documents list what there is. It has no code of
// its own. A rule that is broken for a good reason is listed, with the reason, in exceptions_test.go.
package archtest
