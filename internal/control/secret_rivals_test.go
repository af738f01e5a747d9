package control_test

import (
	"context"
	"slices"
	"testing"

	"sluice/internal/awsapi"
	"sluice/internal/control"
	"sluice/internal/secretsmanager"
	"sluice/internal/store"
)

// rivalled is a store in which something else happens just before an update, once.
type rivalled struct {
	store.Store
	rival func()
}

func (s *rivalled) Update(ctx context.Context, c store.Change) error {
	if rival := s.rival; rival != nil {
		s.rival = nil
		rival()
	}
	return s.Store.Update(ctx, c)
}

// A version that was to be the first, and is not because another node was faster, has the stages that were asked for and no
// more: it does not take AWSCURRENT from the other.
func TestFirstVersionsAtOnce(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	do[secretsmanager.CreateSecretResponse](p, "CreateSecret", &secretsmanager.CreateSecretRequest{Name: ptr("smtp")})
	p.stop()
	db := p.openStore()
	p.stop = func() { db.Close() }
	node := func(s store.Store) *control.Control {
		cfg := p.config
		cfg.Store = s
		c, err := control.Open(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	put := func(c *control.Control, value string, stages ...string) *secretsmanager.PutSecretValueResponse {
		t.Helper()
		in := &secretsmanager.PutSecretValueRequest{SecretId: ptr("smtp"), SecretString: ptr(secretsmanager.SecretString(value)), VersionStages: stages}
		op, _ := p.operationFor("PutSecretValue", in)
		out, err := c.Secrets().Handle(t.Context(), awsapi.Caller{Account: home.Account, Region: home.Region}, op, in)
		if err != nil {
			t.Fatal(err)
		}
		return out.(*secretsmanager.PutSecretValueResponse)
	}
	slow := &rivalled{Store: db}
	other := node(db)
	slow.rival = func() { put(other, "first") }
	p.Control = node(slow)
	if got := put(p.Control, "second", "NEXT").VersionStages; !slices.Equal(got, []string{"NEXT"}) {
		t.Errorf("the second has %v", got)
	}
	if got := do[secretsmanager.GetSecretValueResponse](p, "GetSecretValue", &secretsmanager.GetSecretValueRequest{SecretId: ptr("smtp")}).SecretString; *got != "first" {
		t.Errorf("current is %q", *got)
	}
}
