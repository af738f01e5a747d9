package identity

import (
	"sluice/internal/admin/client"
	"sluice/internal/mailmanager"
	"sluice/internal/secretsmanager"
)

// Services, as actions name them. An action is ses:GetRelay, secretsmanager:GetSecretValue or sluice:GetTrace.
const (
	serviceMail    = mailmanager.SigningName
	serviceSecrets = secretsmanager.SigningName
	serviceAdmin   = client.Service
	serviceSTS     = "sts"
)

// Types of resources in ARNs. Source: Mail Manager, section 12.
const (
	typeAddonInstance     = "addon-instance"
	typeAddonSubscription = "addon-subscription"
	typeAddressList       = "mailmanager-address-list"
	typeArchive           = "mailmanager-archive"
	typeIngressPoint      = "mailmanager-ingress-point"
	typeRelay             = "mailmanager-smtp-relay"
	typeRuleSet           = "mailmanager-rule-set"
	typeTrafficPolicy     = "mailmanager-traffic-policy"

	typeMessage = "message" // of the service sluice: messages and sessions, in traces and in the queue
)

// row says what an operation is, in the eyes of a policy.
type row struct {
	targets func(q *question) []target // what it is about; all of it must be allowed
	input   func() any                 // of the admin API: what its input is read into
	root    bool                       // only the root may, whatever policies say
}

// tables has every operation of every service but STS, whose one operation everybody may call. A request that names no
// resource is about *; one that makes a resource, about all of its type. The jobs, searches and messages of archives and
// address lists do not name the resource that they belong to: they are about each of its type that there is, and a deny of
// one of these is a deny of them.
var tables = map[string]map[string]row{
	serviceMail: {
		"CreateAddonInstance":     {targets: made(typeAddonInstance)},
		"GetAddonInstance":        {targets: named(typeAddonInstance, "AddonInstanceId")},
		"ListAddonInstances":      {targets: nothing},
		"DeleteAddonInstance":     {targets: named(typeAddonInstance, "AddonInstanceId")},
		"CreateAddonSubscription": {targets: made(typeAddonSubscription)},
		"GetAddonSubscription":    {targets: named(typeAddonSubscription, "AddonSubscriptionId")},
		"ListAddonSubscriptions":  {targets: nothing},
		"DeleteAddonSubscription": {targets: named(typeAddonSubscription, "AddonSubscriptionId")},

		"CreateAddressList":               {targets: made(typeAddressList)},
		"GetAddressList":                  {targets: named(typeAddressList, "AddressListId")},
		"ListAddressLists":                {targets: nothing},
		"DeleteAddressList":               {targets: named(typeAddressList, "AddressListId")},
		"RegisterMemberToAddressList":     {targets: named(typeAddressList, "AddressListId")},
		"DeregisterMemberFromAddressList": {targets: named(typeAddressList, "AddressListId")},
		"GetMemberOfAddressList":          {targets: named(typeAddressList, "AddressListId")},
		"ListMembersOfAddressList":        {targets: named(typeAddressList, "AddressListId")},
		"CreateAddressListImportJob":      {targets: named(typeAddressList, "AddressListId")},
		"ListAddressListImportJobs":       {targets: named(typeAddressList, "AddressListId")},
		"GetAddressListImportJob":         {targets: every(typeAddressList)},
		"StartAddressListImportJob":       {targets: every(typeAddressList)},
		"StopAddressListImportJob":        {targets: every(typeAddressList)},

		"CreateArchive":            {targets: made(typeArchive)},
		"GetArchive":               {targets: named(typeArchive, "ArchiveId")},
		"ListArchives":             {targets: nothing},
		"UpdateArchive":            {targets: named(typeArchive, "ArchiveId")},
		"DeleteArchive":            {targets: named(typeArchive, "ArchiveId")},
		"StartArchiveSearch":       {targets: named(typeArchive, "ArchiveId")},
		"ListArchiveSearches":      {targets: named(typeArchive, "ArchiveId")},
		"GetArchiveSearch":         {targets: every(typeArchive)},
		"GetArchiveSearchResults":  {targets: every(typeArchive)},
		"StopArchiveSearch":        {targets: every(typeArchive)},
		"StartArchiveExport":       {targets: named(typeArchive, "ArchiveId")},
		"ListArchiveExports":       {targets: named(typeArchive, "ArchiveId")},
		"GetArchiveExport":         {targets: every(typeArchive)},
		"StopArchiveExport":        {targets: every(typeArchive)},
		"GetArchiveMessage":        {targets: every(typeArchive)},
		"GetArchiveMessageContent": {targets: every(typeArchive)},

		"CreateIngressPoint": {targets: using("IngressPointConfiguration", made(typeIngressPoint))},
		"GetIngressPoint":    {targets: named(typeIngressPoint, "IngressPointId")},
		"ListIngressPoints":  {targets: nothing},
		"UpdateIngressPoint": {targets: using("IngressPointConfiguration", named(typeIngressPoint, "IngressPointId"))},
		"DeleteIngressPoint": {targets: named(typeIngressPoint, "IngressPointId")},

		"CreateRelay": {targets: using("Authentication", made(typeRelay))},
		"GetRelay":    {targets: named(typeRelay, "RelayId")},
		"ListRelays":  {targets: nothing},
		"UpdateRelay": {targets: using("Authentication", named(typeRelay, "RelayId"))},
		"DeleteRelay": {targets: named(typeRelay, "RelayId")},

		"CreateRuleSet": {targets: made(typeRuleSet)},
		"GetRuleSet":    {targets: named(typeRuleSet, "RuleSetId")},
		"ListRuleSets":  {targets: nothing},
		"UpdateRuleSet": {targets: named(typeRuleSet, "RuleSetId")},
		"DeleteRuleSet": {targets: named(typeRuleSet, "RuleSetId")},

		"CreateTrafficPolicy": {targets: made(typeTrafficPolicy)},
		"GetTrafficPolicy":    {targets: named(typeTrafficPolicy, "TrafficPolicyId")},
		"ListTrafficPolicies": {targets: nothing},
		"UpdateTrafficPolicy": {targets: named(typeTrafficPolicy, "TrafficPolicyId")},
		"DeleteTrafficPolicy": {targets: named(typeTrafficPolicy, "TrafficPolicyId")},

		"TagResource":         {targets: given("ResourceArn")},
		"UntagResource":       {targets: given("ResourceArn")},
		"ListTagsForResource": {targets: given("ResourceArn")},
	},
	serviceSecrets: {
		"CreateSecret":             {targets: newSecret("Name")},
		"GetSecretValue":           {targets: secret("SecretId")},
		"BatchGetSecretValue":      {targets: secretBatch},
		"PutSecretValue":           {targets: secret("SecretId")},
		"DescribeSecret":           {targets: secret("SecretId")},
		"ListSecrets":              {targets: nothing},
		"UpdateSecret":             {targets: secret("SecretId")},
		"DeleteSecret":             {targets: secret("SecretId")},
		"RestoreSecret":            {targets: secret("SecretId")},
		"ListSecretVersionIds":     {targets: secret("SecretId")},
		"UpdateSecretVersionStage": {targets: secret("SecretId")},
		"TagResource":              {targets: secret("SecretId")},
		"UntagResource":            {targets: secret("SecretId")},
		"PutResourcePolicy":        {targets: secret("SecretId")},
		"GetResourcePolicy":        {targets: secret("SecretId")},
		"DeleteResourcePolicy":     {targets: secret("SecretId")},
		"ValidateResourcePolicy":   {targets: secret("SecretId")},
		"GetRandomPassword":        {targets: nothing},
	},
	serviceAdmin: {
		client.OpGetTrace:      {targets: own(typeMessage, "Id"), input: reads[client.GetTraceInput]},
		client.OpFindTraces:    {targets: nothing, input: reads[client.FindTracesInput]},
		client.OpListListeners: {targets: nothing, input: reads[client.ListListenersInput]},
		client.OpGetStatus:     {targets: nothing, input: reads[client.GetStatusInput]},
		client.OpTestRelay:     {targets: named(typeRelay, "Id"), input: reads[client.TestRelayInput]},

		client.OpListQueue:    {targets: nothing, input: reads[client.ListQueueInput]},
		client.OpShowMessage:  {targets: own(typeMessage, "MessageId"), input: reads[client.ShowMessageInput]},
		client.OpListLanes:    {targets: nothing, input: reads[client.ListLanesInput]},
		client.OpHoldQueue:    {targets: steered, input: reads[client.SteerInput]},
		client.OpReleaseQueue: {targets: steered, input: reads[client.SteerInput]},
		client.OpRetryQueue:   {targets: steered, input: reads[client.SteerInput]},
		client.OpBounceQueue:  {targets: steered, input: reads[client.SteerInput]},
		client.OpDiscardQueue: {targets: steered, input: reads[client.SteerInput]},
		client.OpRerouteQueue: {targets: steered, input: reads[client.SteerInput]},

		client.OpCreateUser:       {targets: createdUser, input: reads[client.CreateUserInput]},
		client.OpListUsers:        {targets: nothing, input: reads[client.ListUsersInput]},
		client.OpGetUser:          {targets: aUser, input: reads[client.GetUserInput]},
		client.OpDeleteUser:       {targets: aUser, input: reads[client.DeleteUserInput]},
		client.OpCreateAccessKey:  {targets: aUser, input: reads[client.CreateAccessKeyInput]},
		client.OpUpdateAccessKey:  {targets: aUser, input: reads[client.UpdateAccessKeyInput]},
		client.OpDeleteAccessKey:  {targets: aUser, input: reads[client.DeleteAccessKeyInput]},
		client.OpPutUserPolicy:    {targets: aUser, input: reads[client.PutUserPolicyInput]},
		client.OpDeleteUserPolicy: {targets: aUser, input: reads[client.DeleteUserPolicyInput]},
		client.OpCheckAccess:      {targets: aUser, input: reads[client.CheckAccessInput]},
		client.OpListAccounts:     {targets: nothing, input: reads[client.ListAccountsInput], root: true},
	},
}

func reads[In any]() any { return new(In) }
