package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"path/filepath"
	"slices"
	"testing"
)

// compares are the functions that hold a secret, or what stands for one, against what a stranger sent, and what each compares
// with. A comparison that ends at the first octet that differs tells how much of a guess was right.
var compares = []struct{ file, function, by string }{
	{"internal/seal/seal.go", "Equal", "hmac.Equal"},
	{"internal/control/passwords.go", "matches", "seal.Equal"},
	{"internal/control/client_tokens.go", "replay", "seal.Equal"},
	{"internal/control/secret_lookup.go", "hasValue", "seal.Equal"},
	{"internal/awsapi/sigv4.go", "verify", "hmac.Equal"},
	{"internal/srs/srs.go", "open", "hmac.Equal"},
}

// S40: secrets are compared in constant time.
func TestS40ConstantTime(t *testing.T) {
	t.Parallel()
	for _, c := range compares {
		calls := callsIn(t, c.file, c.function)
		if !slices.Contains(calls, c.by) {
			t.Errorf("%s: %s calls %v, want %s", c.file, c.function, calls, c.by)
		}
		for _, early := range []string{"bytes.Equal", "bytes.Compare", "slices.Equal", "strings.EqualFold", "strings.Compare"} {
			if slices.Contains(calls, early) {
				t.Errorf("%s: %s calls %s, which ends early", c.file, c.function, early)
			}
		}
	}
}

// callsIn are the functions that a function of a file calls, as they are written.
func callsIn(t *testing.T, file, function string) (calls []string) {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", "..", filepath.FromSlash(file)), nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, declaration := range parsed.Decls {
		declared, ok := declaration.(*ast.FuncDecl)
		if !ok || declared.Name.Name != function {
			continue
		}
		found = true
		ast.Inspect(declared, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok {
				calls = append(calls, types.ExprString(call.Fun))
			}
			return true
		})
	}
	if !found {
		t.Errorf("%s has no function %s", file, function)
	}
	return calls
}
