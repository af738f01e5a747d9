package conform

// What operations wait for that are not implemented.
const (
	dueSearch = "with searches and exports of archives"
)

// operations is every operation of the API, by resource.
var operations = []Operation{
	{Resource: "ingress point", Name: "CreateIngressPoint"},
	{Resource: "ingress point", Name: "DeleteIngressPoint"},
	{Resource: "ingress point", Name: "GetIngressPoint"},
	{Resource: "ingress point", Name: "ListIngressPoints"},
	{Resource: "ingress point", Name: "UpdateIngressPoint"},

	{Resource: "rule set", Name: "CreateRuleSet"},
	{Resource: "rule set", Name: "DeleteRuleSet"},
	{Resource: "rule set", Name: "GetRuleSet"},
	{Resource: "rule set", Name: "ListRuleSets"},
	{Resource: "rule set", Name: "UpdateRuleSet"},

	{Resource: "traffic policy", Name: "CreateTrafficPolicy"},
	{Resource: "traffic policy", Name: "DeleteTrafficPolicy"},
	{Resource: "traffic policy", Name: "GetTrafficPolicy"},
	{Resource: "traffic policy", Name: "ListTrafficPolicies"},
	{Resource: "traffic policy", Name: "UpdateTrafficPolicy"},

	{Resource: "relay", Name: "CreateRelay"},
	{Resource: "relay", Name: "DeleteRelay"},
	{Resource: "relay", Name: "GetRelay"},
	{Resource: "relay", Name: "ListRelays"},
	{Resource: "relay", Name: "UpdateRelay"},

	{Resource: "tags", Name: "ListTagsForResource"},
	{Resource: "tags", Name: "TagResource"},
	{Resource: "tags", Name: "UntagResource"},

	{Resource: "address list", Name: "CreateAddressList"},
	{Resource: "address list", Name: "CreateAddressListImportJob"},
	{Resource: "address list", Name: "DeleteAddressList"},
	{Resource: "address list", Name: "DeregisterMemberFromAddressList"},
	{Resource: "address list", Name: "GetAddressList"},
	{Resource: "address list", Name: "GetAddressListImportJob"},
	{Resource: "address list", Name: "GetMemberOfAddressList"},
	{Resource: "address list", Name: "ListAddressListImportJobs"},
	{Resource: "address list", Name: "ListAddressLists"},
	{Resource: "address list", Name: "ListMembersOfAddressList"},
	{Resource: "address list", Name: "RegisterMemberToAddressList"},
	{Resource: "address list", Name: "StartAddressListImportJob"},
	{Resource: "address list", Name: "StopAddressListImportJob"},

	{Resource: "archive", Name: "CreateArchive"},
	{Resource: "archive", Name: "DeleteArchive"},
	{Resource: "archive", Name: "GetArchive"},
	{Resource: "archive", Name: "GetArchiveExport", Due: dueSearch},
	{Resource: "archive", Name: "GetArchiveMessage", Due: dueSearch},
	{Resource: "archive", Name: "GetArchiveMessageContent", Due: dueSearch},
	{Resource: "archive", Name: "GetArchiveSearch", Due: dueSearch},
	{Resource: "archive", Name: "GetArchiveSearchResults", Due: dueSearch},
	{Resource: "archive", Name: "ListArchiveExports", Due: dueSearch},
	{Resource: "archive", Name: "ListArchiveSearches", Due: dueSearch},
	{Resource: "archive", Name: "ListArchives"},
	{Resource: "archive", Name: "StartArchiveExport", Due: dueSearch},
	{Resource: "archive", Name: "StartArchiveSearch", Due: dueSearch},
	{Resource: "archive", Name: "StopArchiveExport", Due: dueSearch},
	{Resource: "archive", Name: "StopArchiveSearch", Due: dueSearch},
	{Resource: "archive", Name: "UpdateArchive"},

	{Resource: "add-on", Name: "CreateAddonInstance"},
	{Resource: "add-on", Name: "CreateAddonSubscription"},
	{Resource: "add-on", Name: "DeleteAddonInstance"},
	{Resource: "add-on", Name: "DeleteAddonSubscription"},
	{Resource: "add-on", Name: "GetAddonInstance"},
	{Resource: "add-on", Name: "GetAddonSubscription"},
	{Resource: "add-on", Name: "ListAddonInstances"},
	{Resource: "add-on", Name: "ListAddonSubscriptions"},
}
