package trust

import (
	"crypto/x509"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// What a log record shows of a trust store. Mail Manager, section 11.
func TestMonitor(t *testing.T) {
	t.Parallel()
	until := func(name string, days int) party { return newCA(t, name, validUntil(epoch.AddDate(0, 0, days))) }
	fine, near, far := newCA(t, "fine"), until("near", 90), until("far", 91)
	gone, later := newCA(t, "gone", expired), newCA(t, "later", notYetValid)
	unwanted := newCA(t, "unwanted", serial(9))
	list := func(of party, from, to int) string {
		return of.list(t, x509.RevocationList{ThisUpdate: epoch.AddDate(0, 0, from), NextUpdate: epoch.AddDate(0, 0, to)})
	}
	lists := list(fine, -1, 91) + list(near, -1, 89) + list(far, -3, -1) + list(later, 1, 200) + unwanted.revokes(t, 9)
	s := compile(t, bundle(fine, near, far, gone, later, unwanted, near.renew(t, serial(2))), lists)
	ca := func(p party) CA { return CA{"CN=" + p.Subject.CommonName, p.NotBefore, p.NotAfter} }
	crl := func(p party, from, to int) CRL {
		return CRL{"CN=" + p.Subject.CommonName, epoch.AddDate(0, 0, from), epoch.AddDate(0, 0, to)}
	}
	want := Monitoring{
		CAs:  []CA{ca(gone), ca(later), ca(unwanted)},
		CRLs: []CRL{crl(near, -1, 89), crl(far, -3, -1), crl(later, 1, 200)},
	}
	if diff := cmp.Diff(want, s.Monitor(epoch)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	want.CAs = []CA{ca(near), ca(gone), ca(later), ca(unwanted)}
	if diff := cmp.Diff(want.CAs, s.Monitor(epoch.Add(time.Second)).CAs); diff != "" {
		t.Errorf("a second later (-want +got):\n%s", diff)
	}
	if got := compile(t, bundle(fine), "").Monitor(epoch); got.CAs != nil || got.CRLs != nil {
		t.Errorf("got %+v of a store without blemish", got)
	}
}

func TestMonitorIsBounded(t *testing.T) {
	t.Parallel()
	var all []party
	lists := ""
	for i := range maxMonitored + 2 {
		ca := newCA(t, fmt.Sprint("ca", i), expired)
		all = append(all, ca)
		lists += ca.list(t, x509.RevocationList{ThisUpdate: epoch.Add(-2 * day), NextUpdate: epoch.Add(-day)})
	}
	got := compile(t, bundle(all...), lists).Monitor(epoch)
	if len(got.CAs) != maxMonitored || len(got.CRLs) != maxMonitored || got.CAs[0].Subject != "CN=ca0" || got.CRLs[9].Issuer != "CN=ca9" {
		t.Errorf("got %+v", got)
	}
}
