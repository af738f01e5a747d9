package ingress

import "github.com/prometheus/client_golang/prometheus"

// metrics are counted for the whole server; what belongs to one point is in its traces (Mail Manager, F20).
type metrics struct {
	accepted   prometheus.Counter
	octets     prometheus.Counter
	denied     prometheus.Counter
	refused    *prometheus.CounterVec
	cannotTell prometheus.Counter
	handedOver prometheus.Counter
	locked     prometheus.Counter
	logins     map[bool]prometheus.Counter // by whether they succeeded
}

func newMetrics(r prometheus.Registerer) metrics {
	m := metrics{
		accepted:   prometheus.NewCounter(prometheus.CounterOpts{Name: "mailmanager_messages_accepted_total", Help: "Messages answered with 250."}),
		octets:     prometheus.NewCounter(prometheus.CounterOpts{Name: "mailmanager_accepted_octets_total", Help: "Octets of content of accepted messages."}),
		denied:     prometheus.NewCounter(prometheus.CounterOpts{Name: "mailmanager_recipients_denied_total", Help: "Recipients denied by a traffic policy."}),
		refused:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "mailmanager_refusals_total", Help: "Refused connections, commands and messages by reason."}, []string{"reason"}),
		cannotTell: prometheus.NewCounter(prometheus.CounterOpts{Name: "mailmanager_condition_cannot_tell_total", Help: "Policy conditions that could not be told."}),
		handedOver: prometheus.NewCounter(prometheus.CounterOpts{Name: "mailmanager_handed_over_total", Help: "Accepted messages handed to processing in memory."}),
	}
	m.locked = prometheus.NewCounter(prometheus.CounterOpts{Name: "mailmanager_logins_locked_total", Help: "Authentications that were refused unseen, because too many had failed."})
	logins := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "mailmanager_logins_total", Help: "Authentications by outcome."}, []string{"outcome"})
	m.logins = map[bool]prometheus.Counter{true: logins.WithLabelValues("succeeded"), false: logins.WithLabelValues("failed")}
	if r != nil {
		r.MustRegister(m.locked, logins, m.accepted, m.octets, m.denied, m.refused, m.cannotTell, m.handedOver)
	}
	return m
}
