package pebble

import (
	"fmt"
	"math"
	"sync"
	"time"

	"sluice/internal/message"
	"sluice/internal/spool"
)

// state is what the spool knows in memory: its lanes, who has claimed what, and the messages that claimed items belong
// to. The data directory has one owner process, so leases need not be on disk: after a start nothing is claimed. The
// lock is never held while the disk is waited for.
type state struct {
	mu      sync.Mutex
	settled *sync.Cond // a settlement has ended, or a reservation
	window  window     // of lanes
	lanes   map[spool.Lane]*lane
	leases  map[spool.ItemKey]*lease
	owners  map[string]*owner
	flights map[message.ID]*flight
}

// lease is a claimed item, or one that is being written.
type lease struct {
	at      order
	lane    *lane
	flight  *flight
	owner   *owner // nil: being written, nobody's yet
	until   int64  // see end
	renewal uint32 // of the owner's renewals, the last before this lease
	busy    bool   // a settlement that takes the item out, or brings it in, is being written

	reserved bool // ClaimItems looks the item up; lane, flight and all of at but the key are not known yet
}

// owner has claimed items.
type owner struct {
	held     int
	until    int64 // given by the last renewal
	renewals uint32
	earliest int64 // no lease ends before
	lost     bool  // a lease was lost since the last renewal
}

// flight is a message with claimed items.
type flight struct {
	id       message.ID
	message  *spool.Message // nil until it is read
	streamed bool           // how its content lies
	leases   int
	items    int       // how many items it has
	counted  bool      // items says so
	settling *settling // the call of Settle that is writing a settlement of the message
}

// unknownItems stands for so many that a message whose items cannot be counted is never deleted.
const unknownItems = math.MaxInt32

func newState() *state {
	st := &state{
		window:  defaultWindow(),
		lanes:   map[spool.Lane]*lane{},
		leases:  map[spool.ItemKey]*lease{},
		owners:  map[string]*owner{},
		flights: map[message.ID]*flight{},
	}
	st.settled = sync.NewCond(&st.mu)
	return st
}

// end is when the lease ends: as given, or as its owner's renewal after that says.
func (l *lease) end() int64 {
	if l.owner.renewals != l.renewal {
		return l.owner.until
	}
	return l.until
}

// add changes how many items the message has. They cannot be counted any more once they changed uncounted.
func (f *flight) add(n int) {
	if !f.counted {
		f.items, f.counted = unknownItems, true
	}
	f.items += n
}

// record is the message, or as much as is known of one that cannot be read.
func (f *flight) record() *spool.Message {
	if f.message == nil {
		return &spool.Message{ID: f.id}
	}
	return f.message
}

// size is the octets that the item counts for in its lane.
func (f *flight) size() int64 {
	if f.message == nil {
		return 0
	}
	return max(0, f.message.Size)
}

// laneOf returns a lane, which nothing on disk belongs to if it is new.
func (st *state) laneOf(name spool.Lane) *lane {
	l := st.lanes[name]
	if l == nil {
		l = &lane{name: name, window: st.window, end: true}
		st.lanes[name] = l
	}
	return l
}

// drop forgets a lane with nothing in it.
func (st *state) drop(l *lane) {
	if l.items == 0 && l.coming == 0 && l.touched == nil && st.lanes[l.name] == l {
		delete(st.lanes, l.name)
	}
}

func (st *state) flightOf(id message.ID) *flight {
	f := st.flights[id]
	if f == nil {
		f = &flight{id: id}
		st.flights[id] = f
	}
	return f
}

// hold makes a lease, nobody's yet, of an item of a message.
func (st *state) hold(l *lane, at order, f *flight) *lease {
	held := &lease{at: at, lane: l, flight: f}
	f.leases++
	st.leases[at.key()] = held
	return held
}

// claim gives a lease to an owner.
func (st *state) claim(l *lease, name string, until int64) {
	o := st.owners[name]
	if o == nil {
		o = &owner{earliest: math.MaxInt64}
		st.owners[name] = o
	}
	o.held++
	o.earliest = min(o.earliest, until)
	l.owner, l.until, l.renewal = o, until, o.renewals
}

// hand gives a lease that is nobody's to an owner, or gives the item back to its lane when there is none.
func (st *state) hand(l *lease, name string, until int64) {
	if name == "" {
		st.release(l)
		return
	}
	st.claim(l, name, until)
}

// forget ends a lease.
func (st *state) forget(l *lease) {
	delete(st.leases, l.at.key())
	if l.owner != nil {
		l.owner.held--
	}
	if l.flight.leases--; l.flight.leases == 0 {
		delete(st.flights, l.flight.id)
	}
}

// release ends the lease of an item that stays in its lane.
func (st *state) release(l *lease) {
	st.forget(l)
	l.lane.offer(l.at)
}

// arrive counts an item that was coming and is in its lane now, enter one that is in it all at once, and leave one that went.
func (st *state) arrive(l *lane, f *flight) {
	l.coming--
	st.enter(l, f)
}

func (st *state) enter(l *lane, f *flight) {
	l.items++
	l.octets += f.size()
}

func (st *state) leave(l *lane, at order, f *flight) {
	l.items--
	l.octets -= f.size()
	l.gone(at)
	st.drop(l)
}

// miss forgets an item that was coming and will not.
func (st *state) miss(l *lane, at order) {
	l.coming--
	l.gone(at)
	st.drop(l)
}

// expire takes from others than claimer what ended by now.
func (st *state) expire(claimer string, now int64) {
	for name, o := range st.owners {
		if name == claimer || o.earliest > now {
			continue
		}
		if o.held == 0 && !o.lost {
			delete(st.owners, name)
			continue
		}
		o.earliest = math.MaxInt64
		for _, l := range st.leases {
			if l.owner != o || l.busy {
				continue
			}
			if end := l.end(); end > now {
				o.earliest = min(o.earliest, end)
				continue
			}
			o.lost = true
			st.release(l)
		}
	}
}

// renew extends the leases of an owner and says whether it lost one since it did so last.
func (st *state) renew(name string, until time.Time) (lost bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	o := st.owners[name]
	if o == nil {
		return false
	}
	lost, o.lost = o.lost, false
	o.until, o.earliest = nanos(until), nanos(until)
	o.renewals++
	return lost
}

// giveBack releases an owner's claimed items.
func (st *state) giveBack(name string, keys []spool.ItemKey) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	var err error
	for _, key := range keys {
		l, lost := st.owned(name, key)
		if lost != nil {
			err = fmt.Errorf("release: %w", lost)
			continue
		}
		st.release(l)
	}
	return err
}

// owned returns the lease that an owner has of an item, or ErrLeaseLost.
func (st *state) owned(name string, key spool.ItemKey) (*lease, error) {
	l := st.leases[key]
	if l == nil || l.owner == nil || l.owner != st.owners[name] || l.busy {
		return nil, fmt.Errorf("item %s/%d: %w", key.Message, key.Seq, spool.ErrLeaseLost)
	}
	return l, nil
}
