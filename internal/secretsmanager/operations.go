// Package secretsmanager has the nouns and verbs of the part of the AWS Secrets Manager API that Sluice serves, with
// the same Shape and Operation tables as package mailmanager: enough to create, read, rotate by hand, list and delete
// the secrets that relays and ingress points name by ARN. Replication, automatic rotation and resource policies are
// left out; their members are unknown members and are ignored. Start with Operations.
package secretsmanager

import (
	"net/http"

	"sluice/internal/mailmanager"
)

// What the service is called on the wire: Secrets Manager, CreateSecret.
const (
	TargetPrefix = "secretsmanager"
	SigningName  = "secretsmanager"
)

// Codes of the modelled errors; the fourth is mailmanager.CodeResourceNotFound.
const (
	CodeResourceExists   mailmanager.Code = "ResourceExistsException"
	CodeInvalidParameter mailmanager.Code = "InvalidParameterException"
	CodeInvalidRequest   mailmanager.Code = "InvalidRequestException"
	CodeInvalidNextToken mailmanager.Code = "InvalidNextTokenException"
	CodeLimitExceeded    mailmanager.Code = "LimitExceededException"
)

// HTTPStatus is the status that the code is answered with by this service: 400 for every modelled error, also for those that have
// another in Mail Manager: ResourceNotFoundException and ThrottlingException.
func HTTPStatus(code mailmanager.Code) int {
	switch code {
	case mailmanager.CodeResourceNotFound, mailmanager.CodeThrottling, CodeResourceExists, CodeInvalidParameter, CodeInvalidRequest, CodeInvalidNextToken, CodeLimitExceeded:
		return http.StatusBadRequest
	default:
		return code.HTTPStatus()
	}
}

// Operations returns the table of the operations. The caller must not change it.
func Operations() []mailmanager.Operation { return operations }

var operations = []mailmanager.Operation{
	{Name: "CreateSecret", Input: shapeCreateSecretRequest, Output: shapeCreateSecretResponse,
		New: func() any { return new(CreateSecretRequest) }, NewOutput: func() any { return new(CreateSecretResponse) },
		Errors:     []mailmanager.Code{CodeInvalidParameter, CodeInvalidRequest, CodeLimitExceeded, CodeResourceExists, mailmanager.CodeResourceNotFound},
		Idempotent: true},
	{Name: "GetSecretValue", Input: shapeGetSecretValueRequest, Output: shapeGetSecretValueResponse,
		New: func() any { return new(GetSecretValueRequest) }, NewOutput: func() any { return new(GetSecretValueResponse) },
		Errors:   []mailmanager.Code{CodeInvalidParameter, CodeInvalidRequest, mailmanager.CodeResourceNotFound},
		ReadOnly: true},
	{Name: "PutSecretValue", Input: shapePutSecretValueRequest, Output: shapePutSecretValueResponse,
		New: func() any { return new(PutSecretValueRequest) }, NewOutput: func() any { return new(PutSecretValueResponse) },
		Errors:     []mailmanager.Code{CodeInvalidParameter, CodeInvalidRequest, CodeResourceExists, mailmanager.CodeResourceNotFound},
		Idempotent: true},
	{Name: "DescribeSecret", Input: shapeDescribeSecretRequest, Output: shapeDescribeSecretResponse,
		New: func() any { return new(DescribeSecretRequest) }, NewOutput: func() any { return new(DescribeSecretResponse) },
		Errors:   []mailmanager.Code{CodeInvalidParameter, mailmanager.CodeResourceNotFound},
		ReadOnly: true},
	{Name: "ListSecrets", Input: shapeListSecretsRequest, Output: shapeListSecretsResponse,
		New: func() any { return new(ListSecretsRequest) }, NewOutput: func() any { return new(ListSecretsResponse) },
		Errors:   []mailmanager.Code{CodeInvalidParameter, CodeInvalidRequest, CodeInvalidNextToken},
		ReadOnly: true},
	{Name: "DeleteSecret", Input: shapeDeleteSecretRequest, Output: shapeDeleteSecretResponse,
		New: func() any { return new(DeleteSecretRequest) }, NewOutput: func() any { return new(DeleteSecretResponse) },
		Errors: []mailmanager.Code{CodeInvalidParameter, CodeInvalidRequest, mailmanager.CodeResourceNotFound}},
}
