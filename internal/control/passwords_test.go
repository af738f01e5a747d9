package control_test

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/control"
	"sluice/internal/mailmanager"
)

const second mailmanager.SmtpPassword = "another-horse-2"

// authPoint makes a point of type AUTH and returns its key.
func (p *plane) authPoint(name string, config *mailmanager.IngressPointConfiguration) control.Key {
	p.Helper()
	in := p.pointRequest(name)
	in.Type, in.IngressPointConfiguration = ptr(mailmanager.IngressPointTypeAuth), config
	return control.Key{Scope: home, ID: p.createPoint(in)}
}

// check checks a password as a session does: against the point as it is now.
func (p *plane) check(key control.Key, text string) control.Login {
	p.Helper()
	point, ok := p.IngressPoint(key)
	if !ok {
		p.Fatalf("there is no ingress point %s", key.ID)
	}
	return p.CheckPassword(point, text)
}

// configure gives a point other credentials.
func (p *plane) configure(key control.Key, config *mailmanager.IngressPointConfiguration) {
	p.Helper()
	if err := p.update(key.ID, func(in *mailmanager.UpdateIngressPointRequest) { in.IngressPointConfiguration = config }); err != nil {
		p.Fatal(err)
	}
}

func (p *plane) versions(key control.Key) *mailmanager.IngressPointPasswordConfiguration {
	p.Helper()
	return p.getPoint(key.ID).IngressPointAuthConfiguration.IngressPointPasswordConfiguration
}

func TestCheckPassword(t *testing.T) {
	t.Parallel()
	ca, _ := authority(t)
	p := newPlane(t)
	auth := p.authPoint("auth", passwordConfiguration(password))
	mtls := p.pointRequest("mtls")
	mtls.Type, mtls.IngressPointConfiguration = ptr(mailmanager.IngressPointTypeMtls), trustStore(ca, "")
	point := func(key control.Key) *control.IngressPoint {
		found, _ := p.IngressPoint(key)
		return found
	}
	open := point(control.Key{Scope: home, ID: p.point("open")})
	tests := []struct {
		name  string
		point *control.IngressPoint
		text  string
		ok    bool
	}{
		{"the password", point(auth), string(password), true},
		{"another", point(auth), "correct-horse-2", false},
		{"nothing", point(auth), "", false},
		{"a beginning", point(auth), string(password[:8]), false},
		{"more than it", point(auth), string(password) + "x", false},
		{"a NUL behind it", point(auth), string(password) + "\x00", false},
		{"other letters", point(auth), strings.ToUpper(string(password)), false},
		{"a megabyte that begins with it", point(auth), string(password) + strings.Repeat("x", 1<<20), false},
		{"no such point", nil, string(password), false},
		{"no such point, and nothing", nil, "", false},
		{"of type OPEN", open, string(password), false},
		{"of type OPEN, and nothing", open, "", false},
		{"of type MTLS", point(control.Key{Scope: home, ID: p.createPoint(mtls)}), string(password), false},
		{"one that nobody made", &control.IngressPoint{Key: auth}, string(password), false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			want := control.Login{}
			if test.ok {
				want = control.Login{OK: true, Version: *p.versions(auth).SmtpPasswordVersion}
			}
			if got := p.CheckPassword(test.point, test.text); got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}

// Mail Manager, section 2.2: the password before the newest one is accepted for 14 days, and no other.
func TestPasswordRotation(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	key := p.authPoint("front", passwordConfiguration(password))
	first := *p.versions(key).SmtpPasswordVersion
	p.configure(key, passwordConfiguration(second)) // it counts while the point is UPDATING
	want := func(text mailmanager.SmtpPassword, version string) {
		t.Helper()
		if got := p.check(key, string(text)); got != (control.Login{OK: version != "", Version: version}) {
			t.Errorf("%s: got %+v, want version %q", text, got, version)
		}
	}
	current := *p.versions(key).SmtpPasswordVersion
	p.Quiet()
	for range 2 {
		want(password, first)
		want(second, current)
		p.restart()
	}
	p.Start(t.Context())
	p.Quiet()
	if err := p.rename(key.ID, "back"); err != nil {
		t.Fatal(err)
	}
	p.Quiet()
	p.clock.advance(14*24*time.Hour - time.Millisecond)
	want(password, first)
	p.clock.advance(time.Millisecond)
	want(password, "")
	want(second, current)
	if shown := p.versions(key); shown.PreviousSmtpPasswordVersion != nil || shown.PreviousSmtpPasswordExpiryTimestamp != nil {
		t.Errorf("after the grace: got %s", text(t, shown))
	}
}

func TestOfTwoRotationsTheLastPasswordIsLeft(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	key := p.authPoint("front", passwordConfiguration(password))
	for _, next := range []mailmanager.SmtpPassword{second, "a-third-horse-3"} {
		p.configure(key, passwordConfiguration(next))
		p.Quiet()
		p.clock.advance(24 * time.Hour)
	}
	for text, ok := range map[mailmanager.SmtpPassword]bool{password: false, second: true, "a-third-horse-3": true} {
		if got := p.check(key, string(text)); got.OK != ok {
			t.Errorf("%s: got %+v, want %v", text, got, ok)
		}
	}
	shown := p.versions(key)
	expiry := time.Date(2026, 12, 7, 10, 0, 0, 123000000, time.UTC) // of the second: its grace began a day after the first one's
	if !shown.PreviousSmtpPasswordExpiryTimestamp.Equal(expiry) || *shown.PreviousSmtpPasswordVersion != p.check(key, string(second)).Version {
		t.Errorf("got %s, want the expiry %v", text(t, shown), expiry)
	}
}

// The same password again is the current one, also once the grace of the former has ended.
func TestAPasswordSetAgain(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	key := p.authPoint("front", passwordConfiguration(password))
	p.configure(key, passwordConfiguration(password))
	p.Quiet()
	for range 2 {
		if got := p.check(key, string(password)); !got.OK || got.Version != *p.versions(key).SmtpPasswordVersion {
			t.Errorf("got %+v, want %s", got, text(t, p.versions(key)))
		}
		p.clock.advance(14 * 24 * time.Hour)
	}
}

// What is wrong with a login costs the same as what is right with it: as many hashes over as many octets.
func TestEveryCheckCostsTheSame(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	once := p.authPoint("once", passwordConfiguration(password))
	twice := p.authPoint("twice", passwordConfiguration(password))
	p.configure(twice, passwordConfiguration(second))
	secret := p.passwordSecret("s", `{"password":"correct-horse-1"}`)
	kept, lost := p.authPoint("kept", secretConfiguration(secret)), p.authPoint("lost", secretConfiguration(secret+"x"))
	p.Quiet()
	open := control.Key{Scope: home, ID: p.point("open")}
	macs := p.CountMACs()
	const salt = 16
	for _, text := range []string{"", string(password), string(second), "correct-horse-X", strings.Repeat("x", control.MaxPasswordOctets), strings.Repeat("x", 1<<20)} {
		each := salt + min(len(text), control.MaxPasswordOctets)
		want := []int{each, each}
		p.CheckPassword(nil, text)
		if diff := cmp.Diff(want, macs.Take()); diff != "" {
			t.Errorf("no point, %d octets (-want +got):\n%s", len(text), diff)
		}
		for _, key := range []control.Key{once, twice, kept, lost, open} {
			p.check(key, text)
			if diff := cmp.Diff(want, macs.Take()); diff != "" {
				t.Errorf("%s, %d octets (-want +got):\n%s", key.ID, len(text), diff)
			}
		}
	}
	p.clock.advance(15 * 24 * time.Hour)
	if p.check(twice, string(password)).OK || len(macs.Take()) != 2 {
		t.Error("a password that has expired costs less, or is accepted")
	}
}

// While passwords change, the one in use goes on to be accepted, and the new one is when the change has been answered.
func TestChecksWhileAPasswordChanges(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	inPoint := p.authPoint("point", passwordConfiguration(password))
	inSecret := p.authPoint("secret", secretConfiguration(p.passwordSecret("s", `{"password":"correct-horse-1"}`)))
	p.Quiet()
	var done atomic.Bool
	var all sync.WaitGroup
	for _, key := range []control.Key{inPoint, inSecret} {
		all.Go(func() {
			for !done.Load() {
				if !p.check(key, string(password)).OK {
					t.Errorf("%s: the password was refused while it changed", key.ID)
					return
				}
			}
		})
	}
	p.configure(inPoint, passwordConfiguration(second))
	p.putPassword("s", version2, `{"password":"another-horse-2"}`)
	for _, key := range []control.Key{inPoint, inSecret} {
		if !p.check(key, string(second)).OK {
			t.Errorf("%s: the new password is not accepted when the change is answered", key.ID)
		}
	}
	done.Store(true)
	all.Wait()
}

func TestPasswordsInSecretsAreRead(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", control.MaxPasswordOctets)
	tests := []struct{ name, text, want string }{ // want empty: refused
		{"the guide's form", `{"password":"hunter2"}`, "hunter2"},
		{"with space", " {\n\"password\" : \"a b\" }\n", "a b"},
		{"of one octet", `{"password":"x"}`, "x"},
		{"with what an SmtpPassword has not", `{"password":"ü\"\\\u0000~"}`, "ü\"\\\x00~"},
		{"the longest", `{"password":"` + long + `"}`, long},
		{"too long", `{"password":"` + long + `x"}`, ""},
		{"empty", `{"password":""}`, ""},
		{"another member beside it", `{"password":"x","user":"y"}`, ""},
		{"another member before it", `{"user":"y","password":"x"}`, ""},
		{"twice", `{"password":"x","password":"x"}`, ""},
		{"another member", `{"Password":"x"}`, ""},
		{"no member", `{}`, ""},
		{"a number", `{"password":12345678}`, ""},
		{"null", `{"password":null}`, ""},
		{"nested", `{"password":{"password":"x"}}`, ""},
		{"a list", `["password","x"]`, ""},
		{"a list in it", `{"password":["x"]}`, ""},
		{"bare text", `hunter2`, ""},
		{"a string", `"hunter2"`, ""},
		{"nothing", ``, ""},
		{"cut off", `{"password":"x"`, ""},
		{"something behind it", `{"password":"x"} x`, ""},
		{"another object behind it", `{"password":"x"}{}`, ""},
		{"a comma behind it", `{"password":"x",}`, ""},
		{"no colon", `{"password" "x"}`, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, ok := control.PasswordIn(test.text)
			if ok != (test.want != "") || ok && got != test.want {
				t.Errorf("got %q, %v, want %q", got, ok, test.want)
			}
		})
	}
}

func FuzzPasswordIn(f *testing.F) {
	for _, seed := range []string{`{"password":"x"}`, `{"password":"x","a":1}`, `{"password":"ü"}`, `[`, `{"password":{}}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, secret string) {
		got, ok := control.PasswordIn(secret)
		if !ok {
			return
		}
		if got == "" || len(got) > control.MaxPasswordOctets {
			t.Fatalf("got %d octets", len(got))
		}
		if again, ok := control.PasswordIn(text(t, map[string]string{"password": got})); !ok || again != got {
			t.Fatalf("got %q, %v, want %q", again, ok, got)
		}
	})
}

func BenchmarkCheckPassword(b *testing.B) {
	p := newPlane(b)
	inPoint := p.authPoint("point", passwordConfiguration(password))
	inSecret := p.authPoint("secret", secretConfiguration(p.passwordSecret("s", `{"password":"correct-horse-1"}`)))
	point := func(key control.Key) *control.IngressPoint {
		found, _ := p.IngressPoint(key)
		return found
	}
	benchmarks := []struct {
		name  string
		point *control.IngressPoint
		text  string
	}{
		{"point", point(inPoint), string(password)},
		{"secret", point(inSecret), string(password)},
		{"wrong", point(inPoint), "correct-horse-2"},
		{"unknown", nil, string(password)},
		{"long", point(inPoint), strings.Repeat("x", 1<<20)},
	}
	for _, bench := range benchmarks {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			want := slices.Contains([]string{"point", "secret"}, bench.name)
			for b.Loop() {
				if p.CheckPassword(bench.point, bench.text).OK != want {
					b.Fatal("got another answer")
				}
			}
		})
	}
}
