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
