package queue

import (
	"github.com/prometheus/client_golang/prometheus"

	"sluice/internal/spool"
)

// metrics are the counters of a Queue.
type metrics struct {
	steps         *prometheus.CounterVec
	items         *prometheus.GaugeVec
	itemOctets    *prometheus.GaugeVec
	settleRetries prometheus.Counter
	lost          prometheus.Counter
	discarded     prometheus.Counter
}

// kindMetrics are the counters of one kind of lane, looked up once.
type kindMetrics map[outcome]prometheus.Counter

func (k kindMetrics) count(o outcome) { k[o].Inc() }

// newMetrics publishes the counters when there is a registerer.
func newMetrics(r prometheus.Registerer, q *Queue) *metrics {
	m := &metrics{
		steps: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "mailmanager_queue_steps_total", Help: "Steps that ended, by kind of lane and outcome.",
		}, []string{"kind", "outcome"}),
		items: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "mailmanager_queue_items", Help: "Items in the spool, by kind of lane.",
		}, []string{"kind"}),
		itemOctets: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "mailmanager_queue_octets", Help: "Content of the items in the spool, by kind of lane.",
		}, []string{"kind"}),
		settleRetries: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "mailmanager_queue_settle_retries_total", Help: "Settlements that the spool did not take and that were tried again.",
		}),
		lost: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "mailmanager_queue_results_lost_total", Help: "Results of steps that were discarded, mostly for a lost lease.",
		}),
		discarded: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "mailmanager_queue_held_discarded_total", Help: "Held items that were discarded after the holding time.",
		}),
	}
	if r != nil {
		r.MustRegister(m.steps, m.items, m.itemOctets, m.settleRetries, m.lost, m.discarded)
		r.MustRegister(m.gauges(q)...)
	}
	return m
}

// gauges are read when they are asked for.
func (m *metrics) gauges(q *Queue) []prometheus.Collector {
	gauge := func(name, help string, read func() int) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 {
			q.mu.Lock()
			defer q.mu.Unlock()
			return float64(read())
		})
	}
	return []prometheus.Collector{
		gauge("mailmanager_queue_ready_items", "Items in memory that wait for a worker.", func() int { return q.ready }),
		gauge("mailmanager_queue_running_steps", "Steps that are running.", func() int { return q.running }),
		gauge("mailmanager_queue_unsettled_steps", "Steps that ended and are not settled yet.", func() int { return q.unsettled }),
		gauge("mailmanager_queue_memory_octets", "Content that lanes hold in memory.", func() int { return int(q.octets) }),
		gauge("mailmanager_queue_lanes_waiting", "Lanes that wait because their target cannot be reached.", q.lanesWaiting),
	}
}

func (q *Queue) lanesWaiting() int {
	n := 0
	for _, l := range q.lanes {
		if l.state == stateWaiting {
			n++
		}
	}
	return n
}

// of looks the counters of a kind of lane up.
func (m *metrics) of(kind string) kindMetrics {
	counters := kindMetrics{}
	for _, o := range []outcome{
		outcomeDone, outcomeDeferred, outcomeHeld, outcomeExpired, outcomeUnreachable, outcomeCrashed, outcomeReturned,
	} {
		counters[o] = m.steps.WithLabelValues(kind, string(o))
	}
	return counters
}

// observe publishes what the spool holds.
func (m *metrics) observe(stats []spool.LaneStat) {
	items, octets := map[string]int{}, map[string]int64{}
	for i := range stats {
		kind := stats[i].Lane.Kind()
		items[kind] += stats[i].Items
		octets[kind] += stats[i].Octets
	}
	m.items.Reset()
	m.itemOctets.Reset()
	for kind := range items {
		m.items.WithLabelValues(kind).Set(float64(items[kind]))
		m.itemOctets.WithLabelValues(kind).Set(float64(octets[kind]))
	}
}
