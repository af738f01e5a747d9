package identity

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/internal/access"
	"sluice/internal/awsapi"
	"sluice/internal/control"
	"sluice/internal/mailmanager"
	"sluice/internal/seal"
	"sluice/internal/store"
	"sluice/internal/store/sqlite"
)

const (
	home   = "111111111111"
	other  = "222222222222"
	region = "eu-west-1"

	everything = `{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`
)

// rootKey is the root's.
type rootKey struct{}

func (rootKey) Lookup(_ context.Context, id string) (awsapi.Key, bool) {
	return awsapi.Key{Secret: "root's", Account: "000000000000"}, id == "ROOT"
}

// town is Users on a disk, under test.
type town struct {
	testing.TB
	*Users
	path  string
	store *sqlite.Store
	mu    sync.Mutex
	now   time.Time
}

func newTown(t testing.TB) *town {
	t.Helper()
	v := &town{TB: t, path: filepath.Join(t.TempDir(), "resources.sqlite"), now: time.Unix(1_700_000_000, 0)}
	v.open()
	t.Cleanup(v.close)
	return v
}

func (v *town) open() {
	v.Helper()
	var err error
	if v.store, err = sqlite.Open(context.Background(), v.path); err != nil {
		v.Fatal(err)
	}
	keys, err := seal.New(make([]byte, seal.KeyOctets))
	if err != nil {
		v.Fatal(err)
	}
	v.Users, err = Open(context.Background(), Config{Store: v.store, Seal: keys, Root: rootKey{}, Now: v.clock, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		v.Fatal(err)
	}
}

func (v *town) clock() time.Time {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.now
}

func (v *town) advance(d time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.now = v.now.Add(d)
}

func (v *town) close() {
	if err := errors.Join(v.Close(), v.store.Close()); err != nil {
		v.Error(err)
	}
}

// user makes a user who may do what policies, by name p1, p2 …, say.
func (v *town) user(account, name string, policies ...string) NewKey {
	v.Helper()
	var documents []PolicyDocument
	for i, text := range policies {
		documents = append(documents, PolicyDocument{fmt.Sprintf("p%d", i+1), text})
	}
	made, err := v.Create(context.Background(), account, name, documents)
	if err != nil {
		v.Fatal(err)
	}
	return made
}

// wantKey fails the test unless a key is known as the user's, or not known.
func (v *town) wantKey(k NewKey, user string) {
	v.Helper()
	got, ok := v.Lookup(context.Background(), k.ID)
	if ok != (user != "") || ok && got != (awsapi.Key{Secret: k.Secret, Account: home, User: user}) {
		v.Errorf("key %s: got %+v, %v, want one of %q", k.ID, got, ok, user)
	}
}

func wantCode(t testing.TB, err error, want mailmanager.Code) {
	t.Helper()
	if got, ok := errors.AsType[*mailmanager.Error](err); !ok || got.Code != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestKeysRotate(t *testing.T) {
	t.Parallel()
	v := newTown(t)
	first := v.user(home, "jo")
	v.wantKey(first, "jo")
	second, err := v.CreateKey(t.Context(), home, "jo")
	if err != nil || second.ID == first.ID || second.Secret == first.Secret {
		t.Fatal(second, err)
	}
	v.wantKey(first, "jo")
	v.wantKey(second, "jo")
	if _, err := v.CreateKey(t.Context(), home, "jo"); err == nil {
		t.Error("a third key was made")
	} else {
		wantCode(t, err, mailmanager.CodeServiceQuotaExceeded)
	}
	steps := []struct {
		do                    func() error
		firstKnown, secondToo bool
	}{
		{func() error { return v.SetKey(t.Context(), home, "jo", KeyState{ID: first.ID, Inactive: true}) }, false, true},
		{func() error { return v.SetKey(t.Context(), home, "jo", KeyState{ID: first.ID}) }, true, true},
		{func() error { return v.DeleteKey(t.Context(), home, "jo", first.ID) }, false, true},
		{func() error { return v.Delete(t.Context(), home, "jo") }, false, false},
	}
	for i, step := range steps {
		if err := step.do(); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
		for known, k := range map[bool]NewKey{true: first, false: second} {
			want, user := step.secondToo, ""
			if known {
				want = step.firstKnown
			}
			if want {
				user = "jo"
			}
			v.wantKey(k, user)
		}
	}
}

// What was answered is there after a restart, and no secret is on the disk as it is (S40).
func TestUsersAreKept(t *testing.T) {
	t.Parallel()
	v := newTown(t)
	jo, al := v.user(home, "jo", everything), v.user(home, "al")
	if err := v.SetKey(t.Context(), home, "al", KeyState{ID: al.ID, Inactive: true}); err != nil {
		t.Fatal(err)
	}
	before := v.List(home)
	v.close()
	for _, suffix := range []string{"", "-wal"} {
		octets, err := os.ReadFile(v.path + suffix)
		if err == nil && strings.Contains(string(octets), jo.Secret) {
			t.Errorf("%s%s has a secret", v.path, suffix)
		}
	}
	v.open()
	v.wantKey(jo, "jo")
	v.wantKey(al, "")
	if after := v.List(home); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("got %v, want %v", after, before)
	}
}

func TestLookupOfStrangers(t *testing.T) {
	t.Parallel()
	v := newTown(t)
	made := v.user(home, "jo")
	for _, id := range []string{"", strings.ToLower(made.ID), made.ID + "X", made.ID[:10], "root"} {
		if k, ok := v.Lookup(t.Context(), id); ok {
			t.Errorf("%q is %+v", id, k)
		}
	}
	if k, ok := v.Lookup(t.Context(), "ROOT"); !ok || k.User != "" || k.Account != "000000000000" {
		t.Errorf("got %+v, %v", k, ok)
	}
}

// A user that cannot be read, such as one of a later version's policy, does not keep the others from being served, and may
// nothing.
func TestUserThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	v := newTown(t)
	jo, al := v.user(home, "jo", everything), v.user(home, "al")
	r, err := v.store.Get(t.Context(), userKey(home, "jo"))
	if err != nil {
		t.Fatal(err)
	}
	r.Body = []byte(strings.Replace(string(r.Body), "Allow", "Permit", 1))
	if err := v.store.Update(t.Context(), store.Change{Resource: r}); err != nil {
		t.Fatal(err)
	}
	v.close()
	v.open()
	v.wantKey(jo, "")
	v.wantKey(al, "al")
}

func TestUseIsKept(t *testing.T) {
	t.Parallel()
	v := newTown(t)
	made := v.user(home, "jo")
	if used := v.List(home)[0].Keys[0].Used; !used.IsZero() {
		t.Errorf("got %v before it was used", used)
	}
	v.advance(3 * time.Hour)
	want := v.clock().UTC().Truncate(time.Hour)
	for range 3 {
		v.use(made.ID)
	}
	v.use("ROOT")
	if used := v.List(home)[0].Keys[0].Used; !used.Equal(want) {
		t.Errorf("got %v, want %v", used, want)
	}
	// It is written beside the request: as soon as it is, it survives a restart.
	for {
		r, err := v.store.Get(t.Context(), userKey(home, "jo"))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(r.Body), "Used") {
			break
		}
	}
	v.close()
	v.open()
	if used := v.List(home)[0].Keys[0].Used; !used.Equal(want) {
		t.Errorf("after a restart: got %v, want %v", used, want)
	}
	if err := v.keep(t.Context(), usage{home, "al", "x", v.clock()}); err != nil {
		t.Errorf("of a user that is gone: %v", err)
	}
	if err := v.keep(t.Context(), usage{home, "jo", "x", v.clock()}); err != nil {
		t.Errorf("of a key that is gone: %v", err)
	}
}

func TestQuotas(t *testing.T) {
	t.Parallel()
	v := newTown(t)
	v.user(home, "jo")
	for i := range MaxPolicies {
		if err := v.PutPolicy(t.Context(), home, "jo", PolicyDocument{fmt.Sprint("p", i), everything}); err != nil {
			t.Fatal(err)
		}
	}
	wantCode(t, v.PutPolicy(t.Context(), home, "jo", PolicyDocument{"more", everything}), mailmanager.CodeServiceQuotaExceeded)
	if err := v.PutPolicy(t.Context(), home, "jo", PolicyDocument{"p3", everything}); err != nil {
		t.Errorf("in place of another: %v", err)
	}
}

// Changes of one user at once are all made, and lookups meanwhile see one state or another.
func TestChangesAtOnce(t *testing.T) {
	t.Parallel()
	v := newTown(t)
	made := v.user(home, "jo", everything)
	var all sync.WaitGroup
	for i := range MaxPolicies - 1 {
		all.Go(func() {
			if err := v.PutPolicy(t.Context(), home, "jo", PolicyDocument{fmt.Sprint("q", i), everything}); err != nil {
				t.Error(err)
			}
		})
		all.Go(func() { v.wantKey(made, "jo") })
	}
	all.Wait()
	got, err := v.Get(home, "jo")
	if err != nil || len(got.Policies) != MaxPolicies {
		t.Errorf("got %d policies, %v, want %d", len(got.Policies), err, MaxPolicies)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	v := newTown(t)
	v.user(home, "jo", `{"Version":"2012-10-17","Statement":[
		{"Sid":"self","Effect":"Allow","Action":"sluice:CreateAccessKey","Resource":"arn:aws:iam::*:user/${aws:username}"},
		{"Effect":"Allow","Action":"ses:*","Resource":"*","Condition":{"IpAddress":{"aws:SourceIp":"192.0.2.0/24"},"StringEquals":{"aws:PrincipalArn":"arn:aws:iam::111111111111:user/jo","aws:RequestedRegion":"eu-west-1"},"DateLessThan":{"aws:CurrentTime":"2024"}}}]}`)
	scope := control.Scope{Account: home, Region: region}
	from := func(ip string) map[string][]string { return map[string][]string{"aws:SourceIp": {ip}} }
	tests := []struct {
		name string
		in   Check
		want access.Reason
	}{
		{"no source", Check{"jo", "ses:GetRelay", "*", nil}, access.NothingAllows},
		{"another source", Check{"jo", "ses:GetRelay", "*", from("198.51.100.1")}, access.NothingAllows},
		{"another user's keys", Check{"jo", "sluice:CreateAccessKey", "arn:aws:iam::111111111111:user/al", nil}, access.NothingAllows},
		{"from there", Check{"jo", "ses:GetRelay", "*", from("192.0.2.1")}, access.Allowed},
		{"own keys", Check{"jo", "sluice:CreateAccessKey", "arn:aws:iam::111111111111:user/jo", nil}, access.Allowed},
		{"another time", Check{"jo", "ses:GetRelay", "*", map[string][]string{"aws:SourceIp": {"192.0.2.1"}, "aws:CurrentTime": {"2030-01-01"}}}, access.NothingAllows},
	}
	for _, test := range tests {
		if got, err := v.Check(scope, test.in); err != nil || got.Reason != test.want {
			t.Errorf("%s: got %v, %v, want %v", test.name, got.Reason, err, test.want)
		}
	}
	_, err := v.Check(control.Scope{Account: other, Region: region}, tests[3].in)
	wantCode(t, err, mailmanager.CodeResourceNotFound)
}

// leaving is a store whose caller goes away as soon as a change is stored.
type leaving struct {
	store.Store
	gone context.CancelFunc
}

// Update implements store.Store.
func (l *leaving) Update(ctx context.Context, c store.Change) error {
	defer l.gone()
	return l.Store.Update(ctx, c)
}

// A change that was stored counts though whoever asked for it has gone, and costs nobody their keys.
func TestChangeWhoseCallerLeaves(t *testing.T) {
	t.Parallel()
	v := newTown(t)
	made, err := v.Create(t.Context(), home, "jo", nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	v.cfg.Store = &leaving{v.store, cancel}
	if err := v.PutPolicy(ctx, home, "jo", PolicyDocument{Name: "all", Document: everything}); err != nil {
		t.Error(err)
	}
	if _, ok := v.Lookup(t.Context(), made.ID); !ok {
		t.Error("the key of the user is refused")
	}
	if jo, err := v.Get(home, "jo"); err != nil || len(jo.Policies) != 1 {
		t.Errorf("got %+v, %v", jo, err)
	}
}
