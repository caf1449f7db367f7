package container

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// docker is an engine on a Unix socket.
type docker struct {
	path   string
	asked  atomic.Int32
	answer atomic.Pointer[http.HandlerFunc]
}

func newDocker(t *testing.T, path string) *docker {
	d := &docker{path: path}
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o750))
	l, err := new(net.ListenConfig).Listen(t.Context(), "unix", path)
	require.NoError(t, err)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d.asked.Add(1)
		assert.Equal(t, "GET /containers/json", r.Method+" "+r.URL.String())
		(*d.answer.Load())(w, r)
	}))
	require.NoError(t, s.Listener.Close())
	s.Listener = l
	s.Start()
	t.Cleanup(s.Close)
	return d
}

func (d *docker) say(status int, body string) {
	answer := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	})
	d.answer.Store(&answer)
}

// short is a folder whose path is short enough for a socket.
func short(t *testing.T) string {
	dir, err := os.MkdirTemp("", "s") //nolint:usetesting // t.TempDir's may be too long for a socket
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// withContainers is a machine with containers of Docker.
func withContainers(t testing.TB, ids ...string) *machine {
	m := newMachine(t)
	m.write("sys/fs/cgroup/cgroup.controllers", "cpu memory\n")
	for _, id := range ids {
		m.cgroup("/docker/"+id, v2(nil))
	}
	return m
}

func list(id, name, image string) string {
	return fmt.Sprintf(`{"Id":%q,"Names":[%q],"Image":%q,"ImageID":"sha256:1","Command":"x","Labels":{"a":"b"},"State":"running"}`, id, name, image)
}

func TestNamesOfTheEngine(t *testing.T) {
	core, logs := observer.New(zap.InfoLevel)
	d := newDocker(t, short(t)+"/d.sock")
	at := now()
	m := withContainers(t, idA, idB)
	c := m.collector(Options{DockerHost: "unix://" + d.path, Log: zap.New(core), Now: func() time.Time { return at }})
	d.say(200, `[{"Id":"`+idA+`","Names":["/app/db","/web"],"Image":"nginx:1.29"}]`)
	want := map[string]string{"/docker/" + idA: "web", "/docker/" + idB: "bbbbbbbbbbbb"}
	step := func(after time.Duration, asked int32, why string) {
		t.Helper()
		at = at.Add(after)
		assert.Equal(t, want, containers(t, c), why)
		assert.Equal(t, asked, d.asked.Load(), why)
	}
	step(0, 1, "the own name, not the alias")
	assert.Contains(t, samples(t, c), "last_seen{id=/docker/"+idA+",image=nginx:1.29,name=web}")
	step(minAsk-time.Second, 1, "not so soon again")
	d.say(200, "["+list(idA, "/web", "nginx:1.29")+"]")
	step(time.Second, 2, "it doesn't know B: once more")
	step(minAsk, 3, "and once more")
	step(minAsk, 3, "and then no more")
	m.cgroup("/docker/"+idC, v2(nil))
	want["/docker/"+idC] = "cccccccccccc"
	d.say(500, "")
	step(minAsk, 4, "a new one; the engine fails")
	d.say(200, "["+list(idA, "/web", "nginx:1.29")+","+list(idC, "/new", "redis")+"]")
	step(firstPause-time.Second, 4, "it is left alone")
	want["/docker/"+idC] = "new"
	step(time.Second, 5, "it is well again")
	d.say(200, "["+list(idA, "/renamed", "nginx:1.29")+","+list(idC, "/new", "redis")+"]")
	step(maxAsk-time.Second, 5, "nothing new")
	want["/docker/"+idA] = "renamed"
	step(time.Second, 6, "but now and then")
	d.say(200, `{"message":`)
	step(maxAsk, 7, "no JSON: what was known stays")
	step(firstPause-time.Second, 7, "left alone")
	step(time.Second, 8, "again")
	step(firstPause, 8, "for longer each time")
	assert.Equal(t, 1, logs.FilterMessageSnippet("can't be asked").Len(), "said once")
	assert.Equal(t, 1, logs.Len())
}

func TestEngineThatHangs(t *testing.T) {
	core, logs := observer.New(zap.InfoLevel)
	d := newDocker(t, short(t)+"/d.sock")
	hang := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush() // the headers come, the rest doesn't
		<-r.Context().Done()
	})
	d.answer.Store(&hang)
	c := withContainers(t, idA).collector(Options{DockerHost: "unix://" + d.path, Log: zap.New(core)})
	start := time.Now()
	for range 3 {
		assert.Equal(t, map[string]string{"/docker/" + idA: "aaaaaaaaaaaa"}, containers(t, c))
	}
	assert.Less(t, time.Since(start), 3*askTimeout, "only the first waits")
	assert.EqualValues(t, 1, d.asked.Load())
	assert.Equal(t, 1, logs.FilterMessageSnippet("doesn't answer in time").Len())
}

func TestEngineThatDenies(t *testing.T) {
	for why, status := range map[string]int{"a proxy": 403, "redirects are not followed": 302} {
		core, logs := observer.New(zap.InfoLevel)
		d := newDocker(t, short(t)+"/d.sock")
		answer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "/secrets")
			w.WriteHeader(status)
		})
		d.answer.Store(&answer)
		c := withContainers(t, idA).collector(Options{DockerHost: "unix://" + d.path, Log: zap.New(core)})
		assert.Len(t, containers(t, c), 1, why)
		assert.EqualValues(t, 1, d.asked.Load(), why)
		require.Equal(t, 1, logs.Len(), why)
		assert.Equal(t, status == 403, strings.Contains(logs.All()[0].Message, "needs root or group docker"), why)
	}
}

func TestDefaultSockets(t *testing.T) {
	core, logs := observer.New(zap.InfoLevel)
	m := withContainers(t)
	m.root = short(t)
	m.write("sys/fs/cgroup/cgroup.controllers", "cpu memory\n")
	m.cgroup("/docker/"+idA, v2(nil))
	at := now()
	c := m.collector(Options{Log: zap.New(core), Now: func() time.Time { return at }})
	for range 2 {
		assert.Equal(t, "aaaaaaaaaaaa", containers(t, c)["/docker/"+idA])
	}
	require.Equal(t, 1, logs.Len(), "podman isn't missed: there is no container of it")
	assert.Contains(t, logs.All()[0].Message, "there is no socket to ask")

	d := newDocker(t, m.path("run/docker.sock"))
	p := newDocker(t, m.path("run/podman/podman.sock"))
	d.say(200, "["+list(idA, "/web", "nginx")+"]")
	p.say(200, "["+list(idB, "db", "postgres")+"]")
	m.cgroup("/machine.slice/libpod-"+idB+".scope", v2(nil))
	m.cgroup("/kubepods.slice/cri-containerd-"+idC+".scope", v2(nil))
	c = m.collector(Options{Log: zap.New(core)})
	assert.Equal(t, map[string]string{
		"/docker/" + idA: "web", "/machine.slice/libpod-" + idB + ".scope": "db", "/kubepods.slice/cri-containerd-" + idC + ".scope": "cccccccccccc",
	}, containers(t, c))
	assert.EqualValues(t, 1, d.asked.Load())
	assert.EqualValues(t, 1, p.asked.Load())
	assert.Equal(t, 1, logs.Len())
}

func TestTCP(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, strings.Replace("["+list(idA, "/web\n", "ngi!nx")+"]", "!", "\xff", 1))
	}))
	t.Cleanup(s.Close)
	c := withContainers(t, idA).collector(Options{DockerHost: strings.Replace(s.URL, "http:", "tcp:", 1)})
	assert.Equal(t, map[string]string{"/docker/" + idA: "web\uFFFD"}, containers(t, c))
}

func TestBadDockerHost(t *testing.T) {
	for _, host := range []string{"npipe:////./pipe/docker_engine", "ssh://host", "/run/docker.sock", "tcp://", "unix://", "://", "tcp://%zz"} {
		core, logs := observer.New(zap.InfoLevel)
		c := withContainers(t, idA).collector(Options{DockerHost: host, Log: zap.New(core)})
		assert.Equal(t, map[string]string{"/docker/" + idA: "aaaaaaaaaaaa"}, containers(t, c), host)
		require.Equal(t, 1, logs.Len(), host)
		assert.Contains(t, fmt.Sprint(logs.All()[0].ContextMap()["error"]), "DOCKER_HOST", host)
	}
}
