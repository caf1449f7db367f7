package process

import (
	"bytes"
	"os"
	"strings"

	"go.uber.org/zap"

	"github.com/gometheus/gometheus/internal/agent/hostfile"
)

const (
	// commLimit is where the kernel cuts a name.
	commLimit = 15
	// nameLimit is the longest name of a file.
	nameLimit = 255
	// cmdlineLimit is the longest label cmdline, in bytes.
	cmdlineLimit = 256
)

// keyOf says to which group a process belongs.
func (c *Collector) keyOf(p *proc) key {
	name := p.comm
	switch {
	case p.kernel:
		name, _, _ = strings.Cut(name, "/")
		return key{name: unnamed(hostfile.Clean(name, nameLimit))}
	case len(name) == commLimit:
		name = c.fullName(p)
	}
	k := key{name: unnamed(hostfile.Clean(name, nameLimit))}
	if c.commandLine {
		k.cmdline = c.cmdlineOf(p)
	}
	return k
}

// unnamed stands in for a name that the program made empty: an empty label is none.
func unnamed(name string) string {
	if name == "" {
		return "(unnamed)"
	}
	return name
}

// fullName completes a name that the kernel may have cut. Who renamed itself
// keeps that name: what completes it must begin with it.
func (c *Collector) fullName(p *proc) string {
	if exe, err := os.Readlink(p.dir + "exe"); err == nil { // needs rights
		exe = strings.TrimSuffix(exe, " (deleted)")
		if base := exe[strings.LastIndexByte(exe, '/')+1:]; strings.HasPrefix(base, p.comm) {
			return base
		}
	}
	argv0 := c.argv0(p)
	// Who writes its whole command line in there separates by blanks.
	if i := bytes.IndexAny(argv0, " \t\n"); i >= 0 {
		argv0 = argv0[:i]
	}
	if base := string(argv0[bytes.LastIndexByte(argv0, '/')+1:]); strings.HasPrefix(base, p.comm) {
		return base
	}
	return p.comm
}

func (c *Collector) argv0(p *proc) []byte {
	content, err := hostfile.Read(p.dir+"cmdline", nil)
	if err != nil {
		return nil
	}
	argv0, _, _ := bytes.Cut(content, []byte{0})
	return argv0
}

func (c *Collector) cmdlineOf(p *proc) string {
	content, err := hostfile.Read(p.dir+"cmdline", nil)
	if err != nil {
		return ""
	}
	content = bytes.TrimRight(content, "\x00")
	content = content[:min(len(content), 4*cmdlineLimit)]
	return hostfile.Clean(strings.ReplaceAll(string(content), "\x00", " "), cmdlineLimit)
}

// detail is what is read of listed groups only.
type detail struct {
	swapped uint64 // bytes
	files   uint64
	// filesKnown says that the open files of at least one process could be counted.
	filesKnown bool
}

func (c *Collector) detailLocked(g *group, swapping bool) (d detail) {
	for _, p := range g.members {
		if p.kernel {
			continue // has none of it
		}
		if swapping {
			var err error
			if c.buf, err = hostfile.Read(p.dir+"status", c.buf); err == nil {
				kb, _ := valueOf(c.buf, "VmSwap:")
				d.swapped += kb * 1024
			}
		}
		if n, ok := openFiles(p.dir + "fd"); ok {
			d.files += n
			d.filesKnown = true
		}
		c.readIOLocked(g, p)
	}
	if g.num == 0 {
		d.filesKnown = true
	}
	return d
}

// openFiles counts the open files. Since Linux 6.2 the size of the folder is their
// number, which everybody may see; before that they are listed, which needs rights.
func openFiles(dir string) (n uint64, ok bool) {
	if _, _, size, err := hostfile.Stat(dir); err == nil && size > 0 {
		return uint64(size), true
	}
	f, err := os.Open(dir)
	if err != nil {
		return 0, false
	}
	names, err := f.Readdirnames(-1)
	_ = f.Close() // it was read only: there is nothing to lose
	return uint64(len(names)), err == nil
}

func (c *Collector) readIOLocked(g *group, p *proc) {
	if p.unreadable {
		return
	}
	var err error
	if c.buf, err = hostfile.Read(p.dir+"io", c.buf); err != nil {
		if os.IsPermission(err) {
			p.unreadable = true
			c.sayLocked("io", "bytes read and written are left out for processes of other users: "+
				"they need root or the capability CAP_SYS_PTRACE", zap.String("file", p.dir+"io"))
		}
		return
	}
	read, okRead := valueOf(c.buf, "read_bytes:")
	write, okWrite := valueOf(c.buf, "write_bytes:")
	if !okRead || !okWrite {
		return
	}
	g.io = true
	g.read += read - min(p.read, read)
	g.write += write - min(p.write, write)
	p.read, p.write = max(p.read, read), max(p.write, write)
}

// swapUsedLocked says whether anything is swapped out at all: if not, there is no
// need to read the long status of each process.
func (c *Collector) swapUsedLocked() bool {
	var err error
	if c.buf, err = hostfile.Read(c.proc+"/meminfo", c.buf); err != nil {
		return true
	}
	total, okTotal := valueOf(c.buf, "SwapTotal:")
	free, okFree := valueOf(c.buf, "SwapFree:")
	return !okTotal || !okFree || total != free
}
