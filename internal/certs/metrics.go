package certs

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the failures to load, and the ends of what is in use, which are asked for when somebody looks.
type metrics struct {
	certificates *Certificates
	failures     prometheus.Counter
	expiry       *prometheus.Desc
}

func newMetrics(c *Certificates) *metrics {
	return &metrics{
		certificates: c,
		failures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "mailmanager_certificate_load_failures_total", Help: "Attempts to load a certificate of SMTP that failed."}),
		expiry: prometheus.NewDesc("mailmanager_certificate_expiry_seconds",
			"Time until a certificate of SMTP ends, by its first name; of several with that name the earliest.", []string{"name"}, nil),
	}
}

func (m *metrics) register(registerer prometheus.Registerer) error {
	if registerer == nil {
		return nil
	}
	if err := registerer.Register(m); err != nil {
		return fmt.Errorf("register the metrics of certificates: %w", err)
	}
	return nil
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(out chan<- *prometheus.Desc) {
	m.failures.Describe(out)
	out <- m.expiry
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(out chan<- prometheus.Metric) {
	m.failures.Collect(out)
	seconds := map[string]float64{}
	for _, certificate := range m.certificates.table.Load().all {
		name := certificate.Leaf.Subject.CommonName
		if names := certificate.Leaf.DNSNames; len(names) > 0 {
			name = names[0]
		}
		left := certificate.Leaf.NotAfter.Sub(m.certificates.now()).Seconds()
		if earlier, ok := seconds[name]; ok {
			left = min(left, earlier)
		}
		seconds[name] = left
	}
	for name, left := range seconds {
		out <- prometheus.MustNewConstMetric(m.expiry, prometheus.GaugeValue, left, name)
	}
}
