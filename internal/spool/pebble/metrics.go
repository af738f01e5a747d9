package pebble

import (
	"github.com/prometheus/client_golang/prometheus"
)

// metrics are what the spool counts. Lanes are summed up by kind: their names are without number.
type metrics struct {
	spool      *Spool
	registerer prometheus.Registerer // nil: nobody looks
	commit     prometheus.Histogram
	slow       prometheus.Counter
	stalls     prometheus.Counter
	corrupt    prometheus.Counter
	items      *prometheus.Desc
	octets     *prometheus.Desc
	memory     *prometheus.Desc
	short      *prometheus.Desc
}

func newMetrics(s *Spool) *metrics {
	return &metrics{
		spool: s,
		commit: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "mailmanager_spool_commit_seconds", Help: "How long it took to make a message durable.",
			Buckets: prometheus.ExponentialBuckets(0.00025, 2, 16),
		}),
		slow: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "mailmanager_spool_slow_commits_total", Help: "Messages taken back because the disk took too long.",
		}),
		stalls: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "mailmanager_spool_write_stalls_total", Help: "How often writers had to wait for a flush or compaction.",
		}),
		corrupt: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "mailmanager_spool_corrupt_total", Help: "Items and files that could not be read.",
		}),
		items:  prometheus.NewDesc("mailmanager_spool_items", "Items in the lanes of a kind.", []string{"kind"}, nil),
		octets: prometheus.NewDesc("mailmanager_spool_octets", "Content that items in the lanes of a kind stand for.", []string{"kind"}, nil),
		memory: prometheus.NewDesc("mailmanager_spool_memory_octets", "Content held in memory.", nil, nil),
		short:  prometheus.NewDesc("mailmanager_spool_disk_short", "1 while the disk has less free space than its reserve.", nil, nil),
	}
}

// register shows the metrics of an open spool to a registerer, if there is one.
func (m *metrics) register(registerer prometheus.Registerer) error {
	m.registerer = registerer
	if registerer == nil {
		return nil
	}
	return registerer.Register(m)
}

// unregister lets another spool be opened with the same registry.
func (m *metrics) unregister() {
	if m.registerer != nil {
		m.registerer.Unregister(m)
	}
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(descs chan<- *prometheus.Desc) {
	for _, c := range m.own() {
		c.Describe(descs)
	}
	for _, desc := range []*prometheus.Desc{m.items, m.octets, m.memory, m.short} {
		descs <- desc
	}
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(values chan<- prometheus.Metric) {
	for _, c := range m.own() {
		c.Collect(values)
	}
	gauge := func(desc *prometheus.Desc, value float64, labels ...string) {
		values <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
	}
	gauge(m.memory, float64(m.spool.budget.Used()))
	short := 0.0
	if _, is := m.spool.Short(); is {
		short = 1
	}
	gauge(m.short, short)
	for kind, sum := range m.spool.state.sums() {
		gauge(m.items, float64(sum.items), kind)
		gauge(m.octets, float64(sum.octets), kind)
	}
}

func (m *metrics) own() []prometheus.Collector {
	return []prometheus.Collector{m.commit, m.slow, m.stalls, m.corrupt}
}

// sum is what is in the lanes of a kind.
type sum struct {
	items  int
	octets int64
}

func (st *state) sums() map[string]sum {
	st.mu.Lock()
	defer st.mu.Unlock()
	sums := map[string]sum{}
	for _, l := range st.lanes {
		of := sums[l.name.Kind()]
		sums[l.name.Kind()] = sum{of.items + l.items, of.octets + l.octets}
	}
	return sums
}
