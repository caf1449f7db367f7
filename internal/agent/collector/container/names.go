package container

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"
)

const (
	// askTimeout bounds what an engine that hangs can delay.
	askTimeout = time.Second
	// minAsk is the least time between two questions, however many containers start.
	minAsk = 10 * time.Second
	// maxAsk is when is asked again though nothing new started: containers can be renamed.
	maxAsk = 10 * time.Minute
	// firstPause is how long an engine that failed is left alone, twice as long each
	// time, up to maxPause.
	firstPause = time.Minute
	maxPause   = 15 * time.Minute
	// maxTries is how often is asked for an id that the engine doesn't know.
	maxTries = 3
	// maxAnswer bounds the answer: 500 containers take about 1 MB.
	maxAnswer = 16 << 20
)

// names is what an engine tells of a container.
type names struct{ name, image string }

// engine is a socket that speaks Docker's API, and what it told.
type engine struct {
	where  string // for the log
	hint   string // what one needs to read it
	socket string // of the default ones: looked for before each question
	// serves says of which containers it may know.
	serves func(identity) bool
	base   string // URL
	client *http.Client

	known map[string]names // by id
	tries map[string]int   // by id
	asked time.Time        // the last answer
	next  time.Time        // not before
	pause time.Duration
}

// newEngines returns the engine of DOCKER_HOST, or the default ones.
func newEngines(host, root string) ([]*engine, error) {
	if host != "" {
		u, err := url.Parse(host)
		if err != nil {
			return nil, fmt.Errorf("parse DOCKER_HOST: %w", errors.Unwrap(err))
		}
		all := func(identity) bool { return true }
		switch {
		case u.Scheme == "unix" && u.Path != "":
			return []*engine{unixEngine(u.Path, "root or group docker", all)}, nil
		case (u.Scheme == "tcp" || u.Scheme == "http") && u.Host != "":
			return []*engine{{where: u.Scheme + "://" + u.Host, base: "http://" + u.Host, client: newClient(nil), hint: "access to the engine", serves: all}}, nil
		}
		return nil, fmt.Errorf("DOCKER_HOST has to be unix:///path or tcp://host:port, not of the kind %q", u.Scheme)
	}
	docker := filepath.Join(root, "run/docker.sock")
	if _, err := os.Stat(docker); err != nil {
		docker = filepath.Join(root, "var/run/docker.sock") // where it is still a folder of its own
	}
	podman := filepath.Join(root, "run/podman/podman.sock")
	engines := []*engine{
		unixEngine(docker, "root or group docker", func(i identity) bool { return i.engine == "" || i.engine == "docker" || i.engine == "ecs" }),
		unixEngine(podman, "root", func(i identity) bool { return i.engine == "libpod" }),
	}
	for _, e := range engines {
		e.socket = strings.TrimPrefix(e.where, "unix://")
	}
	return engines, nil
}

func unixEngine(path, hint string, serves func(identity) bool) *engine {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}
	return &engine{where: "unix://" + path, hint: hint, base: "http://localhost", client: newClient(dial), serves: serves}
}

// newClient makes one that keeps no connection and follows nobody elsewhere.
func newClient(dial func(ctx context.Context, network, address string) (net.Conn, error)) *http.Client {
	return &http.Client{
		Transport:     &http.Transport{DialContext: dial, DisableKeepAlives: true},
		Timeout:       askTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// nameLocked sets the names and images of the containers.
func (c *Collector) nameLocked(found []*container, now time.Time) {
	for _, e := range c.engines {
		mine := slices.DeleteFunc(slices.Clone(found), func(ct *container) bool { return ct.id == "" || !e.serves(ct.identity) })
		if e.due(mine, now) {
			if message, err := e.ask(now); err != nil {
				c.sayLocked(message, zap.String("socket", e.where), zap.Error(err))
			}
			e.count(mine)
		}
		for _, ct := range mine {
			if n, ok := e.known[ct.id]; ok {
				ct.name, ct.image = n.name, n.image
			}
		}
	}
}

// due says whether to ask: when there is a container it hasn't told of, or when it
// was asked long ago.
func (e *engine) due(mine []*container, now time.Time) bool {
	if len(mine) == 0 || now.Before(e.next) {
		return false
	}
	if !e.asked.IsZero() && now.Sub(e.asked) >= maxAsk {
		return true
	}
	return slices.ContainsFunc(mine, func(ct *container) bool {
		_, ok := e.known[ct.id]
		return !ok && e.tries[ct.id] < maxTries
	})
}

// count notes which containers the engine doesn't know, so that it isn't asked for
// them for ever. A failure isn't the containers'.
func (e *engine) count(mine []*container) {
	if e.pause != 0 {
		return
	}
	tries := make(map[string]int)
	for _, ct := range mine {
		if _, ok := e.known[ct.id]; !ok {
			tries[ct.id] = e.tries[ct.id] + 1
		}
	}
	e.tries = tries
}

// ask asks for all containers, running ones only, and says in plain words what is
// wrong if there is no answer. What was known before stays known then.
func (e *engine) ask(now time.Time) (message string, err error) {
	known, err := e.list()
	if err == nil {
		e.known, e.asked, e.next, e.pause = known, now, now.Add(minAsk), 0
		return "", nil
	}
	e.pause = min(maxPause, max(firstPause, 2*e.pause))
	e.next = now.Add(e.pause)
	var timeout net.Error
	switch {
	case errors.Is(err, fs.ErrPermission):
		return "containers are named by the first digits of their ids: reading their names needs " + e.hint, err
	case e.socket != "" && errors.Is(err, fs.ErrNotExist):
		return "containers are named by the first digits of their ids: there is no socket to ask; DOCKER_HOST may name one", err
	case errors.As(err, &timeout) && timeout.Timeout():
		return "containers are named by the first digits of their ids: the engine doesn't answer in time", err
	}
	return "containers are named by the first digits of their ids: the engine can't be asked", err
}

func (e *engine) list() (map[string]names, error) {
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, e.base+"/containers/json", http.NoBody)
	if err != nil {
		return nil, err
	}
	resp, err := e.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask for the containers: %w", err)
	}
	defer func() { _ = resp.Body.Close() }() // it was read only: there is nothing to lose
	if resp.StatusCode != http.StatusOK {
		err := fmt.Errorf("ask for the containers: the answer is %s", resp.Status)
		if resp.StatusCode == http.StatusForbidden || resp.StatusCode == http.StatusUnauthorized {
			err = errors.Join(err, fs.ErrPermission) // a proxy before the socket
		}
		return nil, err
	}
	var list []struct {
		ID    string   `json:"Id"`
		Names []string `json:"Names"`
		Image string   `json:"Image"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(&list); err != nil {
		return nil, fmt.Errorf("read the containers: %w", err)
	}
	known := make(map[string]names, len(list))
	for _, l := range list {
		known[l.ID] = names{name: nameOf(l.Names, l.ID), image: clean(l.Image)}
	}
	return known, nil
}

// nameOf picks the container's own name: /web. Others (/app/db) are aliases by which
// another container knows it.
func nameOf(all []string, id string) string {
	for _, name := range all {
		if name = strings.TrimPrefix(name, "/"); name != "" && !strings.Contains(name, "/") {
			return clean(name)
		}
	}
	return identity{id: id}.defaultName()
}
