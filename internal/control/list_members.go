package control

import (
	"context"
	"errors"

	"sluice/internal/addresslist"
	"sluice/internal/mailmanager"
	"sluice/internal/store"
)

// registerMember: Mail Manager, RegisterMemberToAddressList. A member that is there already stays as it was (Mail Manager, A12); it
// counts for the next connection (Mail Manager, F15).
func (c *Control) registerMember(ctx context.Context, scope Scope, in *mailmanager.RegisterMemberToAddressListRequest) (*mailmanager.RegisterMemberToAddressListResponse, error) {
	if err := kindAddressList.checkID(string(*in.AddressListId)); err != nil {
		return nil, err
	}
	entry, err := addresslist.Parse(string(*in.Address))
	if err != nil {
		return nil, err
	}
	now := c.now()
	key := kindAddressList.key(scope, string(*in.AddressListId))
	defer c.locks.lock(key)()
	err = c.addMembers(ctx, store.Addition{
		Owner: key, Modified: now,
		Members: []store.Member{{Key: entry.Key(), Text: string(*in.Address), Created: now}},
	})
	return &mailmanager.RegisterMemberToAddressListResponse{}, c.refuseMembers(key, err)
}

// addMembers adds members to a list, in the store and for sessions. The caller has locked the list.
func (c *Control) addMembers(ctx context.Context, a store.Addition) error {
	a.Quota = c.memberQuota(a.Owner.Account).most
	if err := c.cfg.Store.AddMembers(ctx, a); err != nil {
		return err
	}
	if list, ok := c.lists.load(snapshotKey(a.Owner)); ok {
		for i := range a.Members {
			list.Add(addresslist.FromKey(a.Members[i].Key))
		}
	}
	return nil
}

func (c *Control) memberQuota(account string) quota {
	return quota{"addresses_per_address_list", c.limits(account).AddressesPerList}
}

// deregisterMember: Mail Manager, DeregisterMemberFromAddressList. One that is absent is not found (Mail Manager, A12).
func (c *Control) deregisterMember(ctx context.Context, scope Scope, in *mailmanager.DeregisterMemberFromAddressListRequest) (*mailmanager.DeregisterMemberFromAddressListResponse, error) {
	r, entry, err := c.memberNamed(ctx, scope, *in.AddressListId, *in.Address)
	if err != nil {
		return nil, err
	}
	defer c.locks.lock(r.Key)()
	if err := c.cfg.Store.RemoveMember(ctx, r.Key, entry.Key(), c.now()); err != nil {
		return nil, noMember(err)
	}
	if list, ok := c.lists.load(snapshotKey(r.Key)); ok {
		list.Remove(entry)
	}
	return &mailmanager.DeregisterMemberFromAddressListResponse{}, nil
}

// getMember: Mail Manager, GetMemberOfAddressList. It finds the member itself, and none that stands for it.
func (c *Control) getMember(ctx context.Context, scope Scope, in *mailmanager.GetMemberOfAddressListRequest) (*mailmanager.GetMemberOfAddressListResponse, error) {
	r, entry, err := c.memberNamed(ctx, scope, *in.AddressListId, *in.Address)
	if err != nil {
		return nil, err
	}
	m, err := c.cfg.Store.Member(ctx, r.Key, entry.Key())
	if err != nil {
		return nil, noMember(err)
	}
	return &mailmanager.GetMemberOfAddressListResponse{Address: (*mailmanager.Address)(&m.Text), CreatedTimestamp: milliseconds(m.Created)}, nil
}

// memberNamed reads the list that a request names, and the member. What no list can have is not found in any.
func (c *Control) memberNamed(ctx context.Context, scope Scope, id mailmanager.AddressListId, text mailmanager.Address) (store.Resource, addresslist.Entry, error) {
	r, err := c.addressList(ctx, scope, id)
	if err != nil {
		return r, addresslist.Entry{}, err
	}
	entry, err := addresslist.Parse(string(text))
	if err != nil {
		return r, entry, noMember(store.ErrNotFound)
	}
	return r, entry, nil
}

// noMember does not repeat the address, which is sensitive (Mail Manager, A27).
func noMember(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return mailmanager.Errorf(mailmanager.CodeResourceNotFound, "There is no such member of the address list")
	}
	return err
}

func (c *Control) refuseMembers(list store.Key, err error) error {
	switch {
	case errors.Is(err, store.ErrNotFound):
		return kindAddressList.notFound(list.ID)
	case errors.Is(err, store.ErrQuota):
		return c.memberQuota(list.Account).exceeded(list.Account, mailmanager.CodeServiceQuotaExceeded)
	default:
		return err
	}
}

// maxMemberPage is how many members a page has when the request does not say (Mail Manager, A2).
const maxMemberPage int32 = 1000

// listMembers: Mail Manager, ListMembersOfAddressList. They come in the order of their texts, so that a page costs the same
// wherever it is, and a filter no more.
func (c *Control) listMembers(ctx context.Context, scope Scope, in *mailmanager.ListMembersOfAddressListRequest) (*mailmanager.ListMembersOfAddressListResponse, error) {
	r, err := c.addressList(ctx, scope, *in.AddressListId)
	if err != nil {
		return nil, err
	}
	page := store.MemberPage{Owner: r.Key, N: int(maxMemberPage) + 1}
	if in.PageSize != nil {
		page.N = int(*in.PageSize) + 1 // one more than asked for tells whether there is another page
	}
	if in.Filter != nil {
		page.Prefix = string(mailmanager.Value(in.Filter.AddressPrefix))
	}
	tokenScope := []string{scope.Account, scope.Region, "ListMembersOfAddressList", r.ID, page.Prefix}
	if in.NextToken != nil {
		after, err := c.cfg.Tokens.Open(string(*in.NextToken), tokenScope...)
		if err != nil {
			return nil, err
		}
		page.After = string(after)
	}
	found, err := c.cfg.Store.Members(ctx, page)
	if err != nil {
		return nil, err
	}
	out := &mailmanager.ListMembersOfAddressListResponse{Addresses: []mailmanager.SavedAddress{}}
	if len(found) == page.N {
		found = found[:page.N-1]
		out.NextToken = mailmanager.Ptr(mailmanager.PaginationToken(c.cfg.Tokens.Seal([]byte(found[len(found)-1].Text), tokenScope...)))
	}
	for _, m := range found {
		out.Addresses = append(out.Addresses, mailmanager.SavedAddress{Address: (*mailmanager.Address)(&m.Text), CreatedTimestamp: milliseconds(m.Created)})
	}
	return out, nil
}
