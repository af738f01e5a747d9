package awsapi

import (
	"io"
	"net/http"
	"time"

	"golang.org/x/sync/semaphore"

	"sluice/internal/mailmanager"
)

// Limits of request bodies.
const (
	// maxBodyOctets is the largest body: the largest legal rule set fits (Mail Manager, A29).
	maxBodyOctets = 34 << 20
	// bodiesOctets is how much memory all bodies that are being read or worked on may take. The signature of a body can
	// only be checked when it is whole, so strangers that know an access key id can take part of it, for bodyTimeout.
	bodiesOctets = 4 * maxBodyOctets
	// firstBodyOctets is the buffer a body begins with; it doubles from there, whatever length was announced (S35).
	firstBodyOctets = 8 << 10
	// bodyTimeout is how long a body may take to arrive (S11).
	bodyTimeout = time.Minute
)

// bodyBudget bounds the memory of bodies. It refuses rather than waits: what holds the budget may wait for it, too.
type bodyBudget struct{ octets *semaphore.Weighted }

func newBodyBudget() *bodyBudget { return &bodyBudget{semaphore.NewWeighted(bodiesOctets)} }

// read reads the body of a request. release gives its memory back and is called once, when the body is not used any
// more; with an error it is nil.
func (b *bodyBudget) read(w http.ResponseWriter, r *http.Request) (body []byte, release func(), err error) {
	if r.ContentLength > maxBodyOctets {
		return nil, nil, errBodyTooLarge
	}
	// A test's ResponseWriter may have no deadlines.
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(bodyTimeout))
	defer func() { _ = control.SetReadDeadline(time.Time{}) }()

	var held int64
	release = func() { b.octets.Release(held) }
	for err == nil {
		if len(body) == cap(body) {
			larger := int64(min(max(2*cap(body), firstBodyOctets), maxBodyOctets+1))
			if !b.octets.TryAcquire(larger) {
				release()
				return nil, nil, mailmanager.Errorf(mailmanager.CodeUnavailable, "Too many large requests at once; try again.")
			}
			body = append(make([]byte, 0, larger), body...)
			release()
			held = larger
		}
		var n int
		n, err = r.Body.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		if len(body) > maxBodyOctets {
			err = errBodyTooLarge
		}
	}
	if err == io.EOF {
		return body, release, nil
	}
	release()
	if err != errBodyTooLarge {
		err = malformed("the body did not arrive whole")
	}
	return nil, nil, err
}

var errBodyTooLarge = malformed("the body is larger than 34 MiB")
