package smtpd

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics are what smtpd counts; every label is resolved here, once.
type metrics struct {
	open       prometheus.Gauge
	sessions   prometheus.Counter
	crowded    prometheus.Counter
	octets     prometheus.Counter
	handshakes map[bool]prometheus.Counter      // by whether they succeeded
	commands   map[*verb]*[6]prometheus.Counter // by the first digit of the code
	unknown    *verb
}

// classes are the labels of reply classes by the first digit of the code.
var classes = [6]string{2: "2yz", 3: "3yz", 4: "4yz", 5: "5yz"}

func newMetrics(registerer prometheus.Registerer) *metrics {
	with := promauto.With(registerer)
	m := &metrics{
		open: with.NewGauge(prometheus.GaugeOpts{
			Name: "mailmanager_smtp_sessions_open", Help: "SMTP sessions that are open."}),
		sessions: with.NewCounter(prometheus.CounterOpts{
			Name: "mailmanager_smtp_sessions_total", Help: "SMTP sessions that were begun."}),
		crowded: with.NewCounter(prometheus.CounterOpts{
			Name: "mailmanager_smtp_connections_refused_total", Help: "Connections refused because there were too many."}),
		octets: with.NewCounter(prometheus.CounterOpts{
			Name: "mailmanager_smtp_content_octets_total", Help: "Octets of content received."}),
		commands: make(map[*verb]*[6]prometheus.Counter, len(verbs)),
		unknown:  &verbs[len(verbs)-1],
	}
	handshakes := with.NewCounterVec(prometheus.CounterOpts{
		Name: "mailmanager_smtp_handshakes_total", Help: "TLS handshakes of SMTP clients by outcome."}, []string{"outcome"})
	m.handshakes = map[bool]prometheus.Counter{true: handshakes.WithLabelValues("agreed"), false: handshakes.WithLabelValues("failed")}
	commands := with.NewCounterVec(prometheus.CounterOpts{
		Name: "mailmanager_smtp_commands_total", Help: "SMTP commands by verb and class of the reply."}, []string{"verb", "class"})
	for i := range verbs {
		counters := new([6]prometheus.Counter)
		for digit, class := range classes {
			if class != "" {
				counters[digit] = commands.WithLabelValues(verbs[i].name, class)
			}
		}
		m.commands[&verbs[i]] = counters
	}
	return m
}

// replied counts the reply to a command; v is nil when no command was read.
func (m *metrics) replied(v *verb, code int) {
	if v == nil {
		v = m.unknown
	}
	if digit := code / 100; digit >= 2 && digit <= 5 {
		m.commands[v][digit].Inc()
	}
}
