package pgtest

import (
	"fmt"
	"time"

	"github.com/ory/dockertest/v3"
	"github.com/ory/dockertest/v3/docker"
)

// startContainer runs a PostgreSQL in Docker, its data in memory. Docker removes
// it after an hour should we not get to it.
func startContainer() (dsn string, stop func() error, err error) {
	pool, err := dockertest.NewPool("")
	if err != nil {
		return "", nil, err
	}
	if err := pool.Client.Ping(); err != nil {
		return "", nil, fmt.Errorf("reach Docker: %w", err)
	}
	container, err := pool.RunWithOptions(&dockertest.RunOptions{
		Repository: "postgres",
		Tag:        "17-alpine",
		Env:        []string{"POSTGRES_HOST_AUTH_METHOD=trust"},
		Cmd:        []string{"postgres", "-c", "fsync=off", "-c", "max_connections=200"},
	}, func(host *docker.HostConfig) {
		host.AutoRemove = true
		host.Tmpfs = map[string]string{"/var/lib/postgresql/data": ""}
	})
	if err != nil {
		return "", nil, fmt.Errorf("run a container: %w", err)
	}
	stop = container.Close
	if err := container.Expire(3600); err != nil {
		return "", nil, fmt.Errorf("limit the container's life: %w", err)
	}
	dsn = "postgres://postgres@" + container.GetHostPort("5432/tcp") + "/postgres?sslmode=disable"
	// The image starts a first server for its own setup, which takes no TCP.
	if err := waitReachable(dsn, time.Minute, nil); err != nil {
		return "", nil, fmt.Errorf("wait for the container: %w", err)
	}
	return dsn, stop, nil
}
