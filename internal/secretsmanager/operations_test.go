package secretsmanager_test

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sluice/internal/mailmanager"
	"sluice/internal/mailmanager/modeltest"
	"sluice/internal/secretsmanager"
)

// fits checks that a Go type is what the codecs and the validation expect of a shape: field i is member i.
func fits(t *testing.T, shape *mailmanager.Shape, typ reflect.Type) {
	t.Helper()
	want := map[mailmanager.Kind]reflect.Kind{
		mailmanager.KindStructure: reflect.Struct, mailmanager.KindList: reflect.Slice, mailmanager.KindMap: reflect.Map,
		mailmanager.KindString: reflect.String, mailmanager.KindBoolean: reflect.Bool, mailmanager.KindBlob: reflect.Slice,
		mailmanager.KindTimestamp: reflect.Struct,
	}[shape.Kind]
	isInteger := shape.Kind == mailmanager.KindInteger && (typ.Kind() == reflect.Int32 || typ.Kind() == reflect.Int64)
	if !isInteger && typ.Kind() != want {
		t.Errorf("%s: got a %s", shape.Name, typ)
		return
	}
	if shape.Kind == mailmanager.KindTimestamp && typ != reflect.TypeFor[time.Time]() {
		t.Errorf("%s: got %s, want a time", shape.Name, typ)
	}
	if shape.Element != nil {
		fits(t, shape.Element, typ.Elem())
	}
	if shape.Kind == mailmanager.KindStructure && typ.NumField() != len(shape.Members) {
		t.Errorf("%s: got %d fields, want %d", typ, typ.NumField(), len(shape.Members))
		return
	}
	for i, member := range shape.Members {
		field := typ.Field(i)
		if field.Name != member.Name {
			t.Errorf("%s: got field %s, want %s", typ, field.Name, member.Name)
		}
		inner := field.Type
		if inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		fits(t, member.Shape, inner)
	}
}

func TestTypesFitTheirShapes(t *testing.T) {
	t.Parallel()
	for _, op := range secretsmanager.Operations() {
		fits(t, op.Input, reflect.TypeOf(op.New()).Elem())
		fits(t, op.Output, reflect.TypeOf(op.NewOutput()).Elem())
	}
}

func TestConstraintsAreChecked(t *testing.T) {
	t.Parallel()
	for _, op := range secretsmanager.Operations() {
		t.Run(op.Name, func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(t *rapid.T) {
				in := op.New()
				modeltest.Draw(t, op.Input, in)
				if err := mailmanager.Validate(op.Input, in); err != nil {
					t.Fatalf("drawn: %v", err)
				}
				if broken, ok := modeltest.Break(t, op.Input, in); ok && mailmanager.Validate(op.Input, in) == nil {
					t.Fatalf("%s is broken and nobody says so", broken.Path)
				}
			})
		})
	}
}

func TestStatuses(t *testing.T) {
	t.Parallel()
	for code, want := range map[mailmanager.Code]int{
		mailmanager.CodeResourceNotFound: 400, mailmanager.CodeThrottling: 400, secretsmanager.CodeLimitExceeded: 400, secretsmanager.CodeResourceExists: 400, secretsmanager.CodeInvalidParameter: 400,
		secretsmanager.CodeInvalidRequest: 400, secretsmanager.CodeInvalidNextToken: 400, mailmanager.CodeValidation: 400,
		mailmanager.CodeInvalidSignature: 403, mailmanager.CodeInternal: 500, mailmanager.CodeUnavailable: 503,
	} {
		if got := secretsmanager.HTTPStatus(code); got != want {
			t.Errorf("%s: got %d, want %d", code, got, want)
		}
	}
}

func TestSecretsAreNotPrinted(t *testing.T) {
	t.Parallel()
	text, octets := secretsmanager.SecretString("hunter2"), secretsmanager.SecretBinary("hunter2")
	for _, format := range []string{"%v", "%s", "%+v", "%#v"} {
		if got := fmt.Sprintf(format+format, text, octets); got != "[redacted][redacted]" {
			t.Errorf("%s: got %s", format, got)
		}
	}
}
