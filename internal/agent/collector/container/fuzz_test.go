package container

import (
	"math"
	"testing"
	"unicode/utf8"
)

func FuzzIdentify(f *testing.F) {
	for _, path := range []string{
		"/docker/" + idA, "/system.slice/docker-" + idA + ".scope", "/a.slice:cri-containerd:" + idA, "/lxc/web", "/lxc/",
		`/machine.slice/machine-web\x2d1.scope`, `/machine.slice/systemd-nspawn@\x.service`, "/lxc.payload.\xff",
	} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		id, ok := identify(path)
		if !ok {
			return
		}
		if name := id.defaultName(); name == "" || !utf8.ValidString(name) {
			t.Errorf("%q is named %q", path, name)
		}
		if !utf8.ValidString(idLabel(path)) {
			t.Errorf("%q has no label", path)
		}
	})
}

// FuzzFiles: whatever the files of the kernel hold, nothing negative and no empty
// label comes out, and no label twice.
func FuzzFiles(f *testing.F) {
	f.Add([]byte(netDev("eth0", 1)))
	f.Add([]byte("8:0 rbytes=11 wbytes=12 rios=13 wios=14\n8:0 Read 1\n7:1 \n8:0 rbytes=x\n"))
	f.Add([]byte(": 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\nrios=x"))
	f.Add([]byte("usage_usec 3500000\nuser_usec -1\nmax\n"))
	m := newMachine(f)
	c := New(Options{Root: m.root})
	f.Fuzz(func(t *testing.T, content []byte) {
		var disks diskList
		c.disksV1Locked(&disks, content, true)
		for _, list := range []diskList{disks, c.disksV2Locked(content)} {
			seen := make(map[string]bool)
			for _, d := range list {
				if d.device == "" || seen[d.device] || !utf8.ValidString(d.device) || d.readBytes < 0 || d.writes < 0 {
					t.Errorf("%+v", d)
				}
				seen[d.device] = true
			}
		}
		seen := make(map[string]bool)
		for _, i := range parseNetDev(content) {
			if i.name == "" || seen[i.name] || !utf8.ValidString(i.name) || i.rxBytes < 0 {
				t.Errorf("%+v", i)
			}
			seen[i.name] = true
		}
		for _, n := range []float64{field(content, "usage_usec"), number(content), limit(content)} {
			if n < 0 || math.IsInf(n, 0) {
				t.Error(n)
			}
		}
	})
}
