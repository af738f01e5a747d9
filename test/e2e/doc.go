// Package e2e has scripts for the binary, in testdata: each starts servers, programs them over the API, sends mail, asks
// what became of it, and stops, kills and starts them again. The commands that the scripts have beside testscript's own
// are in commands_test.go.
package e2e
