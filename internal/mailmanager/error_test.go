package mailmanager_test

import (
	"errors"
	"fmt"
	"testing"

	"sluice/internal/conform"
	"sluice/internal/mailmanager"
)

func TestHTTPStatusA26(t *testing.T) {
	t.Parallel()
	conform.Check(t, "A26")
	tests := []struct {
		code mailmanager.Code
		want int
	}{
		{mailmanager.CodeValidation, 400}, {mailmanager.CodeServiceQuotaExceeded, 402}, {mailmanager.CodeAccessDenied, 403},
		{mailmanager.CodeResourceNotFound, 404}, {mailmanager.CodeConflict, 409}, {mailmanager.CodeThrottling, 429},
		{mailmanager.CodeSerialization, 400}, {mailmanager.CodeInvalidSignature, 403}, {mailmanager.CodeUnknownOperation, 501},
		{mailmanager.CodeUnavailable, 503}, {mailmanager.CodeInternal, 500}, {"", 500}, {"Made.Up", 500},
	}
	for _, tt := range tests {
		if got := tt.code.HTTPStatus(); got != tt.want {
			t.Errorf("%q: got %d, want %d", tt.code, got, tt.want)
		}
	}
}

func TestErrorKeepsItsCause(t *testing.T) {
	t.Parallel()
	cause := errors.New("disk on fire")
	err := fmt.Errorf("store relay r-1: %w", &mailmanager.Error{Code: mailmanager.CodeUnavailable, Message: "try again", Cause: cause})
	var e *mailmanager.Error
	if !errors.As(err, &e) || e.Code != mailmanager.CodeUnavailable || !errors.Is(err, cause) {
		t.Errorf("got %v, want its code and its cause", err)
	}
	if got, want := e.Error(), "ServiceUnavailable: try again: disk on fire"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestSensitiveStringsAreNotPrinted(t *testing.T) {
	t.Parallel()
	secret := mailmanager.SmtpPassword("hunter2hunter2")
	for _, format := range []string{"%v", "%s", "%+v", "%#v", "%q"} {
		if got := fmt.Sprintf(format, secret); got != "[redacted]" && got != `"[redacted]"` {
			t.Errorf("%s: got %s, want [redacted]", format, got)
		}
	}
}

func TestLookup(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "createrelay", "CreateRelay ", "Nonesuch"} {
		if op, ok := mailmanager.Lookup(name); ok {
			t.Errorf("%q: got %s, want nothing", name, op.Name)
		}
	}
	if op, ok := mailmanager.Lookup("CreateRelay"); !ok || op.Name != "CreateRelay" || op.ReadOnly || !op.Idempotent {
		t.Errorf("got %+v, %t, want CreateRelay, idempotent", op, ok)
	}
}
