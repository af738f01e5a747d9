package queue

import "time"

// A meter counts over the last minute, in steps of 5 seconds.
const (
	meterStep  time.Duration = 5 * time.Second
	meterSteps int64         = 12
)

// meter says how many events there are in a second, over the last minute. The zero meter has counted nothing.
type meter struct {
	counts [meterSteps]uint32
	last   int64 // the step that was counted in last
}

// add counts an event.
func (m *meter) add(now time.Time) {
	m.advance(now)
	m.counts[m.last%meterSteps]++
}

// rate is events in a second.
func (m *meter) rate(now time.Time) float64 {
	m.advance(now)
	var sum uint32
	for _, n := range m.counts {
		sum += n
	}
	return float64(sum) / (time.Duration(meterSteps) * meterStep).Seconds()
}

// advance forgets what is older than a minute. A clock that steps back is waited for.
func (m *meter) advance(now time.Time) {
	step := now.UnixNano() / int64(meterStep)
	if m.last < step-meterSteps {
		m.counts, m.last = [meterSteps]uint32{}, step
	}
	for m.last < step {
		m.last++
		m.counts[m.last%meterSteps] = 0
	}
}
