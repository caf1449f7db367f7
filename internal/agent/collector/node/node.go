// Package node gathers what node_exporter gathers, under its names: it embeds
// node_exporter's own collectors, so that dashboards and alert rules for node_*
// work as they are.
//
// Not all of node_exporter is here: its flags, apart from which collectors run
// and where they look, keep its defaults; node_exporter_build_info is left out,
// since neither the well-known dashboards nor the rules ask for it, and it would
// claim a program that doesn't run.
//
// # What can't harm a gather
//
// Upstream waits for all of its collectors, and a call into a file server that is
// away doesn't come back. Its filesystem collector notes a mount that is silent
// for 5 s and passes it over from then on (node_filesystem_device_error is 1), but
// the gather that met it waits until the mount answers. So here each collector
// has a timeout: one that exceeds it is left running, and costs only its own
// metrics; see gatherer. A panic costs no more than that either, unless it is in
// a goroutine of the collector's own.
//
// # Trouble
//
// A collector that fails is logged when it begins to and when that is over, not at
// every gather; that there is no such hardware is no failure. What needs more
// rights than the process has says so once.
//
// Upstream compiles for few systems without a C compiler, and offers little there;
// only Linux is supported.
package node

import (
	"time"

	"go.uber.org/zap"
)

// DefaultTimeout is what one collector may take. It is longer than what upstream's
// filesystem collector grants a mount, and shorter than the usual interval.
const DefaultTimeout = 10 * time.Second

// Options says what is gathered.
type Options struct {
	// Enable are collectors beyond those that are on by default, Disable those that
	// are not to run. Collectors lists their names.
	Enable, Disable []string
	// TextfileOnly runs the textfile collector and no other.
	TextfileOnly bool
	// Root is where the file system of the machine lies; empty means "/". Below it
	// are proc, sys and run/udev/data.
	Root string
	// TextfileDir holds *.prom files whose metrics are added; it may be a glob
	// pattern. Empty means none.
	TextfileDir string
	// Timeout is what each collector may take for one gather; 0 means DefaultTimeout.
	Timeout time.Duration
	// Log hears of trouble. What the collectors themselves have to say goes to the
	// log of the New that first asked for them.
	Log *zap.Logger
}

// Info is a collector that there is.
type Info struct {
	Name string
	// Default tells whether it runs unless it is disabled.
	Default bool
}
