package control_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/conform"
	"sluice/internal/control"
	"sluice/internal/mailmanager"
)

// listRequests are all operations on an address list and its jobs, with the ids of a list and of a job.
func listRequests(list, job string) map[string]any {
	listID, jobID, csv := mailmanager.AddressListId(list), mailmanager.JobId(job), mailmanager.ImportDataTypeCsv
	return map[string]any{
		"GetAddressList":                  &mailmanager.GetAddressListRequest{AddressListId: &listID},
		"DeleteAddressList":               deleteAddressList(list),
		"RegisterMemberToAddressList":     registration(list, "new@example.org"),
		"DeregisterMemberFromAddressList": deregistration(list, "a@example.org"),
		"GetMemberOfAddressList":          getMember(list, "a@example.org"),
		"ListMembersOfAddressList":        &mailmanager.ListMembersOfAddressListRequest{AddressListId: &listID},
		"CreateAddressListImportJob": &mailmanager.CreateAddressListImportJobRequest{AddressListId: &listID, Name: ptr(mailmanager.JobName("job")),
			ImportDataFormat: &mailmanager.ImportDataFormat{ImportDataType: &csv}},
		"ListAddressListImportJobs": &mailmanager.ListAddressListImportJobsRequest{AddressListId: &listID},
		"GetAddressListImportJob":   &mailmanager.GetAddressListImportJobRequest{JobId: &jobID},
		"StartAddressListImportJob": startJob(job),
		"StopAddressListImportJob":  stopJob(job),
	}
}

// S36, for address lists, their members and their jobs: also while one is running.
func TestNoOperationReachesListsElsewhere(t *testing.T) {
	t.Parallel()
	conform.Check(t, "A28")
	gate := make(chan struct{})
	p := newPlane(t, withObjects(t, gate))
	list := p.addressList("mine")
	p.register(list, "a@example.org")
	running, waiting := p.importJob(list, mailmanager.ImportDataTypeCsv), p.importJob(list, mailmanager.ImportDataTypeCsv)
	p.upload(running, "b@example.org\n")
	p.start(running)
	const nobody = "aaaaaaaaaaaaaaaaaaaaaaaa"
	all := func() string {
		return text(t, []any{p.members(list, "", 10), p.job(waiting), p.tagsOf(arnOf("mailmanager-address-list/" + list)),
			do[mailmanager.GetAddressListResponse](p, "GetAddressList", &mailmanager.GetAddressListRequest{AddressListId: (*mailmanager.AddressListId)(&list)})})
	}
	before := all()
	for _, scope := range []control.Scope{stranger, abroad} {
		for _, job := range []string{running, waiting} {
			nobodys := listRequests("al-"+nobody, "job-"+nobody)
			for operation, theirs := range listRequests(list, job) {
				ids := [2]string{list, "al-" + nobody}
				if strings.HasSuffix(operation, "ImportJob") && !strings.HasPrefix(operation, "Create") {
					ids = [2]string{job, "job-" + nobody}
				}
				if operation != "DeleteAddressList" { // that there is none is no error (Mail Manager, section 1.1)
					wantCode(t, p.refused(scope, operation, theirs), mailmanager.CodeResourceNotFound)
				}
				p.wantSameAnswer(scope, operation, theirs, nobodys[operation], ids)
			}
		}
		p.wantNoTagsOf(scope, "mailmanager-address-list/"+list)
		p.wantEmptyList(scope, "ListAddressLists", &mailmanager.ListAddressListsRequest{})
		for _, named := range []string{list, string(*arnOf("mailmanager-address-list/" + list))} {
			if _, ok := p.AddressList(scope, named); ok {
				t.Errorf("conditions in %v are about %s", scope, named)
			}
		}
		p.wantNoUpload(scope, waiting)
	}
	if diff := cmp.Diff(before, all()); diff != "" {
		t.Errorf("something was changed from outside (-want +got):\n%s", diff)
	}
	close(gate)
	if job := p.ended(running); *job.Status != mailmanager.ImportJobStatusCompleted || *job.ImportedItemsCount != 1 {
		t.Errorf("got %s, want it COMPLETED", text(t, job))
	}
}

// wantNoUpload holds that a job of home has no file in another scope.
func (p *plane) wantNoUpload(scope control.Scope, job string) {
	p.Helper()
	home, elsewhere := home.Account+"/"+home.Region, scope.Account+"/"+scope.Region
	for _, key := range []string{
		strings.Replace(uploadKey(job), home, elsewhere, 1), strings.Replace(uploadKey(job), home, elsewhere+"/../../"+home, 1), "x" + uploadKey(job),
	} {
		if _, err := p.AdmitUpload(p.Context(), key); err == nil {
			p.Errorf("%s may be put", key)
		}
	}
}

// Names of lists, and tokens, are a scope's own; members are a list's own; and the token of a page is good for its list, where
// it is.
func TestListsOfTheSameNameElsewhere(t *testing.T) {
	t.Parallel()
	conform.Check(t, "A28")
	p := newPlane(t, withObjects(t, nil))
	lists := map[control.Scope]string{}
	for _, scope := range []control.Scope{home, stranger, abroad} {
		in := &mailmanager.CreateAddressListRequest{AddressListName: ptr(mailmanager.AddressListName("same")), ClientToken: ptr(mailmanager.IdempotencyToken("t"))}
		out, err := p.call(scope, "CreateAddressList", in)
		if err != nil {
			t.Fatalf("%v: %v", scope, err)
		}
		lists[scope] = string(*out.(*mailmanager.CreateAddressListResponse).AddressListId)
		for _, address := range []string{scope.Account + "@example.org", scope.Region + "@example.org"} {
			if _, err := p.call(scope, "RegisterMemberToAddressList", registration(lists[scope], address)); err != nil {
				t.Fatalf("%v: %v", scope, err)
			}
		}
	}
	page := func(list string, token *mailmanager.PaginationToken) *mailmanager.ListMembersOfAddressListRequest {
		return &mailmanager.ListMembersOfAddressListRequest{AddressListId: (*mailmanager.AddressListId)(&list), PageSize: ptr(int32(1)), NextToken: token}
	}
	out := do[mailmanager.ListMembersOfAddressListResponse](p, "ListMembersOfAddressList", page(lists[home], nil))
	for _, scope := range []control.Scope{stranger, abroad} {
		wantCode(t, p.refused(scope, "ListMembersOfAddressList", page(lists[scope], out.NextToken)), mailmanager.CodeValidation)
		own, ok := p.AddressList(scope, lists[scope])
		if !ok || own.Len() != 2 {
			t.Errorf("%v: got the list %v", scope, own)
		}
	}
	do[mailmanager.DeleteAddressListResponse](p, "DeleteAddressList", deleteAddressList(lists[home]))
	for _, scope := range []control.Scope{stranger, abroad} {
		if _, err := p.call(scope, "GetMemberOfAddressList", getMember(lists[scope], scope.Account+"@example.org")); err != nil {
			t.Errorf("%v: %v", scope, err)
		}
	}
}
