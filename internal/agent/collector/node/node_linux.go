package node

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/client_golang/prometheus"
	upstream "github.com/prometheus/node_exporter/collector"
	"go.uber.org/zap"
	"go.uber.org/zap/exp/zapslog"
)

// Supported tells whether New can succeed on this system.
const Supported = true

const flagPrefix = "collector."

// commandLine guards what upstream keeps for the whole process. Its collectors
// read their settings from the flags of kingpin's global command line, some when
// they are made and some at every gather, and it makes each collector only once:
// there is no other way in, so this package has a variable that changes too. The
// paths are parsed once and never again, for another gather may be reading them.
var commandLine struct {
	mu sync.Mutex
	// parsed are the paths that are set, as flags; nil before.
	parsed []string
}

// Collectors lists the collectors that there are, sorted by name.
func Collectors() []Info {
	var out []Info
	for _, f := range kingpin.CommandLine.Model().Flags {
		name, ok := strings.CutPrefix(f.Name, flagPrefix)
		// "collector.cpu" turns one on; "collector.cpu.info" is a setting of it.
		if !ok || strings.Contains(name, ".") || !f.IsBoolFlag() {
			continue
		}
		out = append(out, Info{Name: name, Default: slices.Equal(f.Default, []string{"true"})})
	}
	slices.SortFunc(out, func(a, b Info) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// New returns what gathers the metrics of the machine.
//
// Within one process all must look at the same Root and TextfileDir; the
// collectors may differ. A collector that is on by default and can't be made is
// logged and left out; one of Enable is an error.
//
// The gatherer may be used by several at once, who then wait for each other. It
// returns what there is: its error is not nil only when there is nothing.
func New(o Options) (prometheus.Gatherer, error) {
	if o.Root == "" {
		o.Root = "/"
	}
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	chosen, err := choose(o)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(o.Root, "proc", "stat")); err != nil && !o.TextfileOnly {
		return nil, fmt.Errorf("HOST_ROOT %s has no proc of Linux: %w", o.Root, err)
	}

	commandLine.mu.Lock()
	defer commandLine.mu.Unlock()
	if err := parse(paths(o)); err != nil {
		return nil, err
	}
	t := newTroubles(o.Log)
	log := slog.New(&handler{next: zapslog.NewHandler(o.Log.Core()), troubles: t})
	var sources []*source
	for _, name := range slices.Sorted(maps.Keys(chosen)) {
		c, err := build(name, log)
		switch {
		case err == nil:
			sources = append(sources, &source{name: name, collector: c})
		case slices.Contains(o.Enable, name):
			return nil, fmt.Errorf("NODE_ENABLE: start the collector %s: %w", name, err)
		default:
			o.Log.Warn("node collector can't start and is left out", zap.String("collector", name), zap.Error(err))
		}
	}
	t.made()
	return newGatherer(sources, o.Timeout, t)
}

// choose is which collectors run.
func choose(o Options) (map[string]bool, error) {
	if o.TextfileOnly {
		return map[string]bool{"textfile": true}, nil
	}
	known, chosen := map[string]bool{}, map[string]bool{}
	for _, c := range Collectors() {
		known[c.Name] = true
		if c.Default {
			chosen[c.Name] = true
		}
	}
	check := func(setting string, names []string) error {
		for _, name := range names {
			if !known[name] {
				return fmt.Errorf("%s: there is no collector %q; there are %s",
					setting, name, strings.Join(slices.Sorted(maps.Keys(known)), ", "))
			}
		}
		return nil
	}
	if err := errors.Join(check("NODE_ENABLE", o.Enable), check("NODE_DISABLE", o.Disable)); err != nil {
		return nil, err
	}
	for _, name := range o.Enable {
		if slices.Contains(o.Disable, name) {
			return nil, fmt.Errorf("NODE_ENABLE and NODE_DISABLE both name the collector %q", name)
		}
		chosen[name] = true
	}
	for _, name := range o.Disable {
		delete(chosen, name)
	}
	return chosen, nil
}

// paths are the flags of where the collectors look.
func paths(o Options) []string {
	args := []string{
		"--path.rootfs=" + filepath.Clean(o.Root),
		"--path.procfs=" + filepath.Join(o.Root, "proc"),
		"--path.sysfs=" + filepath.Join(o.Root, "sys"),
		"--path.udev.data=" + filepath.Join(o.Root, "run", "udev", "data"),
	}
	if o.TextfileDir != "" {
		args = append(args, "--collector.textfile.directory="+o.TextfileDir)
	}
	return args
}

// parse sets the paths, and all else as upstream has it, the first time. The
// caller holds commandLine.mu.
func parse(args []string) error {
	if commandLine.parsed != nil {
		if !slices.Equal(args, commandLine.parsed) {
			return fmt.Errorf("HOST_ROOT and TEXTFILE_DIR are one for the whole process: it has %s already, not %s",
				strings.Join(commandLine.parsed, " "), strings.Join(args, " "))
		}
		return nil
	}
	// A library must neither write to the terminal nor end the program.
	quiet := kingpin.CommandLine.Terminate(nil).Writer(io.Discard)
	if _, err := quiet.Parse(args); err != nil {
		return fmt.Errorf("set node_exporter's flags: %w", err)
	}
	commandLine.parsed = args
	return nil
}

// build makes a collector, or finds the one that was made. The caller holds
// commandLine.mu.
func build(name string, log *slog.Logger) (upstream.Collector, error) {
	// Upstream makes only what is on. It looks at the flag nowhere else.
	flag := kingpin.CommandLine.GetFlag(flagPrefix + name).Model()
	if err := flag.Value.Set(strconv.FormatBool(true)); err != nil {
		return nil, fmt.Errorf("set --%s: %w", flag.Name, err)
	}
	one, err := upstream.NewNodeCollector(log, name)
	if err != nil {
		return nil, err
	}
	return one.Collectors[name], nil
}
