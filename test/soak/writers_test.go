package soak

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	mm "github.com/aws/aws-sdk-go-v2/service/mailmanager"
	"github.com/aws/aws-sdk-go-v2/service/mailmanager/types"
	"golang.org/x/sync/errgroup"

	"sluice/internal/conform"
	"sluice/test/harness"
)

const (
	ownersOfShared = 4 // writers to one shared relay, each to a member of its own
	contested      = 8 // names that all writers want
	readers        = 8 // calls at once when everything is looked at
)

// TestConcurrentWriters lets many write through the SDK at once and kills the server in the middle. No update may be lost to
// another, no two relays may have one name, no call may be answered with an error of the server, and what was answered must
// be there when it is back: whole, and nothing that is not whole beside it.
func TestConcurrentWriters(t *testing.T) {
	conform.Check(t, "A1")
	writers, half := pick(24, 200), time.Duration(pick(2, 30))*time.Second
	server := harness.Start(t, "--log-level", "error")
	b := &books{fleet: newFleet(t, server, writers), own: map[string]string{}, holder: map[string]string{}}
	b.share(writers / ownersOfShared)
	wait := b.run(b.write)

	wall(half)
	server.Kill(t)
	b.park()
	server = server.Restart(t, "--log-level", "error")
	b.audit(manyCalls(server, readers, 5))
	b.resume(server)
	wall(half)
	b.stop.Store(true)
	wait()
	b.audit(manyCalls(server, readers, 5))
	t.Logf("%d writers: %d calls answered, %d relays left", writers, b.calls.Load(), len(b.own))
}

// wall lets the writers write for a while.
func wall(d time.Duration) { <-time.After(d) }

// books are what writers were told.
type books struct {
	*fleet
	shared []string // ids, by number

	mu     sync.Mutex
	own    map[string]string // names of relays that were answered and not deleted, to their ids
	made   map[int][]string  // names, by writer, the oldest first
	holder map[string]string // contested names to the id that holds them
	next   map[int]int
	values sync.Map // [shared relay, member] to the value that was answered last
}

// share makes the relays that several writers change.
func (b *books) share(n int) {
	b.made, b.next = map[int][]string{}, map[int]int{}
	for i := range n {
		id, code := b.create(fmt.Sprint("shared-", i), "")
		b.want("a shared relay", code, "")
		b.shared = append(b.shared, id)
	}
}

// create makes a relay and returns its id, or the code of an error. A call without an answer is made again, with its token.
func (b *books) create(name, token string) (id, code string) {
	if token == "" {
		token = "once-" + name
	}
	code = b.do(func(ctx context.Context, api *mm.Client) error {
		output, err := api.CreateRelay(ctx, &mm.CreateRelayInput{
			ClientToken: aws.String(token), RelayName: aws.String(name), ServerName: aws.String(name + ".example.com"), ServerPort: aws.Int32(25),
			Authentication: &types.RelayAuthenticationMemberNoAuthentication{}, Tags: []types.Tag{{Key: aws.String("made-as"), Value: aws.String(name)}},
		})
		if err == nil {
			id = *output.RelayId
		}
		return err
	})
	return id, code
}

func (b *books) remove(id string) string {
	return b.do(func(ctx context.Context, api *mm.Client) error {
		_, err := api.DeleteRelay(ctx, &mm.DeleteRelayInput{RelayId: aws.String(id)})
		return err
	})
}

// write is one turn of a writer.
func (b *books) write(n int) {
	b.mu.Lock()
	turn := b.next[n]
	b.next[n]++
	b.mu.Unlock()
	b.change(n, turn)
	b.makeOwn(n, turn)
	if turn%3 == 2 {
		b.removeOwn(n)
	}
	if turn%4 == 1 {
		b.contest(n, turn)
	}
}

// change sets the writer's member of a shared relay, and reads it back: nobody else writes it.
func (b *books) change(n, turn int) {
	shared, member := n/ownersOfShared, n%ownersOfShared
	if shared >= len(b.shared) {
		return
	}
	id, value := b.shared[shared], fmt.Sprint(turn+1)
	code := b.do(func(ctx context.Context, api *mm.Client) error { return set(ctx, api, id, member, value) })
	if !b.want("an update", code, "") {
		return
	}
	b.values.Store([2]int{shared, member}, value)
	if relay := b.get(id); relay == nil || member < tagMember && valueOf(relay, member) != value {
		b.t.Errorf("update %s of member %d was lost: got %+v", value, member, relay)
	}
}

// tagMember stands for a tag among the members.
const tagMember = 3

// set changes one member of a relay and no other.
func set(ctx context.Context, api *mm.Client, id string, member int, value string) error {
	input := &mm.UpdateRelayInput{RelayId: aws.String(id)}
	switch member {
	case 0:
		input.RelayName = aws.String("name-" + value + "-of-" + id)
	case 1:
		input.ServerName = aws.String("host-" + value + ".example.com")
	case 2:
		var port int32
		if _, err := fmt.Sscan(value, &port); err != nil {
			return err
		}
		input.ServerPort = aws.Int32(port%65535 + 1)
	case tagMember:
		arn := fmt.Sprintf("arn:aws:ses:%s:000000000000:mailmanager-smtp-relay/%s", harness.Region, id)
		_, err := api.TagResource(ctx, &mm.TagResourceInput{ResourceArn: aws.String(arn), Tags: []types.Tag{{Key: aws.String("turn"), Value: aws.String(value)}}})
		return err
	}
	_, err := api.UpdateRelay(ctx, input)
	return err
}

// valueOf is what set has set a member to.
func valueOf(relay *mm.GetRelayOutput, member int) (value string) {
	switch member {
	case 0:
		_, _ = fmt.Sscanf(*relay.RelayName, "name-%s", &value)
		return value[:max(0, len(value)-len("-of-")-len(*relay.RelayId))]
	case 1:
		name := *relay.ServerName
		return name[min(len("host-"), len(name)):max(len("host-"), len(name)-len(".example.com"))]
	default:
		return fmt.Sprint(*relay.ServerPort - 1)
	}
}

func (b *books) makeOwn(n, turn int) {
	name := fmt.Sprintf("own-%d-%d", n, turn)
	id, code := b.create(name, "")
	if !b.want("a relay with a name of its own", code, "") {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.own[name] = id
	b.made[n] = append(b.made[n], name)
}

func (b *books) removeOwn(n int) {
	b.mu.Lock()
	name := b.made[n][0]
	id := b.own[name]
	b.made[n] = b.made[n][1:]
	delete(b.own, name)
	b.mu.Unlock()
	b.want("a deletion", b.remove(id), "")
	if relay := b.get(id); relay != nil {
		b.t.Errorf("%s was deleted and is there", name)
	}
}

// contest takes a name that others want, too. It is given back before the relay is deleted: from then on another may have it.
func (b *books) contest(n, turn int) {
	name := fmt.Sprint("contested-", turn%contested)
	id, code := b.create(name, fmt.Sprintf("contest-%d-%d", n, turn))
	if code == "ConflictException" {
		return
	}
	if !b.want("a contested name", code, "") {
		return
	}
	b.mu.Lock()
	if other := b.holder[name]; other != "" {
		b.t.Errorf("%s is the name of %s and of %s", name, other, id)
	}
	b.holder[name] = id
	b.mu.Unlock()
	if turn%3 == 0 {
		return // kept for good
	}
	b.mu.Lock()
	delete(b.holder, name)
	b.mu.Unlock()
	b.want("a deletion", b.remove(id), "")
}

// audit compares everything that is there with the books, while nobody writes.
func (b *books) audit(api *mm.Client) {
	b.t.Helper()
	ctx := within(b.t)
	listed, ids := map[string]string{}, []string{}
	for pages := mm.NewListRelaysPaginator(api, &mm.ListRelaysInput{PageSize: aws.Int32(100)}); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		must(b.t, err)
		for _, relay := range page.Relays {
			if other, ok := listed[*relay.RelayName]; ok {
				b.t.Errorf("%s is the name of %s and of %s", *relay.RelayName, other, *relay.RelayId)
			}
			listed[*relay.RelayName] = *relay.RelayId
			ids = append(ids, *relay.RelayId)
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, answered := range []map[string]string{b.own, b.holder} {
		for name, id := range answered {
			if listed[name] != id {
				b.t.Errorf("%s was answered with %s and is %q", name, id, listed[name])
			}
		}
	}
	b.compareShared(ctx, api)
	var look errgroup.Group
	look.SetLimit(readers)
	for _, id := range ids {
		look.Go(func() error { return whole(ctx, api, id) })
	}
	if err := look.Wait(); err != nil {
		b.t.Error(err)
	}
}

// compareShared compares the shared relays with what was answered last. An update whose answer was lost may be there.
func (b *books) compareShared(ctx context.Context, api *mm.Client) {
	for shared, id := range b.shared {
		relay, err := api.GetRelay(ctx, &mm.GetRelayInput{RelayId: aws.String(id)})
		must(b.t, err)
		tags, err := api.ListTagsForResource(ctx, &mm.ListTagsForResourceInput{ResourceArn: relay.RelayArn})
		must(b.t, err)
		for member := range ownersOfShared {
			want, ok := b.values.Load([2]int{shared, member})
			if !ok {
				continue
			}
			got := ""
			if member < tagMember {
				got = valueOf(relay, member)
			} else if i := slices.IndexFunc(tags.Tags, func(tag types.Tag) bool { return *tag.Key == "turn" }); i >= 0 {
				got = *tags.Tags[i].Value
			}
			if got != want && got != after(want.(string)) {
				b.t.Errorf("member %d of shared relay %d is %q, want %q or what came next", member, shared, got, want)
			}
		}
	}
}

// after is the value that a writer writes next.
func after(value string) string {
	var n int
	if _, err := fmt.Sscan(value, &n); err != nil {
		return ""
	}
	return fmt.Sprint(n + 1)
}

// whole says what of a relay is missing.
func whole(ctx context.Context, api *mm.Client, id string) error {
	relay, err := api.GetRelay(ctx, &mm.GetRelayInput{RelayId: aws.String(id)})
	if err != nil {
		return fmt.Errorf("%s is listed: %w", id, err)
	}
	tags, err := api.ListTagsForResource(ctx, &mm.ListTagsForResourceInput{ResourceArn: relay.RelayArn})
	if err != nil {
		return fmt.Errorf("%s is listed: %w", id, err)
	}
	found := map[string]string{}
	for _, tag := range tags.Tags {
		found[*tag.Key] = *tag.Value
	}
	if relay.ServerName == nil || relay.ServerPort == nil || relay.Authentication == nil || relay.CreatedTimestamp == nil || found["made-as"] == "" {
		return fmt.Errorf("%s is half made: %+v, tags %v", id, relay, slices.Collect(maps.Keys(found)))
	}
	return nil
}
