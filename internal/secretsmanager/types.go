package secretsmanager

import "time"

// redacted stands for a secret wherever it would be printed.
const redacted = "[redacted]"

// SecretString is a secret's text.
type SecretString string

// String hides the secret.
func (SecretString) String() string { return redacted }

// GoString hides the secret.
func (SecretString) GoString() string { return redacted }

// SecretBinary is a secret's octets.
type SecretBinary []byte

// String hides the secret.
func (SecretBinary) String() string { return redacted }

// GoString hides the secret.
func (SecretBinary) GoString() string { return redacted }

// Tag is a key and a value that a caller attached to a secret.
type Tag struct {
	Key   *string
	Value *string
}

// Filter selects secrets in ListSecrets: the property named Key begins with one of Values.
type Filter struct {
	Key    *string
	Values []string
}

// CreateSecretRequest is the input of CreateSecret. One of SecretBinary and SecretString may be set; with neither the
// secret has no version yet.
type CreateSecretRequest struct {
	Name               *string
	ClientRequestToken *string
	Description        *string
	KmsKeyId           *string
	SecretBinary       SecretBinary
	SecretString       *SecretString
	Tags               []Tag
}

// CreateSecretResponse is the output of CreateSecret. VersionId is absent when there is no version yet.
type CreateSecretResponse struct {
	ARN       *string
	Name      *string
	VersionId *string
}

// GetSecretValueRequest is the input of GetSecretValue. SecretId is a name or an ARN. Without VersionId and
// VersionStage the version is AWSCURRENT.
type GetSecretValueRequest struct {
	SecretId     *string
	VersionId    *string
	VersionStage *string
}

// GetSecretValueResponse is the output of GetSecretValue.
type GetSecretValueResponse struct {
	ARN           *string
	Name          *string
	VersionId     *string
	SecretBinary  SecretBinary
	SecretString  *SecretString
	VersionStages []string
	CreatedDate   *time.Time
}

// PutSecretValueRequest is the input of PutSecretValue. Without VersionStages the new version becomes AWSCURRENT.
type PutSecretValueRequest struct {
	SecretId           *string
	ClientRequestToken *string
	SecretBinary       SecretBinary
	SecretString       *SecretString
	VersionStages      []string
}

// PutSecretValueResponse is the output of PutSecretValue.
type PutSecretValueResponse struct {
	ARN           *string
	Name          *string
	VersionId     *string
	VersionStages []string
}

// DescribeSecretRequest is the input of DescribeSecret.
type DescribeSecretRequest struct {
	SecretId *string
}

// DescribeSecretResponse is the output of DescribeSecret: everything but the secret.
type DescribeSecretResponse struct {
	ARN                *string
	Name               *string
	Description        *string
	KmsKeyId           *string
	RotationEnabled    *bool
	LastChangedDate    *time.Time
	LastAccessedDate   *time.Time
	DeletedDate        *time.Time
	Tags               []Tag
	VersionIdsToStages map[string][]string
	CreatedDate        *time.Time
}

// ListSecretsRequest is the input of ListSecrets.
type ListSecretsRequest struct {
	IncludePlannedDeletion *bool
	MaxResults             *int32
	NextToken              *string
	Filters                []Filter
	SortOrder              *string
}

// ListSecretsResponse is the output of ListSecrets. NextToken is absent on the last page.
type ListSecretsResponse struct {
	SecretList []SecretListEntry
	NextToken  *string
}

// SecretListEntry is what ListSecrets tells of one secret.
type SecretListEntry struct {
	ARN                    *string
	Name                   *string
	Description            *string
	KmsKeyId               *string
	RotationEnabled        *bool
	LastChangedDate        *time.Time
	LastAccessedDate       *time.Time
	DeletedDate            *time.Time
	Tags                   []Tag
	SecretVersionsToStages map[string][]string
	CreatedDate            *time.Time
}

// DeleteSecretRequest is the input of DeleteSecret. RecoveryWindowInDays excludes ForceDeleteWithoutRecovery.
type DeleteSecretRequest struct {
	SecretId                   *string
	RecoveryWindowInDays       *int64
	ForceDeleteWithoutRecovery *bool
}

// DeleteSecretResponse is the output of DeleteSecret.
type DeleteSecretResponse struct {
	ARN          *string
	Name         *string
	DeletionDate *time.Time
}

// BatchGetSecretValueRequest is the input of BatchGetSecretValue: secrets by their names or ARNs, or those that pass the filters.
type BatchGetSecretValueRequest struct {
	SecretIdList []string
	Filters      []Filter
	MaxResults   *int32
	NextToken    *string
}

// BatchGetSecretValueResponse is the output of BatchGetSecretValue. Errors are of the secrets that could not be read.
type BatchGetSecretValueResponse struct {
	SecretValues []SecretValueEntry
	NextToken    *string
	Errors       []APIErrorType
}

// SecretValueEntry is the current value of one secret.
type SecretValueEntry struct {
	ARN           *string
	Name          *string
	VersionId     *string
	SecretBinary  SecretBinary
	SecretString  *SecretString
	VersionStages []string
	CreatedDate   *time.Time
}

// APIErrorType says why a secret could not be read.
type APIErrorType struct {
	SecretId  *string
	ErrorCode *string
	Message   *string
}

// UpdateSecretRequest is the input of UpdateSecret. With a value it makes a version that is AWSCURRENT.
type UpdateSecretRequest struct {
	SecretId           *string
	ClientRequestToken *string
	Description        *string
	KmsKeyId           *string
	SecretBinary       SecretBinary
	SecretString       *SecretString
}

// UpdateSecretResponse is the output of UpdateSecret. VersionId is absent when no value was given.
type UpdateSecretResponse struct {
	ARN       *string
	Name      *string
	VersionId *string
}

// RestoreSecretRequest is the input of RestoreSecret.
type RestoreSecretRequest struct {
	SecretId *string
}

// RestoreSecretResponse is the output of RestoreSecret.
type RestoreSecretResponse struct {
	ARN  *string
	Name *string
}

// ListSecretVersionIdsRequest is the input of ListSecretVersionIds. IncludeDeprecated asks for versions without a stage, too.
type ListSecretVersionIdsRequest struct {
	SecretId          *string
	MaxResults        *int32
	NextToken         *string
	IncludeDeprecated *bool
}

// ListSecretVersionIdsResponse is the output of ListSecretVersionIds. NextToken is absent on the last page.
type ListSecretVersionIdsResponse struct {
	Versions  []SecretVersionsListEntry
	NextToken *string
	ARN       *string
	Name      *string
}

// SecretVersionsListEntry is what ListSecretVersionIds tells of one version.
type SecretVersionsListEntry struct {
	VersionId     *string
	VersionStages []string
	CreatedDate   *time.Time
}

// UpdateSecretVersionStageRequest is the input of UpdateSecretVersionStage: the stage goes from one version, to another, or both.
type UpdateSecretVersionStageRequest struct {
	SecretId            *string
	VersionStage        *string
	RemoveFromVersionId *string
	MoveToVersionId     *string
}

// UpdateSecretVersionStageResponse is the output of UpdateSecretVersionStage.
type UpdateSecretVersionStageResponse struct {
	ARN  *string
	Name *string
}

// TagResourceRequest is the input of TagResource. A tag with the same key is replaced.
type TagResourceRequest struct {
	SecretId *string
	Tags     []Tag
}

// TagResourceResponse is the output of TagResource.
type TagResourceResponse struct{}

// UntagResourceRequest is the input of UntagResource.
type UntagResourceRequest struct {
	SecretId *string
	TagKeys  []string
}

// UntagResourceResponse is the output of UntagResource.
type UntagResourceResponse struct{}

// PutResourcePolicyRequest is the input of PutResourcePolicy. BlockPublicPolicy refuses a policy that lets everybody in.
type PutResourcePolicyRequest struct {
	SecretId          *string
	ResourcePolicy    *string
	BlockPublicPolicy *bool
}

// PutResourcePolicyResponse is the output of PutResourcePolicy.
type PutResourcePolicyResponse struct {
	ARN  *string
	Name *string
}

// GetResourcePolicyRequest is the input of GetResourcePolicy.
type GetResourcePolicyRequest struct {
	SecretId *string
}

// GetResourcePolicyResponse is the output of GetResourcePolicy. ResourcePolicy is absent when the secret has none.
type GetResourcePolicyResponse struct {
	ARN            *string
	Name           *string
	ResourcePolicy *string
}

// DeleteResourcePolicyRequest is the input of DeleteResourcePolicy.
type DeleteResourcePolicyRequest struct {
	SecretId *string
}

// DeleteResourcePolicyResponse is the output of DeleteResourcePolicy.
type DeleteResourcePolicyResponse struct {
	ARN  *string
	Name *string
}

// ValidateResourcePolicyRequest is the input of ValidateResourcePolicy.
type ValidateResourcePolicyRequest struct {
	SecretId       *string
	ResourcePolicy *string
}

// ValidateResourcePolicyResponse is the output of ValidateResourcePolicy.
type ValidateResourcePolicyResponse struct {
	PolicyValidationPassed *bool
	ValidationErrors       []ValidationErrorsEntry
}

// ValidationErrorsEntry is one thing that is wrong with a policy.
type ValidationErrorsEntry struct {
	CheckName    *string
	ErrorMessage *string
}

// GetRandomPasswordRequest is the input of GetRandomPassword. RequireEachIncludedType is true when it is absent.
type GetRandomPasswordRequest struct {
	PasswordLength          *int64
	ExcludeCharacters       *string
	ExcludeNumbers          *bool
	ExcludePunctuation      *bool
	ExcludeUppercase        *bool
	ExcludeLowercase        *bool
	IncludeSpace            *bool
	RequireEachIncludedType *bool
}

// GetRandomPasswordResponse is the output of GetRandomPassword.
type GetRandomPasswordResponse struct {
	RandomPassword *SecretString
}
