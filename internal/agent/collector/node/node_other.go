//go:build !linux

package node

import (
	"errors"
	"fmt"
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
)

// Supported tells whether New can succeed on this system.
const Supported = false

// Collectors lists the collectors that there are: none.
func Collectors() []Info { return nil }

// New returns an error that says so.
func New(Options) (prometheus.Gatherer, error) {
	return nil, fmt.Errorf("the node collectors are for Linux, not for %s: %w", runtime.GOOS, errors.ErrUnsupported)
}
