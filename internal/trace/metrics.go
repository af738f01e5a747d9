package trace

import "github.com/prometheus/client_golang/prometheus"

// Why events are dropped.
const (
	dropBuffer = "buffer" // the writer did not keep up, or the log is closed
	dropDisk   = "disk"   // writing failed
	dropEvent  = "event"  // too large
)

// metrics are what the log counts.
type metrics struct {
	registerer prometheus.Registerer // nil: nobody looks
	written    prometheus.Counter
	drops      *prometheus.CounterVec
	byReason   map[string]prometheus.Counter
	octets     prometheus.Gauge
}

func newMetrics() *metrics {
	m := &metrics{
		written: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "mailmanager_trace_events_total", Help: "Trace events written.",
		}),
		drops: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "mailmanager_trace_dropped_total", Help: "Trace events dropped, by reason.",
		}, []string{"reason"}),
		byReason: map[string]prometheus.Counter{},
		octets: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "mailmanager_trace_octets", Help: "Trace on disk when its files were last looked at.",
		}),
	}
	for _, reason := range [...]string{dropBuffer, dropDisk, dropEvent} {
		m.byReason[reason] = m.drops.WithLabelValues(reason)
	}
	return m
}

func (m *metrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.written, m.drops, m.octets}
}

func (m *metrics) register(registerer prometheus.Registerer) error {
	m.registerer = registerer
	if registerer == nil {
		return nil
	}
	for _, c := range m.collectors() {
		if err := registerer.Register(c); err != nil {
			return err
		}
	}
	return nil
}

// unregister lets another log be opened with the same registry.
func (m *metrics) unregister() {
	if m.registerer == nil {
		return
	}
	for _, c := range m.collectors() {
		m.registerer.Unregister(c)
	}
}

func (m *metrics) dropped(reason string, events int) { m.byReason[reason].Add(float64(events)) }
