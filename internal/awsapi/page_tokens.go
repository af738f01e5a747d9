package awsapi

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"time"

	"sluice/internal/mailmanager"
)

// Limits of page tokens.
const (
	// pageTokenLifetime is how long a list can be continued. Beyond it a token is stale (Mail Manager, A2).
	pageTokenLifetime = 24 * time.Hour
	// maxPageTokenCharacters is the model's limit of NextToken.
	maxPageTokenCharacters = 2048
	// pageTokenFormat is the first octet of every token.
	pageTokenFormat byte = 1
)

// PageTokens seals list positions into opaque tokens and opens them again. A token is encrypted and authenticated
// (AES-GCM), so that callers can neither read nor make one, and bound to a scope: account, region, operation, and
// whatever else selects the list. Safe for concurrent use.
type PageTokens struct {
	aead cipher.AEAD
	now  func() time.Time
}

// NewPageTokens returns PageTokens under a key of 32 octets. A nil now is time.Now. All servers of an installation need
// the same key, for as long as tokens live.
func NewPageTokens(key []byte, now func() time.Time) (*PageTokens, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("set up page tokens: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("set up page tokens: %w", err)
	}
	if now == nil {
		now = time.Now
	}
	return &PageTokens{aead: aead, now: now}, nil
}

// Seal returns the token of a position within the scope: at most 2048 characters for a position of up to 1,400 octets.
// It panics when the position is longer: positions are ours, and short.
func (p *PageTokens) Seal(position []byte, scope ...string) string {
	plain := binary.BigEndian.AppendUint64(nil, uint64(p.now().Unix()))
	token := p.aead.Seal([]byte{pageTokenFormat}, nil, append(plain, position...), associated(scope))
	text := base64.RawURLEncoding.EncodeToString(token)
	if len(text) > maxPageTokenCharacters {
		panic(fmt.Sprintf("page position of %d octets", len(position)))
	}
	return text
}

// Open returns the position of a token that Seal made for the same scope. The error for any other token, and for one
// that is older than a day, is CodeValidation.
func (p *PageTokens) Open(token string, scope ...string) (position []byte, err error) {
	sealed, err := base64.RawURLEncoding.DecodeString(token)
	// A token has one spelling: the decoder passes over line ends and spare bits.
	if err != nil || base64.RawURLEncoding.EncodeToString(sealed) != token || len(sealed) == 0 || sealed[0] != pageTokenFormat {
		return nil, errPageToken()
	}
	plain, err := p.aead.Open(nil, nil, sealed[1:], associated(scope))
	if err != nil || len(plain) < 8 {
		return nil, errPageToken()
	}
	issued := time.Unix(int64(binary.BigEndian.Uint64(plain)), 0)
	if p.now().Sub(issued) > pageTokenLifetime {
		return nil, errPageToken()
	}
	return plain[8:], nil
}

func errPageToken() error {
	return mailmanager.Errorf(mailmanager.CodeValidation,
		"1 validation error detected: Value at 'nextToken' failed to satisfy constraint: Member must be a token of this list, not older than a day")
}

// associated joins the scope so that no two scopes look alike.
func associated(scope []string) []byte {
	var data []byte
	for _, part := range scope {
		data = binary.BigEndian.AppendUint32(data, uint32(len(part)))
		data = append(data, part...)
	}
	return data
}
