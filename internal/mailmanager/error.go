package mailmanager

import (
	"fmt"
	"net/http"
)

// Code is the name of an error's shape on the wire.
type Code string

// Codes of errors that the model does not list and any operation may return (Mail Manager, section 12).
const (
	CodeUnknownOperation      Code = "UnknownOperationException"
	CodeSerialization         Code = "SerializationException"
	CodeInternal              Code = "InternalFailure"
	CodeUnavailable           Code = "ServiceUnavailable"
	CodeIncompleteSignature   Code = "IncompleteSignature"
	CodeInvalidSignature      Code = "InvalidSignatureException"
	CodeMissingAuthentication Code = "MissingAuthenticationToken"
	CodeUnrecognizedClient    Code = "UnrecognizedClientException"
	CodeRequestExpired        Code = "RequestExpired"
)

// commonStatus is the HTTP status of each of them. UnknownOperationException means here that the operation exists in
// the model and not yet in Sluice.
var commonStatus = map[Code]int{
	CodeUnknownOperation:      http.StatusNotImplemented,
	CodeSerialization:         http.StatusBadRequest,
	CodeInternal:              http.StatusInternalServerError,
	CodeUnavailable:           http.StatusServiceUnavailable,
	CodeIncompleteSignature:   http.StatusForbidden, // S34
	CodeInvalidSignature:      http.StatusForbidden, // S34
	CodeMissingAuthentication: http.StatusForbidden, // S34
	CodeUnrecognizedClient:    http.StatusForbidden, // S34
	CodeRequestExpired:        http.StatusForbidden, // S34
}

// Error is the domain error: a code, a text that is safe to show to the caller, and the cause, which goes to the log
// only. An error without a Code anywhere in its chain is internal.
type Error struct {
	Code    Code
	Message string
	Cause   error
}

// Errorf returns an Error with the code and a formatted text for the caller.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Error implements error.
func (e *Error) Error() string {
	if e.Cause != nil {
		return fmt.Sprintf("%s: %s: %v", e.Code, e.Message, e.Cause)
	}
	return fmt.Sprintf("%s: %s", e.Code, e.Message)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// HTTPStatus is the status that the code is answered with by Mail Manager; 500 for a code that neither the model nor the
// common errors have.
func (c Code) HTTPStatus() int {
	if status, ok := modelledStatus[c]; ok {
		return status
	}
	if status, ok := commonStatus[c]; ok {
		return status
	}
	return http.StatusInternalServerError
}
