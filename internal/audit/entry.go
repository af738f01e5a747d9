// Package audit keeps a line of JSON for every call of the API: who, what, from where, with which outcome. It takes entries
// without waiting for the disk, and bounds what it keeps: a full disk, or a flood of calls, loses entries, which are
// counted, and never stops the API (S18). No body is ever in an entry, and so no secret (S40). Start with Open.
package audit

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"time"
)

// Entry is what became of one call. Its fields are those of awsapi.Entry.
type Entry struct {
	Time        time.Time
	RequestID   string
	Operation   string
	Resources   []string
	Account     string
	Region      string
	Principal   string // empty: nobody was recognised
	AccessKeyID string // without a Principal, what the call claimed
	Address     string // host:port
	UserAgent   string
	Code        string
	Status      int
	Duration    time.Duration
}

// Limits of a line.
const (
	// maxResources is how many resources an entry names; of more it says how many there are.
	maxResources = 20
	// maxResourceOctets is how much of each.
	maxResourceOctets = 1024
	// maxUserAgentOctets is how much of what a client calls itself.
	maxUserAgentOctets = 256
)

// line is an entry as it is written. Fields are added, and keep their meaning.
type line struct {
	Time          time.Time `json:"time"`
	RequestID     string    `json:"request_id"`
	Operation     string    `json:"operation"`
	Resources     []string  `json:"resources,omitempty"`
	MoreResources int       `json:"more_resources,omitempty"`
	Account       string    `json:"account,omitempty"`
	Region        string    `json:"region,omitempty"`
	Principal     string    `json:"principal,omitempty"`
	AccessKeyID   string    `json:"access_key_id,omitempty"`
	Verified      bool      `json:"verified"` // the call was signed with that key
	Source        string    `json:"source"`
	UserAgent     string    `json:"user_agent,omitempty"`
	Outcome       string    `json:"outcome"`
	Status        int       `json:"status"`
	Microseconds  int64     `json:"duration_us"`
}

// encode is an entry as a line. JSON escapes what could end it or be taken for something else.
func encode(e *Entry) ([]byte, error) {
	l := line{
		Time: e.Time.UTC(), RequestID: e.RequestID, Operation: e.Operation, Account: e.Account, Region: e.Region,
		Principal: e.Principal, AccessKeyID: e.AccessKeyID, Verified: e.Principal != "", Source: host(e.Address),
		UserAgent: e.UserAgent[:min(len(e.UserAgent), maxUserAgentOctets)], Outcome: e.Code, Status: e.Status, Microseconds: e.Duration.Microseconds(),
	}
	for i, resource := range e.Resources {
		if i == maxResources {
			l.MoreResources = len(e.Resources) - maxResources
			break
		}
		l.Resources = append(l.Resources, resource[:min(len(resource), maxResourceOctets)])
	}
	text, err := json.Marshal(l)
	if err != nil {
		return nil, fmt.Errorf("encode an audit entry: %w", err)
	}
	return append(text, '\n'), nil
}

// host is the address without the port.
func host(address string) string {
	if at, err := netip.ParseAddrPort(address); err == nil {
		return at.Addr().Unmap().String()
	}
	return address
}
