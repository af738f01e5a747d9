// Package secretsmanager has the nouns and verbs of the part of the AWS Secrets Manager API that Sluice serves, with
// the same Shape and Operation tables as package mailmanager: all that its clients need to keep the secrets which relays and
// ingress points name by ARN. It has what is wrong with a resource policy, too. Replication and rotation by functions are left
// out; their members are unknown members and are ignored. Start with Operations.
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

// Codes of the modelled errors; one more is mailmanager.CodeResourceNotFound.
const (
	CodeResourceExists   mailmanager.Code = "ResourceExistsException"
	CodeInvalidParameter mailmanager.Code = "InvalidParameterException"
	CodeInvalidRequest   mailmanager.Code = "InvalidRequestException"
	CodeInvalidNextToken mailmanager.Code = "InvalidNextTokenException"
	CodeLimitExceeded    mailmanager.Code = "LimitExceededException"
	CodeMalformedPolicy  mailmanager.Code = "MalformedPolicyDocumentException"
	CodePublicPolicy     mailmanager.Code = "PublicPolicyException"
)

// HTTPStatus is the status that the code is answered with by this service: 400 for every modelled error, also for those that have
// another in Mail Manager: ResourceNotFoundException and ThrottlingException.
func HTTPStatus(code mailmanager.Code) int {
	switch code {
	case mailmanager.CodeResourceNotFound, mailmanager.CodeThrottling,
		CodeResourceExists, CodeInvalidParameter, CodeInvalidRequest, CodeInvalidNextToken, CodeLimitExceeded, CodeMalformedPolicy, CodePublicPolicy:
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
	{Name: "BatchGetSecretValue", Input: shapeBatchGetSecretValueRequest, Output: shapeBatchGetSecretValueResponse,
		New: func() any { return new(BatchGetSecretValueRequest) }, NewOutput: func() any { return new(BatchGetSecretValueResponse) },
		Errors:   []mailmanager.Code{CodeInvalidParameter, CodeInvalidRequest, CodeInvalidNextToken, mailmanager.CodeResourceNotFound},
		ReadOnly: true},
	{Name: "PutSecretValue", Input: shapePutSecretValueRequest, Output: shapePutSecretValueResponse,
		New: func() any { return new(PutSecretValueRequest) }, NewOutput: func() any { return new(PutSecretValueResponse) },
		Errors:     []mailmanager.Code{CodeInvalidParameter, CodeInvalidRequest, CodeLimitExceeded, CodeResourceExists, mailmanager.CodeResourceNotFound},
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
	{Name: "UpdateSecret", Input: shapeUpdateSecretRequest, Output: shapeUpdateSecretResponse,
		New: func() any { return new(UpdateSecretRequest) }, NewOutput: func() any { return new(UpdateSecretResponse) },
		Errors:     []mailmanager.Code{CodeInvalidParameter, CodeInvalidRequest, CodeLimitExceeded, CodeResourceExists, mailmanager.CodeResourceNotFound},
		Idempotent: true},
	{Name: "RestoreSecret", Input: shapeSecretIdRequest("RestoreSecretRequest"), Output: shapeSecretResponse("RestoreSecretResponse"),
		New: func() any { return new(RestoreSecretRequest) }, NewOutput: func() any { return new(RestoreSecretResponse) },
		Errors: []mailmanager.Code{CodeInvalidParameter, CodeInvalidRequest, mailmanager.CodeResourceNotFound}},
	{Name: "ListSecretVersionIds", Input: shapeListSecretVersionIdsRequest, Output: shapeListSecretVersionIdsResponse,
		New: func() any { return new(ListSecretVersionIdsRequest) }, NewOutput: func() any { return new(ListSecretVersionIdsResponse) },
		Errors:   []mailmanager.Code{CodeInvalidParameter, CodeInvalidNextToken, mailmanager.CodeResourceNotFound},
		ReadOnly: true},
	{Name: "UpdateSecretVersionStage", Input: shapeUpdateSecretVersionStageRequest, Output: shapeSecretResponse("UpdateSecretVersionStageResponse"),
		New: func() any { return new(UpdateSecretVersionStageRequest) }, NewOutput: func() any { return new(UpdateSecretVersionStageResponse) },
		Errors: []mailmanager.Code{CodeInvalidParameter, CodeInvalidRequest, CodeLimitExceeded, mailmanager.CodeResourceNotFound}},
	{Name: "TagResource", Input: shapeTagResourceRequest, Output: structure("TagResourceResponse"),
		New: func() any { return new(TagResourceRequest) }, NewOutput: func() any { return new(TagResourceResponse) },
		Errors: []mailmanager.Code{CodeInvalidParameter, CodeInvalidRequest, mailmanager.CodeResourceNotFound}},
	{Name: "UntagResource", Input: shapeUntagResourceRequest, Output: structure("UntagResourceResponse"),
		New: func() any { return new(UntagResourceRequest) }, NewOutput: func() any { return new(UntagResourceResponse) },
		Errors: []mailmanager.Code{CodeInvalidParameter, CodeInvalidRequest, mailmanager.CodeResourceNotFound}},
	{Name: "PutResourcePolicy", Input: shapePutResourcePolicyRequest, Output: shapeSecretResponse("PutResourcePolicyResponse"),
		New: func() any { return new(PutResourcePolicyRequest) }, NewOutput: func() any { return new(PutResourcePolicyResponse) },
		Errors: []mailmanager.Code{CodeInvalidParameter, CodeInvalidRequest, CodeMalformedPolicy, CodePublicPolicy, mailmanager.CodeResourceNotFound}},
	{Name: "GetResourcePolicy", Input: shapeSecretIdRequest("GetResourcePolicyRequest"), Output: shapeGetResourcePolicyResponse,
		New: func() any { return new(GetResourcePolicyRequest) }, NewOutput: func() any { return new(GetResourcePolicyResponse) },
		Errors:   []mailmanager.Code{CodeInvalidParameter, CodeInvalidRequest, mailmanager.CodeResourceNotFound},
		ReadOnly: true},
	{Name: "DeleteResourcePolicy", Input: shapeSecretIdRequest("DeleteResourcePolicyRequest"), Output: shapeSecretResponse("DeleteResourcePolicyResponse"),
		New: func() any { return new(DeleteResourcePolicyRequest) }, NewOutput: func() any { return new(DeleteResourcePolicyResponse) },
		Errors: []mailmanager.Code{CodeInvalidParameter, CodeInvalidRequest, mailmanager.CodeResourceNotFound}},
	{Name: "ValidateResourcePolicy", Input: shapeValidateResourcePolicyRequest, Output: shapeValidateResourcePolicyResponse,
		New: func() any { return new(ValidateResourcePolicyRequest) }, NewOutput: func() any { return new(ValidateResourcePolicyResponse) },
		Errors:   []mailmanager.Code{CodeInvalidParameter, CodeInvalidRequest, CodeMalformedPolicy, mailmanager.CodeResourceNotFound},
		ReadOnly: true},
	{Name: "GetRandomPassword", Input: shapeGetRandomPasswordRequest, Output: shapeGetRandomPasswordResponse,
		New: func() any { return new(GetRandomPasswordRequest) }, NewOutput: func() any { return new(GetRandomPasswordResponse) },
		Errors:   []mailmanager.Code{CodeInvalidParameter, CodeInvalidRequest},
		ReadOnly: true},
}
