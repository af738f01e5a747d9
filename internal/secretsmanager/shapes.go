package secretsmanager

import "sluice/internal/mailmanager"

// Limits of Secrets Manager; lengths in characters, of the binary in octets.
const (
	maxName            = 512   // Secrets Manager, CreateSecret
	maxSecretId        = 2048  // Secrets Manager, GetSecretValue
	minVersionId       = 32    // Secrets Manager, PutSecretValue: a UUID fits
	maxVersionId       = 64    // Secrets Manager, PutSecretValue
	maxSecret          = 65536 // Secrets Manager, CreateSecret
	maxDescription     = 2048  // Secrets Manager, CreateSecret
	maxKmsKeyId        = 2048  // Secrets Manager, CreateSecret
	maxStage           = 256   // Secrets Manager, PutSecretValue
	maxStagesOfVersion = 20    // Secrets Manager, PutSecretValue
	maxTagKey          = 128   // Secrets Manager, CreateSecret
	maxTagValue        = 256   // Secrets Manager, CreateSecret
	maxPage            = 100   // Secrets Manager, ListSecrets
	maxNextToken       = 4096  // Secrets Manager, ListSecrets
	maxFilters         = 10    // Secrets Manager, ListSecrets
	maxFilterValues    = 10    // Secrets Manager, ListSecrets
	maxFilterValue     = 512   // Secrets Manager, ListSecrets
	maxBatch           = 20    // Secrets Manager, BatchGetSecretValue
	maxPolicy          = 20480 // Secrets Manager, PutResourcePolicy
	maxRandomPassword  = 4096  // Secrets Manager, GetRandomPassword
)

// Shapes of the values. A structure's members stand in the order of its Go fields.
var (
	shapeString       = &mailmanager.Shape{Name: "String", Kind: mailmanager.KindString}
	shapeBoolean      = &mailmanager.Shape{Name: "Boolean", Kind: mailmanager.KindBoolean}
	shapeTimestamp    = &mailmanager.Shape{Name: "Timestamp", Kind: mailmanager.KindTimestamp}
	shapeDays         = &mailmanager.Shape{Name: "RecoveryWindowInDaysType", Kind: mailmanager.KindInteger}
	shapeName         = text("NameType", 1, maxName)
	shapeSecretId     = text("SecretIdType", 1, maxSecretId)
	shapeVersionId    = text("SecretVersionIdType", minVersionId, maxVersionId)
	shapeDescription  = text("DescriptionType", 0, maxDescription)
	shapeKmsKeyId     = text("KmsKeyIdType", 0, maxKmsKeyId)
	shapeStage        = text("SecretVersionStageType", 1, maxStage)
	shapeNextToken    = text("NextTokenType", 1, maxNextToken)
	shapeSecretString = secret("SecretStringType", mailmanager.KindString)
	shapeSecretBinary = secret("SecretBinaryType", mailmanager.KindBlob)
	shapeMaxResults   = upTo("MaxResultsType", maxPage)
	shapeSortOrder    = &mailmanager.Shape{Name: "SortOrderType", Kind: mailmanager.KindString, Enum: []string{"asc", "desc"}}
	shapeFilterKey    = &mailmanager.Shape{Name: "FilterNameStringType", Kind: mailmanager.KindString,
		Enum: []string{"description", "name", "tag-key", "tag-value", "primary-region", "owning-service", "all"}}

	shapeStages       = list("SecretVersionStagesType", shapeStage, 1, maxStagesOfVersion)
	shapeStagesByID   = &mailmanager.Shape{Name: "SecretVersionsToStagesMapType", Kind: mailmanager.KindMap, Element: shapeStages}
	shapeTags         = all("TagListType", shapeTag)
	shapeFilterValues = list("FilterValuesStringList", text("FilterValueStringType", 1, maxFilterValue), 1, maxFilterValues)
	shapeFilters      = list("FiltersListType", shapeFilter, 0, maxFilters)
	shapeSecretList   = all("SecretListType", shapeSecretListEntry)
	shapeTag          = structure("Tag",
		member("Key", text("TagKeyType", 1, maxTagKey)), member("Value", text("TagValueType", 0, maxTagValue)))
	shapeFilter = structure("Filter", member("Key", shapeFilterKey), member("Values", shapeFilterValues))

	shapeCreateSecretRequest = structure("CreateSecretRequest",
		required("Name", shapeName), token("ClientRequestToken"), member("Description", shapeDescription),
		member("KmsKeyId", shapeKmsKeyId), member("SecretBinary", shapeSecretBinary),
		member("SecretString", shapeSecretString), member("Tags", shapeTags))
	shapeCreateSecretResponse = structure("CreateSecretResponse",
		member("ARN", shapeString), member("Name", shapeName), member("VersionId", shapeVersionId))

	shapeGetSecretValueRequest = structure("GetSecretValueRequest",
		required("SecretId", shapeSecretId), member("VersionId", shapeVersionId), member("VersionStage", shapeStage))
	shapeGetSecretValueResponse = structure("GetSecretValueResponse",
		member("ARN", shapeString), member("Name", shapeName), member("VersionId", shapeVersionId),
		member("SecretBinary", shapeSecretBinary), member("SecretString", shapeSecretString),
		member("VersionStages", shapeStages), member("CreatedDate", shapeTimestamp))

	shapePutSecretValueRequest = structure("PutSecretValueRequest",
		required("SecretId", shapeSecretId), token("ClientRequestToken"), member("SecretBinary", shapeSecretBinary),
		member("SecretString", shapeSecretString), member("VersionStages", shapeStages))
	shapePutSecretValueResponse = structure("PutSecretValueResponse",
		member("ARN", shapeString), member("Name", shapeName), member("VersionId", shapeVersionId),
		member("VersionStages", shapeStages))

	shapeDescribeSecretRequest  = structure("DescribeSecretRequest", required("SecretId", shapeSecretId))
	shapeDescribeSecretResponse = structure("DescribeSecretResponse", description("VersionIdsToStages")...)

	shapeListSecretsRequest = structure("ListSecretsRequest",
		member("IncludePlannedDeletion", shapeBoolean), member("MaxResults", shapeMaxResults),
		member("NextToken", shapeNextToken), member("Filters", shapeFilters), member("SortOrder", shapeSortOrder))
	shapeListSecretsResponse = structure("ListSecretsResponse",
		member("SecretList", shapeSecretList), member("NextToken", shapeNextToken))
	shapeSecretListEntry = structure("SecretListEntry", description("SecretVersionsToStages")...)

	shapeDeleteSecretRequest = structure("DeleteSecretRequest",
		required("SecretId", shapeSecretId), member("RecoveryWindowInDays", shapeDays),
		member("ForceDeleteWithoutRecovery", shapeBoolean))
	shapeDeleteSecretResponse = structure("DeleteSecretResponse",
		member("ARN", shapeString), member("Name", shapeName), member("DeletionDate", shapeTimestamp))

	shapeBatchGetSecretValueRequest = structure("BatchGetSecretValueRequest",
		member("SecretIdList", list("SecretIdListType", shapeSecretId, 1, maxBatch)), member("Filters", shapeFilters),
		member("MaxResults", upTo("MaxResultsBatchType", maxBatch)), member("NextToken", shapeNextToken))
	shapeBatchGetSecretValueResponse = structure("BatchGetSecretValueResponse",
		member("SecretValues", all("SecretValuesType", shapeSecretValueEntry)), member("NextToken", shapeNextToken),
		member("Errors", all("APIErrorListType", shapeAPIError)))
	shapeSecretValueEntry = structure("SecretValueEntry",
		member("ARN", shapeString), member("Name", shapeName), member("VersionId", shapeVersionId),
		member("SecretBinary", shapeSecretBinary), member("SecretString", shapeSecretString),
		member("VersionStages", shapeStages), member("CreatedDate", shapeTimestamp))
	shapeAPIError = structure("APIErrorType",
		member("SecretId", shapeSecretId), member("ErrorCode", shapeString), member("Message", shapeString))

	shapeUpdateSecretRequest = structure("UpdateSecretRequest",
		required("SecretId", shapeSecretId), token("ClientRequestToken"), member("Description", shapeDescription),
		member("KmsKeyId", shapeKmsKeyId), member("SecretBinary", shapeSecretBinary), member("SecretString", shapeSecretString))
	shapeUpdateSecretResponse = structure("UpdateSecretResponse",
		member("ARN", shapeString), member("Name", shapeName), member("VersionId", shapeVersionId))

	shapeListSecretVersionIdsRequest = structure("ListSecretVersionIdsRequest",
		required("SecretId", shapeSecretId), member("MaxResults", shapeMaxResults), member("NextToken", shapeNextToken),
		member("IncludeDeprecated", shapeBoolean))
	shapeListSecretVersionIdsResponse = structure("ListSecretVersionIdsResponse",
		member("Versions", all("SecretVersionsListType", shapeSecretVersionsListEntry)), member("NextToken", shapeNextToken),
		member("ARN", shapeString), member("Name", shapeName))
	shapeSecretVersionsListEntry = structure("SecretVersionsListEntry",
		member("VersionId", shapeVersionId), member("VersionStages", shapeStages), member("CreatedDate", shapeTimestamp))
	shapeUpdateSecretVersionStageRequest = structure("UpdateSecretVersionStageRequest",
		required("SecretId", shapeSecretId), required("VersionStage", shapeStage),
		member("RemoveFromVersionId", shapeVersionId), member("MoveToVersionId", shapeVersionId))

	shapeTagResourceRequest   = structure("TagResourceRequest", required("SecretId", shapeSecretId), required("Tags", shapeTags))
	shapeUntagResourceRequest = structure("UntagResourceRequest",
		required("SecretId", shapeSecretId), required("TagKeys", all("TagKeyListType", text("TagKeyType", 1, maxTagKey))))

	shapePolicy                   = text("NonEmptyResourcePolicyType", 1, maxPolicy)
	shapePutResourcePolicyRequest = structure("PutResourcePolicyRequest",
		required("SecretId", shapeSecretId), required("ResourcePolicy", shapePolicy), member("BlockPublicPolicy", shapeBoolean))
	shapeGetResourcePolicyResponse = structure("GetResourcePolicyResponse",
		member("ARN", shapeString), member("Name", shapeName), member("ResourcePolicy", shapePolicy))
	shapeValidateResourcePolicyRequest = structure("ValidateResourcePolicyRequest",
		member("SecretId", shapeSecretId), required("ResourcePolicy", shapePolicy))
	shapeValidateResourcePolicyResponse = structure("ValidateResourcePolicyResponse",
		member("PolicyValidationPassed", shapeBoolean), member("ValidationErrors", all("ValidationErrorsType", shapeValidationErrorsEntry)))
	shapeValidationErrorsEntry = structure("ValidationErrorsEntry",
		member("CheckName", shapeString), member("ErrorMessage", shapeString))

	shapeGetRandomPasswordRequest = structure("GetRandomPasswordRequest",
		member("PasswordLength", upTo("PasswordLengthType", maxRandomPassword)),
		member("ExcludeCharacters", text("ExcludeCharactersType", 0, maxRandomPassword)),
		member("ExcludeNumbers", shapeBoolean), member("ExcludePunctuation", shapeBoolean),
		member("ExcludeUppercase", shapeBoolean), member("ExcludeLowercase", shapeBoolean),
		member("IncludeSpace", shapeBoolean), member("RequireEachIncludedType", shapeBoolean))
	shapeGetRandomPasswordResponse = structure("GetRandomPasswordResponse", member("RandomPassword",
		&mailmanager.Shape{Name: "RandomPasswordType", Kind: mailmanager.KindString, Min: 0, HasMin: true, Max: maxRandomPassword, HasMax: true, Sensitive: true}))
)

// shapeSecretIdRequest is an input that names a secret and nothing else.
func shapeSecretIdRequest(name string) *mailmanager.Shape {
	return structure(name, required("SecretId", shapeSecretId))
}

// shapeSecretResponse is an output that says which secret it was.
func shapeSecretResponse(name string) *mailmanager.Shape {
	return structure(name, member("ARN", shapeString), member("Name", shapeName))
}

// description is what DescribeSecret and ListSecrets tell of a secret; they differ in one member's name.
func description(stagesByID string) []mailmanager.Member {
	return []mailmanager.Member{
		member("ARN", shapeString), member("Name", shapeName), member("Description", shapeDescription),
		member("KmsKeyId", shapeKmsKeyId), member("RotationEnabled", shapeBoolean),
		member("LastChangedDate", shapeTimestamp), member("LastAccessedDate", shapeTimestamp),
		member("DeletedDate", shapeTimestamp), member("Tags", shapeTags),
		member(stagesByID, shapeStagesByID), member("CreatedDate", shapeTimestamp),
	}
}

func structure(name string, members ...mailmanager.Member) *mailmanager.Shape {
	return &mailmanager.Shape{Name: name, Kind: mailmanager.KindStructure, Members: members}
}

func list(name string, element *mailmanager.Shape, shortest, longest float64) *mailmanager.Shape {
	return &mailmanager.Shape{Name: name, Kind: mailmanager.KindList, Element: element,
		Min: shortest, HasMin: true, Max: longest, HasMax: true}
}

// all is a list of any length.
func all(name string, element *mailmanager.Shape) *mailmanager.Shape {
	return &mailmanager.Shape{Name: name, Kind: mailmanager.KindList, Element: element}
}

// upTo is an integer from 1.
func upTo(name string, most float64) *mailmanager.Shape {
	return &mailmanager.Shape{Name: name, Kind: mailmanager.KindInteger, Min: 1, HasMin: true, Max: most, HasMax: true}
}

func text(name string, shortest, longest float64) *mailmanager.Shape {
	return &mailmanager.Shape{Name: name, Kind: mailmanager.KindString, Min: shortest, HasMin: true, Max: longest, HasMax: true}
}

func secret(name string, kind mailmanager.Kind) *mailmanager.Shape {
	return &mailmanager.Shape{Name: name, Kind: kind, Min: 1, HasMin: true, Max: maxSecret, HasMax: true, Sensitive: true}
}

func member(name string, shape *mailmanager.Shape) mailmanager.Member {
	return mailmanager.Member{Name: name, Shape: shape}
}

func required(name string, shape *mailmanager.Shape) mailmanager.Member {
	return mailmanager.Member{Name: name, Shape: shape, Required: true}
}

func token(name string) mailmanager.Member {
	return mailmanager.Member{Name: name, Shape: shapeVersionId, IdempotencyToken: true}
}
