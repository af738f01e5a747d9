package control

import (
	"errors"

	"sluice/internal/mailmanager"
	"sluice/internal/match"
)

// ErrNoListener is why Sockets cannot open a point: the configuration has no listener of a name. Of a private point that is
// AWS's ASSOCIATED_VPC_ENDPOINT_DOES_NOT_EXIST, and of others FAILED.
var ErrNoListener = errors.New("is not in the configuration")

// networkOf is the network configuration that is stored: AWS always shows one (Mail Manager, A10).
func networkOf(asked *mailmanager.NetworkConfiguration) mailmanager.NetworkConfiguration {
	if asked != nil {
		return *asked
	}
	return mailmanager.NetworkConfiguration{
		PublicNetworkConfiguration: &mailmanager.PublicNetworkConfiguration{IpType: mailmanager.Ptr(mailmanager.IpTypeIpv4)},
	}
}

func (p *pointRecord) private() bool { return p.Network.PrivateNetworkConfiguration != nil }

// endpoint is the VPC endpoint of a private point, which names a listener of the configuration; of others it is empty.
func (p *pointRecord) endpoint() string {
	return string(mailmanager.Value(mailmanager.Value(p.Network.PrivateNetworkConfiguration).VpcEndpointId))
}

// pooled reports whether the point has an address of the pool, if no tag puts it on listeners. Private points of earlier
// versions have one, and keep it for life.
func (p *pointRecord) pooled() bool { return !p.private() || p.PoolAddress != "" }

// dualStack reports whether the point takes IPv6 clients. Of a private point the addresses of its listener decide, as at AWS
// those of the VPC endpoint do.
func (p *pointRecord) dualStack() bool {
	public := p.Network.PublicNetworkConfiguration
	return !p.pooled() || public != nil && mailmanager.Value(public.IpType) == mailmanager.IpTypeDualStack
}

// listenersOf are the names of the listeners that a point is on: those that its tag names, else that of its VPC endpoint; none:
// the pool.
func listenersOf(tags pointTags, endpoint, poolAddress string) []string {
	if len(tags.listeners) > 0 || endpoint == "" || poolAddress != "" {
		return tags.listeners
	}
	return []string{endpoint}
}

// checkEndpoint refuses a private point that nothing of the configuration stands for, and in aws-strict one whose VPC endpoint
// has a point already: there one endpoint has one point (Mail Manager, section 2.1). The caller holds c.defaults until the
// point is visible.
func (c *Control) checkEndpoint(scope Scope, p *pointRecord, tags pointTags) error {
	if !p.private() {
		return nil
	}
	endpoint := p.endpoint()
	if len(tags.listeners) == 0 && !c.cfg.Sockets.HasListener(endpoint) {
		return match.Invalid("networkConfiguration.privateNetworkConfiguration.vpcEndpointId",
			"Member must name a listener that the server is configured with: [listeners."+endpoint+"] in its configuration")
	}
	if !c.cfg.Profiles.Strict(scope.Account) {
		return nil
	}
	for other := range c.Points() {
		if other.Scope == scope && other.endpoint == endpoint {
			return mailmanager.Errorf(mailmanager.CodeConflict, "The VPC endpoint %s is that of the ingress point %s", endpoint, other.ID)
		}
	}
	return nil
}

// failed is the point after an attempt to open its sockets that failed.
func (p *pointRecord) failed(why error) {
	p.Status, p.Reason = mailmanager.IngressPointStatusFailed, why.Error()
	if p.private() && errors.Is(why, ErrNoListener) {
		p.Status = mailmanager.IngressPointStatusAssociatedVpcEndpointDoesNotExist
	}
}

// HasFailed reports whether an ingress point of that status could not be opened. It is tried again and again (Mail Manager, B19).
func HasFailed(s mailmanager.IngressPointStatus) bool {
	return s == mailmanager.IngressPointStatusFailed || s == mailmanager.IngressPointStatusAssociatedVpcEndpointDoesNotExist
}
