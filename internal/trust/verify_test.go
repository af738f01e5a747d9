package trust

import (
	"crypto/x509"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"
)

func anyName(c *x509.Certificate) { c.DNSNames = []string{"client.example"} }

// Who is let in, and why not. Mail Manager, section 2.3; Mail Manager, B6.
func TestVerify(t *testing.T) {
	t.Parallel()
	root, other := newCA(t, "root"), newCA(t, "other")
	gone, later := newCA(t, "gone", expired), newCA(t, "later", notYetValid)
	stale := newCA(t, "stale") // whose list is expired
	foreign := newCA(t, "foreign")
	issuing := root.ca(t, "issuing", serial(20))
	deep := issuing.ca(t, "deep", serial(20))
	revoked := root.ca(t, "revoked", serial(21))
	lapsed := root.ca(t, "lapsed", serial(22), expired)
	inBundle := root.ca(t, "in bundle", serial(23))
	servers := root.ca(t, "servers", serial(24), usage(x509.ExtKeyUsageServerAuth))
	noCA := root.client(t, "no CA", serial(25))
	staleList := stale.list(t, x509.RevocationList{ThisUpdate: epoch.Add(-2 * day), NextUpdate: epoch.Add(-time.Second)})
	s := compile(t, bundle(root, other, gone, later, stale, inBundle), root.revokes(t, 7, 21, 23)+staleList)
	critical := extended(extension(true, "\x05\x00", 1, 2, 3))
	tests := []struct {
		name string
		in   []*x509.Certificate
		want error
	}{
		{"of a CA", chain(root.client(t, "a", serial(6))), nil},
		{"of a CA without a list", chain(other.client(t, "a", serial(7))), nil},
		{"with its CA", chain(root.client(t, "a", serial(6)), root), nil},
		{"of a CA below", chain(issuing.client(t, "a", serial(7)), issuing), nil},
		{"with certificates that are not needed", chain(root.client(t, "a", serial(6)), foreign, lapsed), nil},
		{"of a CA two below, in any order", chain(deep.client(t, "a"), foreign, issuing, deep), nil},
		{"for any use", chain(root.client(t, "a", serial(6), usage(x509.ExtKeyUsageAny))), nil},
		{"for no use in particular", chain(root.client(t, "a", serial(6), usage())), nil},
		{"for servers and clients", chain(root.client(t, "a", serial(6), usage(x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth))), nil},
		{"with names", chain(root.client(t, "a", serial(6), anyName)), nil},

		{"none", nil, ErrNoCertificate},
		{"expired", chain(root.client(t, "a", serial(6), expired)), ErrExpired},
		{"not yet valid", chain(root.client(t, "a", serial(6), notYetValid)), ErrExpired},
		{"expired a moment ago", chain(root.client(t, "a", serial(6), validUntil(epoch.Add(-time.Second)))), ErrExpired},
		{"expired and revoked", chain(root.client(t, "a", serial(7), expired)), ErrExpired},
		{"of an expired CA below", chain(lapsed.client(t, "a"), lapsed), ErrExpired},
		{"foreign", chain(foreign.client(t, "a")), ErrUnknownAuthority},
		{"foreign, with its CA", chain(foreign.client(t, "a"), foreign), ErrUnknownAuthority},
		{"self-signed", chain(newCA(t, "self")), ErrUnknownAuthority},
		{"of a namesake", chain(newCA(t, "root").client(t, "a", serial(6))), ErrUnknownAuthority},
		{"of a namesake, with the CA", chain(newCA(t, "root").client(t, "a", serial(6)), root), ErrUnknownAuthority},
		{"of a CA two below, with a gap", chain(deep.client(t, "a"), deep), ErrUnknownAuthority},
		{"of a CA below that is missing", chain(issuing.client(t, "a")), ErrUnknownAuthority},
		{"revoked", chain(root.client(t, "a", serial(7))), ErrRevoked},
		{"revoked, with its CA", chain(root.client(t, "a", serial(7)), root), ErrRevoked},
		{"of a revoked CA below", chain(revoked.client(t, "a"), revoked), ErrRevoked},
		{"of a revoked CA in the bundle", chain(inBundle.client(t, "a")), ErrRevoked},
		{"of a revoked CA in the bundle that is presented", chain(inBundle.client(t, "a"), inBundle), ErrRevoked},
		{"of a CA with an expired list", chain(stale.client(t, "a")), ErrRevocationListExpired},
		{"of a CA with an expired list, with its CA", chain(stale.client(t, "a"), stale), ErrRevocationListExpired},
		{"of a CA with an expired list, by way of another", chain(stale.client(t, "a"), root.cross(t, stale, serial(30))), ErrRevocationListExpired},
		{"of an expired CA", chain(gone.client(t, "a")), ErrAuthorityExpired},
		{"of an expired CA, with its CA", chain(gone.client(t, "a"), gone), ErrAuthorityExpired},
		{"of a CA that is not yet valid", chain(later.client(t, "a")), ErrAuthorityExpired},
		{"for servers", chain(root.client(t, "a", serial(6), usage(x509.ExtKeyUsageServerAuth))), ErrUnsuitable},
		{"of a CA for servers", chain(servers.client(t, "a"), servers), ErrUnsuitable},
		{"with an unknown demand", chain(root.client(t, "a", serial(6), critical)), ErrUnsuitable},
		{"of a client", chain(noCA.client(t, "a"), noCA), ErrUnknownAuthority},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if err := s.Verify(tt.in, epoch); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

// Why a CA does not count is told of the CAs below it, too.
func TestBelowAnExpiredAuthority(t *testing.T) {
	t.Parallel()
	gone := newCA(t, "gone", expired)
	below := gone.ca(t, "below")
	s := compile(t, bundle(newCA(t, "root"), gone), "")
	if err := s.Verify(chain(below.client(t, "a"), below), epoch); !errors.Is(err, ErrAuthorityExpired) {
		t.Errorf("got %v, want %v", err, ErrAuthorityExpired)
	}
}

// A renewed CA is one issuer with its predecessor: its clients stay, and so do its revocations.
func TestRenewedAuthority(t *testing.T) {
	t.Parallel()
	before := newCA(t, "ca", expired)
	after := before.renew(t, serial(2))
	s := compile(t, bundle(before, after), before.revokes(t, 7))
	if err := s.Verify(chain(before.client(t, "a", serial(6))), epoch); err != nil {
		t.Errorf("got %v", err)
	}
	if err := s.Verify(chain(before.client(t, "a", serial(7))), epoch); !errors.Is(err, ErrRevoked) {
		t.Errorf("got %v, want %v", err, ErrRevoked)
	}
}

// With two paths to a CA one that is good is enough, but a list counts on every path that its issuer is on.
func TestTwoPaths(t *testing.T) {
	t.Parallel()
	a, b := newCA(t, "a"), newCA(t, "b")
	issuing := a.ca(t, "issuing", serial(20))
	again := b.cross(t, issuing, serial(21))
	client := issuing.client(t, "client", serial(7))
	presented := chain(client, issuing, again)
	tests := []struct {
		name, crl string
		want      error
	}{
		{"no list", "", nil},
		{"one path revoked", a.revokes(t, 20), nil},
		{"the other revoked", b.revokes(t, 21), nil},
		{"both revoked", a.revokes(t, 20) + b.revokes(t, 21), ErrRevoked},
		{"numbers of the other", a.revokes(t, 21) + b.revokes(t, 20), nil},
	}
	for _, tt := range tests {
		if err := compile(t, bundle(a, b), tt.crl).Verify(presented, epoch); !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, err, tt.want)
		}
	}
	all := compile(t, bundle(a, b, issuing), issuing.revokes(t, 7))
	if err := all.Verify(presented, epoch); !errors.Is(err, ErrRevoked) {
		t.Errorf("got %v for a client that is revoked on every path", err)
	}
}

// Alternative names of kinds that crypto/x509 does not read may be critical.
func TestCriticalNames(t *testing.T) {
	t.Parallel()
	root := newCA(t, "root")
	s := compile(t, bundle(root), "")
	only := root.client(t, "a", extended(names4(true, registeredID)))
	if len(only.UnhandledCriticalExtensions) == 0 {
		t.Fatal("crypto/x509 reads the names: withReadNames is not needed any more")
	}
	if err := s.Verify(chain(only), epoch); err != nil {
		t.Errorf("got %v", err)
	}
	if len(only.UnhandledCriticalExtensions) != 1 {
		t.Error("the certificate was changed, which other sessions may have")
	}
	both := root.client(t, "a", extended(names4(true, registeredID), extension(true, "\x05\x00", 1, 2, 3)))
	if err := s.Verify(chain(both), epoch); !errors.Is(err, ErrUnsuitable) {
		t.Errorf("got %v with another demand", err)
	}
}

// A client cannot make us build chains from thousands of certificates.
func TestPresentedCertificatesAreBounded(t *testing.T) {
	t.Parallel()
	root := newCA(t, "root")
	issuing := root.ca(t, "issuing")
	s := compile(t, bundle(root), "")
	client := issuing.client(t, "a")
	for extra, want := range map[int]error{maxIntermediates - 1: nil, maxIntermediates: ErrUnknownAuthority} {
		presented := chain(client)
		for range extra {
			presented = append(presented, root.Certificate)
		}
		if err := s.Verify(append(presented, issuing.Certificate), epoch); !errors.Is(err, want) {
			t.Errorf("%d others: got %v, want %v", extra, err, want)
		}
	}
}

// What the store lets in changes with the time alone, at the second, forwards and backwards.
func TestStoreChangesWithTime(t *testing.T) {
	t.Parallel()
	ca := newCA(t, "ca", func(c *x509.Certificate) { c.NotBefore, c.NotAfter = epoch, epoch.Add(10*day) })
	other := newCA(t, "other")
	list := ca.list(t, x509.RevocationList{ThisUpdate: epoch.Add(2 * day), NextUpdate: epoch.Add(5 * day)}, 7)
	s := compile(t, bundle(ca, other), list)
	good, revoked := chain(ca.client(t, "good", serial(6))), chain(ca.client(t, "revoked", serial(7)))
	times := []struct {
		at            time.Duration
		good, revoked error
	}{
		{-time.Second, ErrAuthorityExpired, ErrAuthorityExpired},
		{0, nil, ErrRevoked}, // a list from the future: what it revokes is known
		{5 * day, nil, ErrRevoked},
		{5*day + 1, ErrRevocationListExpired, ErrRevocationListExpired},
		{10 * day, ErrRevocationListExpired, ErrRevocationListExpired},
		{10*day + 1, ErrAuthorityExpired, ErrAuthorityExpired},
		{400 * day, ErrExpired, ErrExpired},
	}
	check := func(i int) {
		now := epoch.Add(times[i].at)
		if err := s.Verify(good, now); !errors.Is(err, times[i].good) {
			t.Errorf("at %v: got %v, want %v", times[i].at, err, times[i].good)
		}
		if err := s.Verify(revoked, now); !errors.Is(err, times[i].revoked) {
			t.Errorf("at %v, revoked: got %v, want %v", times[i].at, err, times[i].revoked)
		}
	}
	for i := range times {
		check(i)
	}
	for i := range times {
		check(len(times) - 1 - i)
	}
}

// A moment is found again until a CA or a list changes, so that a handshake costs one verification.
func TestMomentIsKept(t *testing.T) {
	t.Parallel()
	ca := newCA(t, "ca")
	s := compile(t, bundle(ca), ca.revokes(t))
	begin := s.at(epoch)
	if !begin.from.Equal(ca.NotBefore) || !begin.until.Equal(epoch.AddDate(0, 6, 0).Add(1)) {
		t.Errorf("got a moment from %v until %v", begin.from, begin.until)
	}
	for _, now := range []time.Time{epoch, begin.from, begin.until.Add(-1)} {
		if s.at(now) != begin {
			t.Errorf("made anew at %v", now)
		}
	}
	for _, now := range []time.Time{begin.from.Add(-1), begin.until} {
		if s.at(now) == begin {
			t.Errorf("found at %v", now)
		}
	}
	end := s.at(epoch.AddDate(50, 0, 0))
	if !end.until.IsZero() || s.at(epoch.AddDate(90, 0, 0)) != end {
		t.Errorf("got a last moment until %v", end.until)
	}
}

func TestStoreIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	ca := newCA(t, "ca", validUntil(epoch))
	s := compile(t, bundle(ca), ca.revokes(t, 7))
	client := chain(ca.client(t, "a", serial(6)))
	var workers sync.WaitGroup
	for i := range 8 {
		workers.Go(func() {
			for n := range 50 {
				now, want := epoch, error(nil)
				if (i+n)%2 == 0 {
					now, want = epoch.Add(time.Second), ErrAuthorityExpired
				}
				if err := s.Verify(client, now); !errors.Is(err, want) {
					t.Errorf("got %v, want %v", err, want)
				}
				s.Monitor(now)
			}
		})
	}
	workers.Wait()
}

// BenchmarkVerify is a client of a CA below one of a hundred, which has revoked ten thousand.
func BenchmarkVerify(b *testing.B) {
	var all []party
	for i := range 100 {
		all = append(all, newCA(b, fmt.Sprint("ca", i)))
	}
	serials := make([]int64, 10_000)
	for i := range serials {
		serials[i] = int64(1000 + i)
	}
	s := compile(b, bundle(all...), all[50].revokes(b, serials...))
	issuing := all[50].ca(b, "issuing")
	presented := chain(issuing.client(b, "a"), issuing)
	b.ReportAllocs()
	for b.Loop() {
		if err := s.Verify(presented, epoch); err != nil {
			b.Fatal(err)
		}
	}
}
