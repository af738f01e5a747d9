package peers

import (
	"os"
	"path/filepath"
	"testing"

	"sluice/internal/conform"
)

func TestRelays(t *testing.T) {
	t.Parallel()
	conform.Check(t, "CreateRelay", "GetRelay", "ListRelays", "UpdateRelay", "DeleteRelay", "TagResource", "UntagResource", "ListTagsForResource", "A1", "A2", "A3")
	play(t, "relays")
}

func TestRuleSets(t *testing.T) {
	t.Parallel()
	conform.Check(t, "CreateRuleSet", "GetRuleSet", "ListRuleSets", "UpdateRuleSet", "DeleteRuleSet", "A10", "A25")
	play(t, "rule_sets")
}

func TestTrafficPolicies(t *testing.T) {
	t.Parallel()
	conform.Check(t, "CreateTrafficPolicy", "GetTrafficPolicy", "ListTrafficPolicies", "UpdateTrafficPolicy", "DeleteTrafficPolicy", "A11")
	play(t, "traffic_policies")
}

func TestIngressPoints(t *testing.T) {
	t.Parallel()
	conform.Check(t, "CreateIngressPoint", "GetIngressPoint", "ListIngressPoints", "UpdateIngressPoint", "DeleteIngressPoint", "A5", "A10", "A21")
	play(t, "ingress_points")
}

func TestArchives(t *testing.T) {
	t.Parallel()
	conform.Check(t, "CreateArchive", "GetArchive", "ListArchives", "UpdateArchive", "DeleteArchive", "A8", "A9", "F9")
	play(t, "archives")
}

func TestAddressLists(t *testing.T) {
	t.Parallel()
	conform.Check(t, "CreateAddressList", "GetAddressList", "ListAddressLists", "DeleteAddressList", "RegisterMemberToAddressList",
		"GetMemberOfAddressList", "ListMembersOfAddressList", "DeregisterMemberFromAddressList", "CreateAddressListImportJob", "GetAddressListImportJob",
		"ListAddressListImportJobs", "StartAddressListImportJob", "StopAddressListImportJob", "A12", "F13")
	play(t, "address_lists")
}

func TestAddons(t *testing.T) {
	t.Parallel()
	conform.Check(t, "CreateAddonSubscription", "GetAddonSubscription", "ListAddonSubscriptions", "DeleteAddonSubscription",
		"CreateAddonInstance", "GetAddonInstance", "ListAddonInstances", "DeleteAddonInstance", "F17")
	config := filepath.Join(t.TempDir(), "sluice.toml")
	if err := os.WriteFile(config, []byte("[analyzers.SPAMHAUS_DBL]\n[analyzers.ABUSIX_MAIL_INTELLIGENCE]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	play(t, "addons", "--config", config)
}
