package telemetry

import (
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// wellNamed leaves out the few metrics of the libraries that "promtool check
// metrics" objects to, since their names tell the type. One of them repeats a
// summary, the others count native histograms.
type wellNamed struct{ prometheus.Gatherer }

// Gather implements prometheus.Gatherer.
func (g wellNamed) Gather() ([]*dto.MetricFamily, error) {
	families, err := g.Gatherer.Gather()
	return slices.DeleteFunc(families, func(f *dto.MetricFamily) bool {
		return strings.Contains(f.GetName(), "_histogram_")
	}), err
}
