package container

import (
	"bytes"
	"cmp"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"go.uber.org/zap"

	"github.com/gometheus/gometheus/internal/agent/hostfile"
)

// maxInterfaces is how many are told of one container.
const maxInterfaces = 32

// netInterface is one line of /proc/PID/net/dev.
type netInterface struct {
	name                                    string
	rxBytes, rxPackets, rxErrors, rxDropped float64
	txBytes, txPackets, txErrors, txDropped float64
}

// networkLocked adds the interfaces to one container of each network namespace that
// isn't the machine's.
//
// Namespaces are told apart by the identity of their file /proc/PID/net/dev, which
// the kernel makes for each: unlike the links in /proc/PID/ns it needs no rights.
func (c *Collector) networkLocked(all []*stats) {
	path := func(pid string) string { return filepath.Join(c.root, "proc", pid, "net/dev") }
	seen := make(map[hostfile.ID]bool)
	for _, own := range []string{"1", "self"} {
		// In a container "self" is another namespace than the machine's, and is one to be told.
		if id, _, _, err := hostfile.Stat(path(own)); err == nil {
			seen[id] = true
			break
		}
	}
	if len(seen) == 0 {
		return // no /proc at all
	}
	oldest := slices.Clone(all)
	slices.SortStableFunc(oldest, func(a, b *stats) int { return cmp.Compare(a.start, b.start) })
	for _, s := range oldest {
		if s.pid == 0 {
			continue
		}
		file := path(strconv.Itoa(s.pid))
		id, _, _, err := hostfile.Stat(file)
		if err == nil && !seen[id] {
			seen[id] = true
			c.buf, err = hostfile.Read(file, c.buf)
			if err == nil {
				s.interfaces = parseNetDev(c.buf)
			}
		}
		if errors.Is(err, fs.ErrPermission) {
			c.sayLocked("the network of containers is left out: it needs root or the containers' own user", zap.Error(err))
		}
	}
}

// parseNetDev leaves out what cAdvisor leaves out: the loopback, and the ends of
// other containers' networks.
func parseNetDev(b []byte) (out []netInterface) {
	for line := range bytes.Lines(b) {
		name, rest, ok := strings.Cut(string(line), ":")
		name = strings.TrimSpace(name)
		if !ok || name == "" || name == "lo" || strings.HasPrefix(name, "veth") || strings.HasPrefix(name, "docker") {
			continue
		}
		words := strings.Fields(rest)
		if len(words) < 16 || len(out) == maxInterfaces {
			continue
		}
		name = clean(name)
		if slices.ContainsFunc(out, func(i netInterface) bool { return i.name == name }) {
			continue // two names that aren't text
		}
		at := func(i int) float64 { return number([]byte(words[i])) }
		out = append(out, netInterface{
			name:    name,
			rxBytes: at(0), rxPackets: at(1), rxErrors: at(2), rxDropped: at(3),
			txBytes: at(8), txPackets: at(9), txErrors: at(10), txDropped: at(11),
		})
	}
	return out
}
