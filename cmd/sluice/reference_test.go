package main

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"sluice/internal/control"
)

var update = flag.Bool("update", false, "write the reference in docs/operate.md")

const (
	operatePath    = "../../docs/operate.md"
	referenceBegin = "<!-- The reference is made from cmd/sluice/config.go by make generate. -->\n"
	referenceEnd   = "<!-- End of the reference. -->\n"
)

// TestReference holds that the configuration reference in docs/operate.md is what the doc comments of Config say. With
// -update it writes it.
func TestReference(t *testing.T) {
	text, err := os.ReadFile(operatePath)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), referenceBegin)
	_, after, ok2 := strings.Cut(rest, referenceEnd)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the reference", operatePath)
	}
	want := before + referenceBegin + reference(t) + referenceEnd + after
	if *update {
		if err := os.WriteFile(operatePath, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(text) != want {
		t.Errorf("the reference in docs/operate.md is not what config.go says: run make generate")
	}
}

// reference is a list with an entry for each field of Config, and for each of its tables.
func reference(t *testing.T) string {
	t.Helper()
	var out strings.Builder
	for _, field := range fields(t, "config.go", "Config") {
		key := writeSetting(&out, field, "")
		table, ok := tables[key]
		if !ok {
			continue
		}
		for _, field := range fields(t, table.file, table.name) {
			writeSetting(&out, field, table.prefix)
		}
	}
	return out.String()
}

// limitsPath has the quotas, whose comments are part of the reference.
const limitsPath = "../../internal/control/limits.go"

// tables are the settings that are tables of further ones: the type that has them, and what their keys begin with.
var tables = map[string]struct{ file, name, prefix string }{
	"certificates": {"config.go", "Certificate", "certificates."},
	"listeners":    {"config.go", "Listener", "listeners.NAME."},
	"bounces":      {"config.go", "Bounces", "bounces."},
	"srs":          {"config.go", "SRS", "srs."},
	"limits":       {limitsPath, "Limits", "limits."},
	"throttle":     {"throttle.go", "Throttle", "throttle."},
	"accounts":     {"accounts.go", "Account", "accounts.ID."},
}

func fields(t *testing.T, path, name string) []*ast.Field {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	var found []*ast.Field
	ast.Inspect(file, func(node ast.Node) bool {
		if spec, ok := node.(*ast.TypeSpec); ok && spec.Name.Name == name {
			found = spec.Type.(*ast.StructType).Fields.List
		}
		return true
	})
	if found == nil {
		t.Errorf("%s has no type %s", path, name)
	}
	return found
}

// profileNumbers is what the profiles have for a quota; empty for any other setting.
func profileNumbers(table, key string) string {
	if table != tables["limits"].prefix {
		return ""
	}
	generous, strict := reflect.ValueOf(control.NewProfile(false, control.Limits{}).Limits), reflect.ValueOf(control.NewProfile(true, control.Limits{}).Limits)
	for i := range generous.NumField() {
		if generous.Type().Field(i).Tag.Get("toml") == key {
			return fmt.Sprintf(", default `%d`, in aws-strict `%d`", generous.Field(i).Int(), strict.Field(i).Int())
		}
	}
	return ""
}

// writeSetting writes an entry and returns its key.
func writeSetting(out *strings.Builder, field *ast.Field, table string) (key string) {
	literal, _ := strconv.Unquote(field.Tag.Value)
	tag := reflect.StructTag(literal)
	key = tag.Get("toml")
	name := strings.ReplaceAll(key, "_", "-")
	heading := "`" + table + key + "`"
	switch {
	case key == "-": // the file itself
		heading = "`--config`, `SLUICE_CONFIG`"
	case tag.Get("kong") != "-" && table == "":
		heading = fmt.Sprintf("`%s`, `--%s`, `SLUICE_%s`", key, name, strings.ToUpper(key))
	}
	fmt.Fprintf(out, "- %s", heading)
	if value := strings.NewReplacer("${api}", defaultAPI, "${smtp}", defaultSMTP, "${log_level}", "info").Replace(tag.Get("default")); value != "" {
		fmt.Fprintf(out, ", default `%s`", value)
	}
	out.WriteString(profileNumbers(table, key))
	doc := strings.Join(strings.Fields(field.Doc.Text()), " ")
	_, doc, _ = strings.Cut(doc, " ") // it begins with the field's name
	doc = strings.TrimPrefix(doc, "is ")
	fmt.Fprintf(out, "\n  %s\n", strings.ToUpper(doc[:1])+doc[1:])
	return key
}
