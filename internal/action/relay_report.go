package action

import (
	"github.com/prometheus/client_golang/prometheus"

	"sluice/internal/smtp"
	"sluice/internal/trace"
)

// The status of an attempt in a trace. Mail Manager, E5.
const (
	statusSuccess    = "SUCCESS"
	statusFailure    = "FAILURE"
	statusInProgress = "IN_PROGRESS"
)

// attempt is the trace of the attempt that ends now, with a place for each recipient's reply.
func (w *relayWorker) attempt(d *delivery, status string) trace.Attempt {
	a := trace.Attempt{
		Target:     d.target.String(),
		Status:     status,
		TLS:        w.tls,
		Recipients: make([]trace.Reply, len(d.Recipients)),
	}
	for i := range d.Recipients {
		a.Recipients[i].Recipient = d.Recipients[i].Path.Received
	}
	if !d.began.IsZero() {
		a.Took = w.Now().Sub(d.began)
	}
	return a
}

// relayMetrics counts what relaying does. Labels are resolved once.
type relayMetrics struct {
	open                          prometheus.Gauge
	connected, refused, broken    prometheus.Counter
	delivered, deferred, rejected prometheus.Counter
}

func newRelayMetrics(to prometheus.Registerer) relayMetrics {
	open := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "mailmanager_relay_connections",
		Help: "Open connections to relays.",
	})
	connections := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "mailmanager_relay_connections_total",
		Help: "Connections to relays: made, not made, broken while in use.",
	}, []string{"result"})
	recipients := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "mailmanager_relay_recipients_total",
		Help: "Recipients of relayed messages by what the relay answered, for each attempt.",
	}, []string{"result"})
	if to != nil {
		to.MustRegister(open, connections, recipients)
	}
	return relayMetrics{
		open:      open,
		connected: connections.WithLabelValues("connected"),
		refused:   connections.WithLabelValues("refused"),
		broken:    connections.WithLabelValues("broken"),
		delivered: recipients.WithLabelValues("delivered"),
		deferred:  recipients.WithLabelValues("deferred"),
		rejected:  recipients.WithLabelValues("failed"),
	}
}

// count counts a recipient's reply.
func (m *relayMetrics) count(reply *smtp.Reply) {
	switch {
	case reply.Permanent():
		m.rejected.Inc()
	case reply.Transient():
		m.deferred.Inc()
	default:
		m.delivered.Inc()
	}
}
