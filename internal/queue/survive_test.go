package queue

import (
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sluice/internal/spool"
)

// manyWaiting is how many items are deferred, and how many held, in TestS31ClockJump.
const manyWaiting = 1000

// waitingAndHeld is an executor that defers what it has in lane relay and holds what it has in lane process.
func waitingAndHeld(attempts *moments) map[string]Executor {
	executors := failing(attempts)
	executors["process"] = holding["process"]
	return executors
}

// S31: whether the wall clock steps ten years ahead or back, while the queue runs or between two starts of it, 1,000 items that
// are deferred and 1,000 that are held are all there still, and the next attempts are spread as they would have been. After that
// somebody sets the clock right, and everything goes on. Over a restart under a clock that is ahead all are due at once: the
// lane's concurrency is what bounds those attempts.
func TestS31ClockJump(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		step    time.Duration
		restart bool
	}{
		{"ten years ahead", decade, false},
		{"ten years back", -decade, false},
		{"ten years ahead, over a restart", decade, true},
		{"ten years back, over a restart", -decade, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newJump(t)
				if tt.restart {
					s.stop()
				}
				s.wall.step.Store(int64(tt.step))
				if tt.restart {
					s.restart(waitingAndHeld(&s.attempts), s.change)
				}
				s.wait(45*time.Minute, tt.restart)
				s.wall.step.Store(0)
				s.wait(70*time.Minute, false)
			})
		})
	}
}

// jump is a queue whose clock is about to step.
type jump struct {
	*rig
	wall     wall
	attempts moments
}

// newJump has everything that waits, 35 minutes after its acceptance: attempts at 0, 1, 3, 7, 15 and 31 minutes, the next at 63.
func newJump(t *testing.T) *jump {
	s := &jump{}
	s.rig = newRig(t, waitingAndHeld(&s.attempts), s.change)
	for range manyWaiting {
		s.accept(relayLane, "")
		s.accept(spool.LaneProcess, "")
	}
	s.q.Notify(relayLane)
	s.q.Notify(spool.LaneProcess)
	time.Sleep(35 * time.Minute)
	synctest.Wait()
	return s
}

func (s *jump) change(c *Config) {
	s.wall.set(c)
	var mu sync.Mutex
	chance := rand.New(rand.NewPCG(3, 1))
	c.Random = func() float64 {
		mu.Lock()
		defer mu.Unlock()
		return chance.Float64()
	}
}

// wait lets time pass and finds everything where it was. Attempts are made, and unless the queue has just begun no more than
// a fifth of the items is tried within the same minute.
func (s *jump) wait(d time.Duration, begun bool) {
	s.Helper()
	before := len(s.attempts.all())
	from := time.Now()
	time.Sleep(d)
	synctest.Wait()
	if waiting, held := len(s.items(relayLane)), len(s.items(resting)); waiting != manyWaiting || held != manyWaiting {
		s.Errorf("%d items wait and %d are held, want %d each", waiting, held, manyWaiting)
	}
	made := s.attempts.all()[before:]
	if n := len(made); n < manyWaiting || n > 2*manyWaiting {
		s.Errorf("%d attempts in %v, want one or two for each item", n, d)
	}
	if begun {
		made = slices.DeleteFunc(made, func(at time.Time) bool { return at.Sub(from) < 30*time.Minute })
	}
	perMinute := map[int]int{}
	for _, at := range made {
		perMinute[int(at.Sub(from)/time.Minute)]++
	}
	for minute, n := range perMinute {
		if n > manyWaiting/5 {
			s.Errorf("%d attempts in minute %d after the step", n, minute)
		}
	}
}
