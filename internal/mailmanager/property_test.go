package mailmanager_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"sluice/internal/conform"
	"sluice/internal/mailmanager"
	"sluice/internal/mailmanager/modeltest"
)

// everyShape runs the property for the input and the output of every operation.
func everyShape(t *testing.T, property func(*rapid.T, *mailmanager.Shape, any)) {
	for _, op := range mailmanager.Operations() {
		t.Run(op.Name, func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(t *rapid.T) { property(t, op.Input, op.New()) })
			rapid.Check(t, func(t *rapid.T) { property(t, op.Output, op.NewOutput()) })
		})
	}
}

func TestValidateAcceptsValidValues(t *testing.T) {
	t.Parallel()
	everyShape(t, func(t *rapid.T, shape *mailmanager.Shape, value any) {
		modeltest.Draw(t, shape, value)
		if err := mailmanager.Validate(shape, value); err != nil {
			t.Fatal(err)
		}
	})
}

func TestValidateNamesTheBrokenConstraint(t *testing.T) {
	t.Parallel()
	conform.Check(t, "A27")
	everyShape(t, func(t *rapid.T, shape *mailmanager.Shape, value any) {
		modeltest.Draw(t, shape, value)
		broken, ok := modeltest.Break(t, shape, value)
		if !ok {
			return
		}
		err := mailmanager.Validate(shape, value)
		want := "at '" + broken.Path + "' failed to satisfy constraint: " + broken.Constraint
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Fatalf("got %v, want a text with %q", err, want)
		}
		// Nothing else is wrong: every violation is at the path that was broken.
		if got, all := strings.Count(err.Error(), "at '"+broken.Path+"'"), strings.Count(err.Error(), " at '"); got != all {
			t.Fatalf("got %v, want violations at %s only", err, broken.Path)
		}
	})
}
