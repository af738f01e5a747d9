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
	shapeMaxResults   = &mailmanager.Shape{Name: "MaxResultsType", Kind: mailmanager.KindInteger, Min: 1, HasMin: true, Max: maxPage, HasMax: true}
	shapeSortOrder    = &mailmanager.Shape{Name: "SortOrderType", Kind: mailmanager.KindString, Enum: []string{"asc", "desc"}}
	shapeFilterKey    = &mailmanager.Shape{Name: "FilterNameStringType", Kind: mailmanager.KindString,
		Enum: []string{"description", "name", "tag-key", "tag-value", "primary-region", "owning-service", "all"}}

	shapeStages       = list("SecretVersionStagesType", shapeStage, 1, maxStagesOfVersion)
	shapeStagesByID   = &mailmanager.Shape{Name: "SecretVersionsToStagesMapType", Kind: mailmanager.KindMap, Element: shapeStages}
	shapeTags         = &mailmanager.Shape{Name: "TagListType", Kind: mailmanager.KindList, Element: shapeTag}
	shapeFilterValues = list("FilterValuesStringList", text("FilterValueStringType", 1, maxFilterValue), 1, maxFilterValues)
	shapeFilters      = list("FiltersListType", shapeFilter, 0, maxFilters)
	shapeSecretList   = &mailmanager.Shape{Name: "SecretListType", Kind: mailmanager.KindList, Element: shapeSecretListEntry}
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
)

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
