package control

import (
	"errors"

	"sluice/internal/mailmanager"
	"sluice/internal/match"
	"sluice/internal/trust"
)

// Where a request has its trust store, and what is in it.
const (
	trustStorePath = "ingressPointConfiguration.tlsAuthConfiguration.trustStore"
	caMember       = trustStorePath + ".cAContent"
	crlMember      = trustStorePath + ".crlContent"
)

// compileTrust compiles a trust store. The error is a ValidationException on the member that is to blame, and does not repeat
// what is in it.
func compileTrust(t *mailmanager.TrustStore) (*trust.Store, error) {
	store, err := trust.Compile(string(mailmanager.Value(t.CAContent)), string(mailmanager.Value(t.CrlContent)))
	switch {
	case errors.Is(err, trust.ErrCrlContent):
		return nil, match.Invalid(crlMember, "Member must be one or more certificate revocation lists, of its CAs, in PEM form: "+err.Error())
	case err != nil:
		return nil, match.Invalid(caMember, "Member must be one or more certificates of CAs in PEM form: "+err.Error())
	}
	return store, nil
}
