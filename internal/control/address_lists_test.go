package control_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/addresslist"
	"sluice/internal/conform"
	"sluice/internal/control"
	"sluice/internal/mailmanager"
)

func (p *plane) addressList(name string) string {
	p.Helper()
	in := &mailmanager.CreateAddressListRequest{AddressListName: (*mailmanager.AddressListName)(&name)}
	return string(*do[mailmanager.CreateAddressListResponse](p, "CreateAddressList", in).AddressListId)
}

func registration(list, address string) *mailmanager.RegisterMemberToAddressListRequest {
	return &mailmanager.RegisterMemberToAddressListRequest{AddressListId: (*mailmanager.AddressListId)(&list), Address: (*mailmanager.Address)(&address)}
}

func deregistration(list, address string) *mailmanager.DeregisterMemberFromAddressListRequest {
	return &mailmanager.DeregisterMemberFromAddressListRequest{AddressListId: (*mailmanager.AddressListId)(&list), Address: (*mailmanager.Address)(&address)}
}

func getMember(list, address string) *mailmanager.GetMemberOfAddressListRequest {
	return &mailmanager.GetMemberOfAddressListRequest{AddressListId: (*mailmanager.AddressListId)(&list), Address: (*mailmanager.Address)(&address)}
}

func deleteAddressList(list string) *mailmanager.DeleteAddressListRequest {
	return &mailmanager.DeleteAddressListRequest{AddressListId: (*mailmanager.AddressListId)(&list)}
}

func (p *plane) register(list string, addresses ...string) {
	p.Helper()
	for _, address := range addresses {
		do[mailmanager.RegisterMemberToAddressListResponse](p, "RegisterMemberToAddressList", registration(list, address))
	}
}

// members are all texts of a list with a prefix, by pages.
func (p *plane) members(list, prefix string, size int32) (texts []string) {
	p.Helper()
	in := &mailmanager.ListMembersOfAddressListRequest{AddressListId: (*mailmanager.AddressListId)(&list), PageSize: &size}
	if prefix != "" {
		in.Filter = &mailmanager.AddressFilter{AddressPrefix: (*mailmanager.AddressPrefix)(&prefix)}
	}
	for {
		out := do[mailmanager.ListMembersOfAddressListResponse](p, "ListMembersOfAddressList", in)
		for _, m := range out.Addresses {
			texts = append(texts, string(*m.Address))
		}
		if in.NextToken = out.NextToken; in.NextToken == nil {
			return texts
		}
	}
}

// isIn reports whether sessions at home take an address for one of the list's.
func (p *plane) isIn(idOrARN, address string) bool {
	p.Helper()
	l, ok := p.AddressList(home, idOrARN)
	if !ok {
		p.Errorf("sessions see no list %s", idOrARN)
		return false
	}
	return l.Contains(addresslist.AppendFolded(nil, address))
}

func TestAddressLists(t *testing.T) {
	t.Parallel()
	conform.Check(t, "A24", "F15")
	p := newPlane(t)
	id := p.addressList("good")
	got := do[mailmanager.GetAddressListResponse](p, "GetAddressList", &mailmanager.GetAddressListRequest{AddressListId: (*mailmanager.AddressListId)(&id)})
	arn := "arn:aws:ses:eu-west-1:111111111111:mailmanager-address-list/" + id
	if *got.AddressListName != "good" || string(*got.AddressListArn) != arn || !got.CreatedTimestamp.Equal(*got.LastUpdatedTimestamp) {
		t.Errorf("got %s", text(t, got))
	}
	if p.isIn(id, "jo@example.org") {
		t.Error("an empty list has a member")
	}
	p.register(id, "jo@example.org")
	for _, name := range []string{id, arn} {
		if !p.isIn(name, "JO@Example.ORG") {
			t.Errorf("%s: a registered member does not count", name)
		}
	}
	p.restart()
	if !p.isIn(id, "jo@example.org") {
		t.Error("a member is gone after a restart")
	}
	do[mailmanager.DeleteAddressListResponse](p, "DeleteAddressList", deleteAddressList(id))
	do[mailmanager.DeleteAddressListResponse](p, "DeleteAddressList", deleteAddressList(id)) // deletes are idempotent
	if _, ok := p.AddressList(home, id); ok {
		t.Error("sessions see a list that was deleted")
	}
	if again := p.addressList("good"); len(p.members(again, "", 10)) != 0 {
		t.Error("a list has the members of another that was deleted")
	}
}

func TestAddressListRefusals(t *testing.T) {
	t.Parallel()
	p := newPlane(t, limits(control.Limits{AddressLists: 2, AddressesPerList: 3}))
	id := p.addressList("good")
	p.addressList("other")
	const nobody, malformed = "al-aaaaaaaaaaaaaaaaaaaaaaaa", "al-short"
	create := func(name string) any {
		return &mailmanager.CreateAddressListRequest{AddressListName: (*mailmanager.AddressListName)(&name)}
	}
	wantCode(t, p.refused(home, "CreateAddressList", create("good")), mailmanager.CodeConflict, "good")
	wantCode(t, p.refused(home, "CreateAddressList", create("third")), mailmanager.CodeServiceQuotaExceeded, "'address_lists'", "2")
	wantCode(t, p.refused(home, "RegisterMemberToAddressList", registration(nobody, "jo@example.org")), mailmanager.CodeResourceNotFound, nobody)
	wantCode(t, p.refused(home, "RegisterMemberToAddressList", registration(malformed, "jo@example.org")), mailmanager.CodeValidation, "addressListId")
	wantCode(t, p.refused(stranger, "RegisterMemberToAddressList", registration(id, "jo@example.org")), mailmanager.CodeResourceNotFound)
	for _, address := range []string{"a*b*c@example.org", "jo@", "j*@example.org", "*.org", "jo smith@example.org", "=cmd|'x'!A1"} {
		wantCode(t, p.refused(home, "RegisterMemberToAddressList", registration(id, address)), mailmanager.CodeValidation, "'address'")
	}
	p.register(id, "1@example.org", "2@example.org", "3@example.org")
	wantCode(t, p.refused(home, "RegisterMemberToAddressList", registration(id, "4@example.org")), mailmanager.CodeServiceQuotaExceeded, "'addresses_per_address_list'", "3")
	p.register(id, "3@EXAMPLE.org") // is there
	if p.isIn(id, "4@example.org") {
		t.Error("a member that was refused counts")
	}
	for _, scope := range []control.Scope{stranger, abroad} {
		if _, ok := p.AddressList(scope, id); ok {
			t.Errorf("%v sees a list of another's", scope)
		}
	}
}

// TestMembers registers and deregisters twice (Mail Manager, A12), and finds members by what they are.
func TestMembers(t *testing.T) {
	t.Parallel()
	conform.Check(t, "A12", "F12")
	p := newPlane(t)
	id := p.addressList("good")
	first := p.clock.Now().UTC().Truncate(time.Millisecond)
	p.register(id, "Jo@Example.org", "*.corp.example", "user*@example.net", "@partner.example")
	p.clock.advance(time.Hour)
	p.register(id, "jo@example.ORG")
	got := do[mailmanager.GetMemberOfAddressListResponse](p, "GetMemberOfAddressList", getMember(id, "JO@example.org"))
	if *got.Address != "Jo@Example.org" || !got.CreatedTimestamp.Equal(first) {
		t.Errorf("got %s, want the member as it was registered first", text(t, got))
	}
	for address, want := range map[string]bool{
		"jo@example.org": true, "ann@a.b.corp.example": true, "user1@example.net": true, "x@partner.example": true,
		"ann@corp.example": false, "x@sub.partner.example": false, "use@example.net": false, "jo+tag@example.org": false,
	} {
		if p.isIn(id, address) != want {
			t.Errorf("%s: got %v", address, !want)
		}
	}
	wantCode(t, p.refused(home, "GetMemberOfAddressList", getMember(id, "ann@a.corp.example")), mailmanager.CodeResourceNotFound)
	do[mailmanager.DeregisterMemberFromAddressListResponse](p, "DeregisterMemberFromAddressList", deregistration(id, "jo@example.org"))
	if p.isIn(id, "jo@example.org") {
		t.Error("a member that was deregistered counts")
	}
	wantCode(t, p.refused(home, "DeregisterMemberFromAddressList", deregistration(id, "jo@example.org")), mailmanager.CodeResourceNotFound)
	wantCode(t, p.refused(home, "GetMemberOfAddressList", getMember(id, "jo@example.org")), mailmanager.CodeResourceNotFound)
	wantCode(t, p.refused(home, "DeregisterMemberFromAddressList", deregistration(id, "no member of any list")), mailmanager.CodeResourceNotFound)
}

func TestMembersByPages(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	id, other := p.addressList("good"), p.addressList("other")
	var want []string
	for n := range 25 {
		want = append(want, fmt.Sprintf("u%02d@example.org", n))
	}
	p.register(id, want...)
	p.register(other, "u00@example.net")
	for _, size := range []int32{1, 7, 25, 1000} {
		if diff := cmp.Diff(want, p.members(id, "", size)); diff != "" {
			t.Errorf("pages of %d: %s", size, diff)
		}
	}
	if diff := cmp.Diff(want[10:20], p.members(id, "u1", 3)); diff != "" {
		t.Error(diff)
	}
	size := int32(1)
	page := do[mailmanager.ListMembersOfAddressListResponse](p, "ListMembersOfAddressList",
		&mailmanager.ListMembersOfAddressListRequest{AddressListId: (*mailmanager.AddressListId)(&id), PageSize: &size})
	wantCode(t, p.refused(home, "ListMembersOfAddressList",
		&mailmanager.ListMembersOfAddressListRequest{AddressListId: (*mailmanager.AddressListId)(&other), NextToken: page.NextToken}), mailmanager.CodeValidation)
}
