package model

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"sluice/internal/conform"
	"sluice/internal/mailmanager"
	"sluice/test/harness"
	"sluice/test/wire"
)

// listing is a list of the API, and how what it lists comes and goes.
type listing struct {
	operation      string
	items, id      string // of the output: the list, and the member of its elements
	create, remove string // empty: nothing removes it
	of             string // the shape of the fixture whose elements it lists; empty: it lists all there are
	byID           bool   // in the order of ids, not in that of creation (A3): a prefix is then a part of the list
	most           int    // how many there can be; 0: as many as the test wants
}

var listings = []listing{
	{operation: "ListRelays", items: "Relays", id: "RelayId", create: "CreateRelay", remove: "DeleteRelay"},
	{operation: "ListRuleSets", items: "RuleSets", id: "RuleSetId", create: "CreateRuleSet", remove: "DeleteRuleSet"},
	{operation: "ListTrafficPolicies", items: "TrafficPolicies", id: "TrafficPolicyId", create: "CreateTrafficPolicy", remove: "DeleteTrafficPolicy"},
	{operation: "ListIngressPoints", items: "IngressPoints", id: "IngressPointId", create: "CreateIngressPoint", remove: "DeleteIngressPoint"},
	{operation: "ListArchives", items: "Archives", id: "ArchiveId", create: "CreateArchive", remove: "DeleteArchive"},
	{operation: "ListAddressLists", items: "AddressLists", id: "AddressListId", create: "CreateAddressList", remove: "DeleteAddressList"},
	{operation: "ListMembersOfAddressList", items: "Addresses", id: "Address", create: "RegisterMemberToAddressList", remove: "DeregisterMemberFromAddressList", of: "AddressListId", byID: true},
	{operation: "ListAddressListImportJobs", items: "ImportJobs", id: "JobId", create: "CreateAddressListImportJob", of: "AddressListId"},
	{operation: "ListAddonSubscriptions", items: "AddonSubscriptions", id: "AddonSubscriptionId", create: "CreateAddonSubscription", remove: "DeleteAddonSubscription", most: len(addons)},
	{operation: "ListAddonInstances", items: "AddonInstances", id: "AddonInstanceId", create: "CreateAddonInstance", remove: "DeleteAddonInstance", most: len(addons)},
	{operation: "ListArchiveSearches", items: "Searches", id: "SearchId", create: "StartArchiveSearch", of: "ArchiveId"},
	{operation: "ListArchiveExports", items: "Exports", id: "ExportId", create: "StartArchiveExport", of: "ArchiveId"},
}

// addons are all that there are (Mail Manager, section 9).
var addons = [...]string{"ABUSIX_MAIL_INTELLIGENCE", "SPAMHAUS_DBL", "TRENDMICRO_VSAPI", "VADE_ADVANCED_EMAIL_SECURITY"}

// lasting is how many resources are there all the time.
const lasting = 120

// TestPagesAmongChanges holds that pages of one element show what is there all the time once and in its order, and nothing
// twice, while other resources are made and deleted.
func TestPagesAmongChanges(t *testing.T) {
	t.Parallel()
	conform.Check(t, "A2", "A3")
	server := harness.Start(t, "--log-level", "error", "--config", configuration(t))
	for i, l := range listings {
		t.Run(l.operation, func(t *testing.T) {
			t.Parallel()
			if due(l.operation) {
				t.Skipf("%s is not implemented yet", l.operation)
			}
			protocol := wire.Protocols()[i%2]
			r := &run{TB: t, api: server.Wire("pages-"+strings.ToLower(fmt.Sprintf("%.14s", l.operation[4:])), protocol), values: plain("")}
			r.list(l)
		})
	}
}

// configuration is a file with a listener that all points share, and with every add-on.
func configuration(t *testing.T) string {
	t.Helper()
	address, err := harness.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("[listeners.shared]\naddresses = [%q]\n", address)
	for _, name := range addons {
		text += "[analyzers." + name + "]\n"
	}
	path := filepath.Join(t.TempDir(), "sluice.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func due(operation string) bool {
	return slices.ContainsFunc(conform.Operations(), func(op conform.Operation) bool { return op.Name == operation && op.Due != "" })
}

// list makes what lasts, lists it page by page while a second client makes and deletes what does not, and compares.
func (r *run) list(l listing) {
	creating, _ := mailmanager.Lookup(l.create)
	if l.create != "CreateAddonInstance" { // each is of another subscription, which is made with it
		r.prepare(creating)
	}
	maker := &maker{run: r, listing: l, operation: creating, generator: &generator{values: r.values}}
	stay, leave := maker.fill()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	var changes atomic.Int64
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ; ctx.Err() == nil; changes.Add(1) {
			if l.remove == "" && changes.Load() == lasting {
				return // what stays for ever would come faster than it is listed
			}
			if len(leave) > 0 {
				maker.remove(leave[0])
				leave = leave[1:]
				continue
			}
			maker.remove(maker.make())
		}
	}()
	seen := r.pages(l, maker.within())
	cancel()
	<-done
	if l.byID {
		slices.Sort(stay)
	}
	r.compare(seen, stay)
	r.Logf("%d pages among %d changes", len(seen), changes.Load())
}

// pages are the ids of a list, one by one, each page with one element.
func (r *run) pages(l listing, input map[string]any) (seen []string) {
	input["PageSize"] = int64(1)
	for {
		output, err := r.api.Call(r.Context(), l.operation, input)
		if err != nil {
			r.Fatal(err)
		}
		items, _ := output[l.items].([]any)
		if len(items) > 1 {
			r.Fatalf("a page has %d elements, want 1", len(items))
		}
		for _, item := range items {
			seen = append(seen, fmt.Sprint(item.(map[string]any)[l.id]))
		}
		if input["NextToken"] = output["NextToken"]; input["NextToken"] == nil {
			return seen
		}
	}
}

func (r *run) compare(seen, stay []string) {
	r.Helper()
	times := map[string]int{}
	for _, id := range seen {
		if times[id]++; times[id] > 1 {
			r.Errorf("%s came twice", id)
		}
	}
	order := slices.DeleteFunc(slices.Clone(seen), func(id string) bool { return !slices.Contains(stay, id) })
	if !slices.Equal(order, stay) {
		r.Errorf("got %d of the %d that lasted, or in another order:\n%v\nwant\n%v", len(order), len(stay), order, stay)
	}
}

// maker makes and removes what a list lists.
type maker struct {
	*run
	listing
	operation *mailmanager.Operation
	generator *generator
	made      int // of add-ons
}

// within is what names the resource whose elements are listed.
func (m *maker) within() map[string]any {
	if m.of == "" {
		return map[string]any{}
	}
	return map[string]any{m.of: m.values[m.of](nil)}
}

// fill makes what stays, and among it what leaves while the list is read.
func (m *maker) fill() (stay, leave []string) {
	n := lasting
	if m.most > 0 {
		n = m.most - 1 // one comes and goes
	}
	for i := range n {
		if i%4 == 2 && m.most == 0 {
			leave = append(leave, m.make())
		}
		stay = append(stay, m.make())
	}
	slices.Reverse(leave) // those that are read last leave first
	return stay, leave
}

// make makes one and returns its id.
func (m *maker) make() string {
	input := m.generator.minimal(m.operation.Input).(map[string]any)
	m.adapt(input)
	output, err := m.call(m.create, input)
	if err != nil {
		m.Error(err)
		return ""
	}
	if id, ok := output[m.id].(string); ok {
		return id
	}
	return fmt.Sprint(input[m.id]) // it is its own name
}

// adapt makes what the model alone does not: points on one listener, add-ons of which each is there once.
func (m *maker) adapt(input map[string]any) {
	switch m.create {
	case "CreateIngressPoint":
		input["Tags"] = []any{map[string]any{"Key": "sluice:listener", "Value": "shared"}}
	case "CreateAddonSubscription":
		input["AddonName"] = m.addon()
	case "CreateAddonInstance":
		input["AddonSubscriptionId"] = m.subscription(m.addon())
	}
}

// addon is the next add-on: each once, and then the last, which comes and goes.
func (m *maker) addon() string {
	m.made++
	return addons[min(m.made, len(addons))-1]
}

// subscription is that to an add-on, made when it is not there.
func (m *maker) subscription(name string) any {
	if id, ok := m.values[name]; ok {
		return id(nil)
	}
	output, err := m.call("CreateAddonSubscription", map[string]any{"AddonName": name})
	if err != nil {
		m.Error(err)
		return nil
	}
	m.values[name] = fixed(output["AddonSubscriptionId"])
	return output["AddonSubscriptionId"]
}

// remove removes one, where something does.
func (m *maker) remove(id string) {
	if m.listing.remove == "" || id == "" {
		return
	}
	input := m.within()
	maps.Copy(input, map[string]any{m.id: id})
	if _, err := m.call(m.listing.remove, input); err != nil {
		m.Error(err)
	}
}
