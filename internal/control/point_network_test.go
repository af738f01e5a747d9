package control_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/conform"
	"sluice/internal/control"
	"sluice/internal/mailmanager"
	"sluice/internal/store"
)

const noEndpoint = mailmanager.IngressPointStatusAssociatedVpcEndpointDoesNotExist

func (p *plane) privateRequest(name string) *mailmanager.CreateIngressPointRequest {
	p.Helper()
	in := p.pointRequest(name)
	private(in)
	return in
}

func (p *plane) listenersOf(id string) []string {
	p.Helper()
	point, ok := p.IngressPoint(control.Key{Scope: home, ID: id})
	if !ok {
		p.Fatalf("there is no ingress point %s", id)
	}
	return point.Listeners
}

// A private point is on the listener with the name of its VPC endpoint, or where its tag puts it. Mail Manager, B19.
func TestPrivatePointsAreOnTheListenerOfTheirEndpoint(t *testing.T) {
	conform.Check(t, "B19")
	t.Parallel()
	p := newPlane(t)
	id := p.createPoint(p.privateRequest("inside"))
	arn := arnOf("mailmanager-ingress-point/" + id)
	want := []string{endpoint}
	for _, change := range []func() error{
		func() error { return nil },
		func() error { want = []string{"mx"}; return p.tag(arn, "sluice:listener", "mx") },
		func() error { return p.rename(id, "within") },
		func() error { want = []string{endpoint}; return p.untag(arn, "sluice:listener") },
	} {
		if err := change(); err != nil {
			t.Fatal(err)
		}
		p.Quiet()
		p.wantStatus(id, active)
		got := p.getPoint(id)
		if diff := cmp.Diff(want, got.Listeners); diff != "" || got.ARecord != nil {
			t.Errorf("reached at (-want +got):\n%s with the host name %v, want none", diff, got.ARecord)
		}
		if diff := cmp.Diff(want, p.listenersOf(id)); diff != "" {
			t.Errorf("the snapshot (-want +got):\n%s", diff)
		}
	}
	list := do[mailmanager.ListIngressPointsResponse](p, "ListIngressPoints", &mailmanager.ListIngressPointsRequest{}).IngressPoints
	if len(list) != 1 || list[0].ARecord != nil {
		t.Errorf("list: got %s, want no host name", text(t, list))
	}
}

func TestPrivatePointRefusals(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	p.sockets.set(func(s *sockets) { s.listeners = []string{"mx"} })
	in := p.privateRequest("inside")
	wantCode(t, p.refused(home, "CreateIngressPoint", in), mailmanager.CodeValidation, "vpcEndpointId", "[listeners."+endpoint+"]")
	in.Tags = tags("sluice:listener", endpoint)
	wantCode(t, p.refused(home, "CreateIngressPoint", in), mailmanager.CodeValidation, "sluice:listener")
	in.Tags = tags("sluice:listener", "mx") // the tag says where it is
	p.createPoint(in)

	op := operationNamed("CreateIngressPoint").Input
	for _, wrong := range []mailmanager.VpcEndpointId{"", "mx", "vpce-0123456789abcdef", "vpce-0123456789abcdef01", "vpce-0123456789abcde_0"} {
		in.NetworkConfiguration.PrivateNetworkConfiguration.VpcEndpointId = &wrong
		wantCode(t, mailmanager.Validate(op, in), mailmanager.CodeValidation, "vpcEndpointId")
	}
	both := p.privateRequest("both")
	both.NetworkConfiguration.PublicNetworkConfiguration = &mailmanager.PublicNetworkConfiguration{IpType: ptr(mailmanager.IpTypeIpv4)}
	wantCode(t, mailmanager.Validate(op, both), mailmanager.CodeValidation, "networkConfiguration")
	both.NetworkConfiguration = &mailmanager.NetworkConfiguration{PublicNetworkConfiguration: &mailmanager.PublicNetworkConfiguration{IpType: ptr(mailmanager.IpType("IPV6"))}}
	wantCode(t, mailmanager.Validate(op, both), mailmanager.CodeValidation, "ipType")
}

// Mail Manager, section 2.1: at AWS one VPC endpoint has one point. Otherwise they share it, with one default.
func TestPointsOfOneEndpoint(t *testing.T) {
	t.Parallel()
	strict := newPlane(t, profile(true))
	first := strict.createPoint(strict.privateRequest("one"))
	wantCode(t, strict.refused(home, "CreateIngressPoint", strict.privateRequest("two")), mailmanager.CodeConflict, endpoint, first)
	in, _ := strict.strangersPoint(stranger, "theirs") // who is told nothing of others (S36)
	private(in)
	if _, err := strict.call(stranger, "CreateIngressPoint", in); err != nil {
		t.Error(err)
	}
	strict.Quiet()
	do[mailmanager.DeleteIngressPointResponse](strict, "DeleteIngressPoint", &mailmanager.DeleteIngressPointRequest{IngressPointId: (*mailmanager.IngressPointId)(&first)})
	strict.Quiet()
	strict.createPoint(strict.privateRequest("three"))

	p := newPlane(t)
	one := p.privateRequest("one")
	one.Tags = tags("sluice:default", "true")
	p.createPoint(one)
	two := p.createPoint(p.privateRequest("two"))
	three := p.privateRequest("three")
	three.Tags = one.Tags
	wantCode(t, p.refused(home, "CreateIngressPoint", three), mailmanager.CodeConflict, "default")
	wantCode(t, p.tag(arnOf("mailmanager-ingress-point/"+two), "sluice:default", "true"), mailmanager.CodeConflict, "default")
	three.Tags = tags("sluice:default", "true", "sluice:listener", endpoint)
	wantCode(t, p.refused(home, "CreateIngressPoint", three), mailmanager.CodeConflict, "default")
}

// A private point whose listener leaves the configuration does not move to the pool, which may be public: it is down, says why,
// and comes back with the listener.
func TestEndpointsThatLeaveTheConfiguration(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	id, tagged := p.createPoint(p.privateRequest("inside")), p.point("tagged")
	if err := p.tag(arnOf("mailmanager-ingress-point/"+tagged), "sluice:listener", "mx"); err != nil {
		t.Fatal(err)
	}
	p.Quiet()
	p.restart()
	p.sockets.set(func(s *sockets) { s.listeners = nil })
	p.Start(t.Context())
	p.Quiet()
	p.wantStatus(id, noEndpoint)
	p.wantStatus(tagged, failed)
	if got := p.getPoint(id); *got.StatusReason != `listener "`+endpoint+`" is not in the configuration` || got.Listeners != nil {
		t.Errorf("got %s", text(t, got))
	}
	wantCode(t, p.rename(id, "renamed"), mailmanager.CodeConflict, string(noEndpoint))
	p.sockets.set(func(s *sockets) { s.listeners = []string{"mx"} })
	arn := arnOf("mailmanager-ingress-point/" + id)
	if err := p.tag(arn, "sluice:listener", "mx"); err != nil { // mends it
		t.Fatal(err)
	}
	p.Quiet()
	p.wantStatus(id, active)
	if err := p.untag(arn, "sluice:listener"); err != nil {
		t.Fatal(err)
	}
	p.Quiet()
	p.wantStatus(id, noEndpoint)
	do[mailmanager.DeleteIngressPointResponse](p, "DeleteIngressPoint", &mailmanager.DeleteIngressPointRequest{IngressPointId: (*mailmanager.IngressPointId)(&id)})
	p.Quiet()
	wantCode(t, p.refused(home, "GetIngressPoint", &mailmanager.GetIngressPointRequest{IngressPointId: (*mailmanager.IngressPointId)(&id)}), mailmanager.CodeResourceNotFound)
}

// Private points of earlier versions have an address of the pool, whatever their endpoint: they keep it for life, and what they take.
func TestPrivatePointsOfThePoolStayThere(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	id := p.createPoint(p.privateRequest("inside"))
	r, err := p.config.Store.Get(t.Context(), store.Key{Scope: home, Kind: "ingress-point", ID: id})
	if err != nil {
		t.Fatal(err)
	}
	r.Body = append(r.Body[:len(r.Body)-1], `,"PoolAddress":"127.0.0.1:2599"}`...)
	if err := p.config.Store.Update(t.Context(), store.Change{Resource: r}); err != nil {
		t.Fatal(err)
	}
	p.restart()
	p.sockets.set(func(s *sockets) { s.listeners = nil })
	p.Start(t.Context())
	p.Quiet()
	p.wantStatus(id, active)
	if err := p.rename(id, "within"); err != nil {
		t.Error(err)
	}
	p.Quiet()
	point, _ := p.IngressPoint(control.Key{Scope: home, ID: id})
	if len(point.Listeners) > 0 || point.PoolAddress != "127.0.0.1:2599" || point.DualStack {
		t.Errorf("got %+v", point)
	}
}

// The key of a trust store is kept and shown with its contents (Mail Manager, A25).
func TestTrustStoresHaveTheirKey(t *testing.T) {
	t.Parallel()
	ca, _ := authority(t)
	p := newPlane(t)
	config := trustStore(ca, "")
	key := ptr(mailmanager.KmsKeyArn("arn:aws:kms:eu-west-1:111111111111:key/1234abcd"))
	config.TlsAuthConfiguration.TrustStore.KmsKeyArn = key
	id := p.createPoint(p.mtlsRequest("front", config))
	get := func(option mailmanager.TrustStoreResponseOption) *mailmanager.TlsAuthConfiguration {
		in := &mailmanager.GetIngressPointRequest{IngressPointId: (*mailmanager.IngressPointId)(&id), IncludeTrustStoreContents: &option}
		return do[mailmanager.GetIngressPointResponse](p, "GetIngressPoint", in).IngressPointAuthConfiguration.TlsAuthConfiguration
	}
	for range 2 {
		if diff := cmp.Diff(config.TlsAuthConfiguration, get(mailmanager.TrustStoreResponseOptionInclude)); diff != "" {
			t.Errorf("with its contents (-want +got):\n%s", diff)
		}
		if got := get(mailmanager.TrustStoreResponseOptionExclude); got.TrustStore != nil {
			t.Errorf("without: got %s", text(t, got))
		}
		p.restart()
	}
	in := p.mtlsRequest("other", config)
	for _, wrong := range []mailmanager.KmsKeyArn{"", "1234abcd", "arn:aws:kms:eu-west-1:1:key/1234abcd", "arn:aws:iam:eu-west-1:111111111111:key/x"} {
		config.TlsAuthConfiguration.TrustStore.KmsKeyArn = &wrong
		wantCode(t, mailmanager.Validate(operationNamed("CreateIngressPoint").Input, in), mailmanager.CodeValidation, "kmsKeyArn")
	}
}
