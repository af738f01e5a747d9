package control

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/internal/addresslist"
)

// registerMetrics shows what address lists take, of all accounts together.
func (c *Control) registerMetrics(registerer prometheus.Registerer) error {
	if registerer == nil {
		return nil
	}
	gauge := func(name, help string, of func(*addresslist.List) int64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 {
			sum := int64(0)
			for l := range c.lists.all() {
				sum += of(l)
			}
			return float64(sum)
		})
	}
	for _, m := range []prometheus.Collector{
		gauge("mailmanager_address_list_members", "Members of all address lists.", func(l *addresslist.List) int64 { return int64(l.Len()) }),
		gauge("mailmanager_address_list_octets", "Memory that all address lists take.", (*addresslist.List).Octets),
	} {
		if err := registerer.Register(m); err != nil {
			return fmt.Errorf("register the metrics of address lists: %w", err)
		}
	}
	return nil
}
