package awsapi

import (
	"reflect"
	"slices"
	"testing"

	sdksecrets "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/google/go-cmp/cmp"

	"sluice/internal/mailmanager"
	"sluice/internal/secretsmanager"
)

// What the SDK has of Secrets Manager and Sluice leaves out: replication, rotation by functions, and who owns or uses a secret.
var (
	secretOperationsLeftOut = []string{"CancelRotateSecret", "RemoveRegionsFromReplication", "ReplicateSecretToRegions", "RotateSecret", "StopReplicationToReplica"}
	secretMembersLeftOut    = []string{
		"AddReplicaRegions", "ForceOverwriteReplicaSecret", "PrimaryRegion", "ReplicationStatus",
		"ExternalSecretRotationMetadata", "ExternalSecretRotationRoleArn", "LastRotatedDate", "NextRotationDate", "RotationLambdaARN", "RotationRules", "RotationToken",
		"KmsKeyIds", "LastAccessedDate", "OwningService", "SortBy", "Type",
	}
)

// Our tables have the operations and members of the SDK, by the same names, and what they have not is listed.
func TestSecretsManagerIsThatOfTheSDK(t *testing.T) {
	t.Parallel()
	missing := map[string]bool{}
	var compare func(path string, ours, sdks reflect.Type)
	compare = func(path string, ours, sdks reflect.Type) {
		for ours.Kind() == reflect.Pointer || ours.Kind() == reflect.Slice {
			ours = ours.Elem()
		}
		for sdks.Kind() == reflect.Pointer || sdks.Kind() == reflect.Slice {
			sdks = sdks.Elem()
		}
		if sdks.Kind() != ours.Kind() {
			t.Errorf("%s: got a %s, want a %s", path, ours, sdks)
			return
		}
		if ours.Kind() != reflect.Struct || ours.PkgPath() == "time" {
			return
		}
		for i := range ours.NumField() {
			name := ours.Field(i).Name
			field, ok := sdks.FieldByName(name)
			if !ok {
				t.Errorf("%s has no member %s", path, name)
				continue
			}
			compare(path+"."+name, ours.Field(i).Type, field.Type)
		}
		for i := range sdks.NumField() {
			name := sdks.Field(i).Name
			if _, ok := ours.FieldByName(name); !ok && name != "ResultMetadata" && sdks.Field(i).IsExported() {
				missing[name] = true
			}
		}
	}
	client := reflect.TypeFor[*sdksecrets.Client]()
	for _, op := range secretsmanager.Operations() {
		method, ok := client.MethodByName(op.Name)
		if !ok {
			t.Errorf("the SDK has no %s", op.Name)
			continue
		}
		compare(op.Name, reflect.TypeOf(op.New()), method.Type.In(2))
		compare(op.Name, reflect.TypeOf(op.NewOutput()), method.Type.Out(0))
	}
	var leftOut []string
	for name := range missing {
		leftOut = append(leftOut, name)
	}
	slices.Sort(leftOut)
	want := slices.Sorted(slices.Values(secretMembersLeftOut))
	if diff := cmp.Diff(want, leftOut); diff != "" {
		t.Errorf("members that are left out (-want +got):\n%s", diff)
	}
	var others []string
	for i := range client.NumMethod() {
		name := client.Method(i).Name
		isOurs := slices.ContainsFunc(secretsmanager.Operations(), func(op mailmanager.Operation) bool { return op.Name == name })
		if !isOurs && name != "Options" {
			others = append(others, name)
		}
	}
	if diff := cmp.Diff(secretOperationsLeftOut, others); diff != "" {
		t.Errorf("operations that are left out (-want +got):\n%s", diff)
	}
}
