package control

import (
	"context"
	"fmt"

	"sluice/internal/addresslist"
	"sluice/internal/mailmanager"
	"sluice/internal/store"
)

// An address list is a resource with an empty body. Its members are the store's (list_members.go), and all of them are in
// memory as well, where sessions and rules look them up; what fills it from a file is a job (import_jobs.go).

// createAddressList: Mail Manager, CreateAddressList.
func (c *Control) createAddressList(ctx context.Context, scope Scope, in *mailmanager.CreateAddressListRequest) (*mailmanager.CreateAddressListResponse, error) {
	req := request{scope: scope, operation: "CreateAddressList", token: in.ClientToken, tags: in.Tags, input: in}
	id, err := c.create(ctx, kindAddressList, req, func(r store.Resource) (d draft, err error) {
		r.Name, r.Counted = string(*in.AddressListName), countedAddressList
		d.Resource = r
		d.publish = func() { c.lists.store(snapshotKey(r.Key), addresslist.New()) }
		return d, nil
	})
	if err != nil {
		return nil, err
	}
	return &mailmanager.CreateAddressListResponse{AddressListId: (*mailmanager.AddressListId)(&id)}, nil
}

// getAddressList: Mail Manager, GetAddressList. It was updated last when a member came or went.
func (c *Control) getAddressList(ctx context.Context, scope Scope, in *mailmanager.GetAddressListRequest) (*mailmanager.GetAddressListResponse, error) {
	r, err := c.addressList(ctx, scope, *in.AddressListId)
	if err != nil {
		return nil, err
	}
	return &mailmanager.GetAddressListResponse{
		AddressListId:        in.AddressListId,
		AddressListArn:       mailmanager.Ptr(mailmanager.AddressListArn(kindAddressList.arnOf(scope, r.ID))),
		AddressListName:      (*mailmanager.AddressListName)(&r.Name),
		CreatedTimestamp:     milliseconds(r.Created),
		LastUpdatedTimestamp: milliseconds(r.Modified),
	}, nil
}

// addressList reads a list that a request names.
func (c *Control) addressList(ctx context.Context, scope Scope, id mailmanager.AddressListId) (store.Resource, error) {
	if err := kindAddressList.checkID(string(id)); err != nil {
		return store.Resource{}, err
	}
	return c.read(ctx, kindAddressList, kindAddressList.key(scope, string(id)))
}

// listAddressLists: Mail Manager, ListAddressLists.
func (c *Control) listAddressLists(ctx context.Context, scope Scope, in *mailmanager.ListAddressListsRequest) (*mailmanager.ListAddressListsResponse, error) {
	l := listing{scope: scope, kind: kindAddressList.store, operation: "ListAddressLists", token: in.NextToken, size: pageSize(in.PageSize)}
	lists, next, err := list(ctx, c, l, func(r store.Resource) (mailmanager.AddressList, error) {
		return mailmanager.AddressList{
			AddressListId:        (*mailmanager.AddressListId)(&r.ID),
			AddressListArn:       mailmanager.Ptr(mailmanager.AddressListArn(kindAddressList.arnOf(scope, r.ID))),
			AddressListName:      (*mailmanager.AddressListName)(&r.Name),
			CreatedTimestamp:     milliseconds(r.Created),
			LastUpdatedTimestamp: milliseconds(r.Modified),
		}, nil
	})
	return &mailmanager.ListAddressListsResponse{AddressLists: lists, NextToken: next}, err
}

// deleteAddressList: Mail Manager, DeleteAddressList. A list that rules and policies name may go; their conditions then cannot
// tell (Mail Manager, A6). One that is being filled may not (Mail Manager, A7). Its jobs go with it.
func (c *Control) deleteAddressList(ctx context.Context, scope Scope, in *mailmanager.DeleteAddressListRequest) (*mailmanager.DeleteAddressListResponse, error) {
	id := string(*in.AddressListId)
	if err := kindAddressList.checkID(id); err != nil {
		return nil, err
	}
	key := kindAddressList.key(scope, id)
	c.imports.starts.Lock() // no job may start meanwhile
	defer c.imports.starts.Unlock()
	if c.imports.isFilling(key) {
		return nil, mailmanager.Errorf(mailmanager.CodeConflict, "An import job of the %s %s is running", kindAddressList.noun, id)
	}
	if err := c.deleteJobs(ctx, key); err != nil {
		return nil, err
	}
	if err := c.remove(ctx, kindAddressList, key, c.lists.remove); err != nil {
		return nil, err
	}
	c.sweeper.wake()
	return &mailmanager.DeleteAddressListResponse{}, nil
}

// listLoads is how many lists are loaded at once: what the embedded store reads at once.
const listLoads = 4

// loadAddressList brings all members of a list into memory.
func (c *Control) loadAddressList(ctx context.Context, r store.Resource) error {
	l := addresslist.New()
	for key, err := range c.cfg.Store.MemberKeys(ctx, r.Key) {
		if err != nil {
			return fmt.Errorf("load the members: %w", err)
		}
		l.Add(addresslist.FromKey(key))
	}
	c.lists.store(snapshotKey(r.Key), l)
	return nil
}
