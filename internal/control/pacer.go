package control

import (
	"context"
	"time"
)

const (
	// restShare is how many times as long as it worked a background duty rests while mail flows: of two cores it then takes a
	// twentieth.
	restShare = 9
	// flowTime is how long after the last message, or step of one, mail is taken to flow.
	flowTime = time.Second
)

// pacer lets a background duty make way for mail. It is used by one goroutine.
type pacer struct {
	traffic func() uint64 // counts what happens to mail; nil: nothing ever does
	seen    uint64
	moved   time.Time // when seen was last another; zero: never
	began   time.Time // of the work that is running
}

// newPacer returns a pacer of work that begins now.
func newPacer(traffic func() uint64) *pacer {
	p := &pacer{traffic: traffic, began: time.Now()}
	if traffic != nil {
		p.seen = traffic()
	}
	return p
}

// lap is called between two pieces of work. While mail flows it rests for a multiple of the time that the last piece took, or
// until ctx ends; the error is that of ctx.
func (p *pacer) lap(ctx context.Context) error {
	if now := time.Now(); p.flows(now) {
		rest := time.NewTimer(now.Sub(p.began) * restShare)
		defer rest.Stop()
		select {
		case <-rest.C:
		case <-ctx.Done():
		}
	}
	p.began = time.Now()
	return ctx.Err()
}

// flows reports whether mail flows.
func (p *pacer) flows(now time.Time) bool {
	if p.traffic == nil {
		return false
	}
	if n := p.traffic(); n != p.seen {
		p.seen, p.moved = n, now
	}
	return !p.moved.IsZero() && now.Sub(p.moved) < flowTime
}
