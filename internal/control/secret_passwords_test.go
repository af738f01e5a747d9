package control_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sluice/internal/control"
	"sluice/internal/mailmanager"
	"sluice/internal/secretsmanager"
	"sluice/internal/store"
)

func secretConfiguration(arn string) *mailmanager.IngressPointConfiguration {
	return &mailmanager.IngressPointConfiguration{SecretArn: (*mailmanager.SecretArn)(&arn)}
}

// passwordSecret makes a secret at home and returns its ARN.
func (p *plane) passwordSecret(name, value string) string {
	p.Helper()
	return *do[secretsmanager.CreateSecretResponse](p, "CreateSecret", secretRequest(name, value)).ARN
}

func (p *plane) putPassword(name, version, value string) {
	p.Helper()
	do[secretsmanager.PutSecretValueResponse](p, "PutSecretValue", putRequest(name, version, value))
}

// spoil changes a bit of a sealed part.
func (p *plane) spoil(kind store.Kind, id, part string) {
	p.Helper()
	r, err := p.config.Store.Get(p.Context(), store.Key{Scope: home, Kind: kind, ID: id})
	if err != nil {
		p.Fatal(err)
	}
	sealed, err := p.config.Store.Part(p.Context(), r.Key, part)
	if err != nil {
		p.Fatal(err)
	}
	sealed[len(sealed)-1] ^= 1
	if err := p.config.Store.Update(p.Context(), store.Change{Resource: r, Parts: map[string][]byte{part: sealed}}); err != nil {
		p.Fatal(err)
	}
}

// wantLogin checks which passwords a point accepts: those of the list, by the id of their version, and not the others.
func (p *plane) wantLogin(key control.Key, accepted map[string]string, others ...string) {
	p.Helper()
	point, _ := p.IngressPoint(key)
	for text, version := range accepted {
		if got, want := p.check(key, text), (control.Login{OK: true, Version: version, SecretARN: point.SecretARN}); got != want {
			p.Errorf("%s: got %+v, want %+v", text, got, want)
		}
	}
	for _, text := range others {
		if got, want := p.check(key, text), (control.Login{SecretARN: point.SecretARN}); got != want {
			p.Errorf("%s: got %+v, want %+v", text, got, want)
		}
	}
}

func inJSON(password string) string { return fmt.Sprintf(`{"password":%q}`, password) }

// Mail Manager, section 2.2: AWSCURRENT and AWSPREVIOUS are both accepted, AWSPREVIOUS for as long as it exists.
func TestSecretRotation(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	arn := p.passwordSecret("smtp/in", inJSON("one"))
	key := p.authPoint("front", secretConfiguration(arn))
	p.wantLogin(key, map[string]string{"one": version1}, "two", "", inJSON("one"))
	p.putPassword("smtp/in", version2, inJSON("two"))
	for range 2 {
		p.wantLogin(key, map[string]string{"one": version1, "two": version2}, "three")
		p.clock.advance(1000 * 24 * time.Hour)
		p.restart()
	}
	pending := putRequest("smtp/in", version3, inJSON("three"))
	pending.VersionStages = []string{"AWSPENDING"}
	do[secretsmanager.PutSecretValueResponse](p, "PutSecretValue", pending)
	p.wantLogin(key, map[string]string{"one": version1, "two": version2}, "three")
	version4 := strings.ReplaceAll(version3, "3", "4")
	p.putPassword("smtp/in", version4, inJSON("four"))
	p.wantLogin(key, map[string]string{"two": version2, "four": version4}, "one", "three")
	do[secretsmanager.UpdateSecretVersionStageResponse](p, "UpdateSecretVersionStage", move(arn, "AWSCURRENT", version4, version3))
	p.wantLogin(key, map[string]string{"three": version3, "four": version4}, "one", "two")
	do[secretsmanager.UpdateSecretVersionStageResponse](p, "UpdateSecretVersionStage", move(arn, "AWSPREVIOUS", version4, ""))
	p.wantLogin(key, map[string]string{"three": version3}, "one", "two", "four")
	do[secretsmanager.UpdateSecretResponse](p, "UpdateSecret", &secretsmanager.UpdateSecretRequest{SecretId: &arn, ClientRequestToken: ptr(version2[1:]), SecretString: ptr(secretsmanager.SecretString(inJSON("five")))})
	p.wantLogin(key, map[string]string{"three": version3, "five": version2[1:]}, "one", "two", "four")
	if got := p.getPoint(key.ID).IngressPointAuthConfiguration; string(*got.SecretArn) != arn || got.IngressPointPasswordConfiguration != nil {
		t.Errorf("got %s", text(t, got))
	}
}

// What is longer than any password may begin with one.
func TestThePasswordsThatAreTooLong(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	longest := strings.Repeat("x", control.MaxPasswordOctets)
	key := p.authPoint("front", secretConfiguration(p.passwordSecret("s", inJSON(longest))))
	p.wantLogin(key, map[string]string{longest: version1}, longest[1:], longest+"x", longest+longest)
}

// A version with another text is no password; the other version goes on to be one.
func TestSecretVersionsThatAreNoPasswords(t *testing.T) {
	t.Parallel()
	for _, value := range []string{"plain", `{"password":"two","user":"x"}`, `{"Password":"two"}`, `{"password":""}`, `{"password":2}`, " "} {
		t.Run(value, func(t *testing.T) {
			t.Parallel()
			p := newPlane(t)
			key := p.authPoint("front", secretConfiguration(p.passwordSecret("s", inJSON("one"))))
			p.putPassword("s", version2, value)
			p.wantLogin(key, map[string]string{"one": version1}, "two", "plain", "", "2", value)
			p.putPassword("s", version3, inJSON("three"))
			p.wantLogin(key, map[string]string{"three": version3}, "one", "two", "plain", "", "2", value)
		})
	}
}

func TestSecretsOfIngressPoints(t *testing.T) {
	t.Parallel()
	const prefix = "arn:aws:secretsmanager:eu-west-1:111111111111:secret:"
	p := newPlane(t)
	early := p.authPoint("early", secretConfiguration(prefix+"later")) // the point is there before its secret
	p.wantLogin(early, nil, "one")
	arn := p.passwordSecret("later", inJSON("one"))
	suffix := strings.TrimPrefix(arn, prefix+"later")
	long, short := p.passwordSecret("a-secret", inJSON("long")), p.passwordSecret("a", inJSON("short"))
	for name, scope := range map[string]control.Scope{"theirs": stranger, "abroad": abroad} {
		if _, err := p.call(scope, "CreateSecret", secretRequest(name, inJSON("foreign"))); err != nil {
			t.Fatal(err)
		}
	}
	binary := &secretsmanager.CreateSecretRequest{Name: ptr("binary"), SecretBinary: []byte(inJSON("one"))}
	do[secretsmanager.CreateSecretResponse](p, "CreateSecret", binary)
	tests := []struct{ name, arn, password string }{ // no password: none of all is accepted
		{"without the suffix", prefix + "later", "one"},
		{"with the suffix", arn, "one"},
		{"a name that looks as if it had one", prefix + "a-secret", "long"},
		{"the same with the suffix", long, "long"},
		{"a name that begins like another", prefix + "a", "short"},
		{"the same with the suffix", short, "short"},
		{"with another suffix", prefix + "later-AAAAAA", ""},
		{"with the suffix of another", prefix + "a" + suffix, ""},
		{"one that is not there", prefix + "none", ""},
		{"one that is binary", prefix + "binary", ""},
		{"one of another account", "arn:aws:secretsmanager:eu-west-1:222222222222:secret:theirs", ""},
		{"one of another account, named as own", prefix + "theirs", ""},
		{"one of another region", "arn:aws:secretsmanager:us-east-1:111111111111:secret:abroad", ""},
		{"one of another partition", "arn:aws-cn:secretsmanager:eu-west-1:111111111111:secret:later", ""},
	}
	for i, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			key := p.authPoint(fmt.Sprint("point-", i), secretConfiguration(test.arn))
			for _, text := range []string{"one", "long", "short", "foreign", ""} {
				if got := p.check(key, text); got.OK != (text == test.password && text != "") || got.SecretARN != test.arn {
					t.Errorf("%q: got %+v, want %q", text, got, test.password)
				}
			}
		})
	}
	p.wantLogin(early, map[string]string{"one": version1})
	p.configure(early, passwordConfiguration(password))
	if p.check(early, "one").OK || !p.check(early, string(password)).OK {
		t.Error("after a change to a password the secret still counts")
	}
}

// Mail Manager, section 2.2: a secret that was deleted is one that is not there, from the moment that is answered.
func TestDeletedSecretsLetNobodyIn(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	first := p.passwordSecret("s", inJSON("one"))
	exact := p.authPoint("exact", secretConfiguration(first))
	byName := p.authPoint("by-name", secretConfiguration(strings.TrimSuffix(first, first[len(first)-7:])))
	p.wantLogin(exact, map[string]string{"one": version1})
	do[secretsmanager.DeleteSecretResponse](p, "DeleteSecret", &secretsmanager.DeleteSecretRequest{SecretId: ptr("s"), RecoveryWindowInDays: ptr(int64(7))})
	for range 2 {
		p.wantLogin(exact, nil, "one")
		p.wantLogin(byName, nil, "one")
		p.restart()
	}
	p.clock.advance(7 * 24 * time.Hour)
	p.passwordSecret("s", inJSON("new")) // removes the old one
	p.wantLogin(exact, nil, "one", "new")
	p.wantLogin(byName, map[string]string{"new": version1}, "one")
	do[secretsmanager.DeleteSecretResponse](p, "DeleteSecret", &secretsmanager.DeleteSecretRequest{SecretId: ptr("s"), ForceDeleteWithoutRecovery: ptr(true)})
	p.wantLogin(byName, nil, "one", "new")
}

// A version that does not open is no password, and does not keep another from being put.
func TestSecretsThatDoNotOpen(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	arn := p.passwordSecret("s", inJSON("one"))
	key := p.authPoint("front", secretConfiguration(arn))
	p.spoil("secret", arn[strings.LastIndex(arn, ":")+1:], version1)
	p.restart()
	p.wantLogin(key, nil, "one")
	p.putPassword("s", version2, inJSON("two"))
	p.wantLogin(key, map[string]string{"two": version2}, "one")
	if !strings.Contains(p.log.String(), "version of a secret cannot be used") {
		t.Error("the log says nothing")
	}
}

// slowDelete lets others work after a resource was removed and before that is visible.
type slowDelete struct {
	store.Store
	another func()
	began   atomic.Bool
}

func (s *slowDelete) Delete(ctx context.Context, key store.Key) error {
	err := s.Store.Delete(ctx, key)
	if s.began.CompareAndSwap(false, true) {
		go s.another()
		for range 10_000 { // time enough for the other to become visible
			runtime.Gosched()
		}
	}
	return err
}

// A secret that takes the name of one that is being removed is not taken for it.
func TestASecretOfTheSameName(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	arn := p.passwordSecret("s", inJSON("one"))
	key := p.authPoint("front", secretConfiguration(strings.TrimSuffix(arn, arn[len(arn)-7:])))
	var slow *slowDelete
	p.reopen(func(s store.Store) store.Store { slow = &slowDelete{Store: s}; return slow })
	done := make(chan struct{})
	slow.another = func() {
		defer close(done)
		if _, err := p.call(home, "CreateSecret", secretRequest("s", inJSON("two"))); err != nil {
			t.Error(err)
		}
	}
	do[secretsmanager.DeleteSecretResponse](p, "DeleteSecret", &secretsmanager.DeleteSecretRequest{SecretId: ptr("s"), ForceDeleteWithoutRecovery: ptr(true)})
	<-done
	p.wantLogin(key, map[string]string{"two": version1}, "one")
}
