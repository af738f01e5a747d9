package records

import "github.com/prometheus/client_golang/prometheus"

// Why records are dropped.
const (
	dropQueue  = "queue"  // the writer does not keep up, or the log is closed
	dropWrite  = "write"  // writing failed
	dropEncode = "encode" // the record has no JSON
)

// metrics are what the log counts.
type metrics struct {
	written prometheus.Counter
	dropped *prometheus.CounterVec
}

func newMetrics() metrics {
	m := metrics{
		written: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "mailmanager_log_records_written_total", Help: "Log records written.",
		}),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "mailmanager_log_records_dropped_total", Help: "Log records dropped, by reason.",
		}, []string{"reason"}),
	}
	for _, reason := range [...]string{dropQueue, dropWrite, dropEncode} {
		m.dropped.WithLabelValues(reason) // so that a zero is seen
	}
	return m
}

func (m *metrics) register(r prometheus.Registerer) error {
	if r == nil {
		return nil
	}
	for _, c := range [...]prometheus.Collector{m.written, m.dropped} {
		if err := r.Register(c); err != nil {
			return err
		}
	}
	return nil
}

func (m *metrics) drop(reason string, records int) {
	m.dropped.WithLabelValues(reason).Add(float64(records))
}
