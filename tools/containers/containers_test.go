// Package containers checks docker-compose.yml and the Dockerfiles with the
// parsers that Docker itself uses, and that they keep what they promise. It needs no
// Docker and builds no image.
package containers

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/dockerfile/dockerfile2llb"
	"github.com/moby/buildkit/frontend/dockerui"
	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"
)

const root = "../.."

func load(t *testing.T, env ...string) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{filepath.Join(root, "docker-compose.yml")},
		cli.WithWorkingDirectory(root), cli.WithEnv(env), cli.WithProfiles([]string{"*"}))
	require.NoError(t, err)
	project, err := options.LoadProject(t.Context())
	require.NoError(t, err)
	return project
}

func value(t *testing.T, s types.ServiceConfig, name string) string {
	t.Helper()
	v, ok := s.Environment[name]
	require.True(t, ok, "%s doesn't set %s", s.Name, name)
	require.NotNil(t, v)
	return *v
}

func TestComposeWithoutSettings(t *testing.T) {
	p := load(t)
	names := p.ServiceNames()
	slices.Sort(names)
	require.Equal(t, []string{"agent", "agent-dev", "postgres", "server", "server-dev"}, names)

	for _, s := range p.Services {
		if slices.Contains(s.Profiles, "dev") {
			require.Equal(t, "dev", s.Build.Target)
			require.Empty(t, s.Ports)
			continue
		}
		require.Empty(t, s.Profiles, "%s is there after docker compose up", s.Name)
		require.Equal(t, types.RestartPolicyUnlessStopped, s.Restart, s.Name)
		require.NotNil(t, s.StopGracePeriod, s.Name)
		require.NotEmpty(t, s.Volumes, "%s loses what it knows", s.Name)
		require.False(t, s.Privileged)
		for _, port := range s.Ports {
			require.Equal(t, "127.0.0.1", port.HostIP, "%s is open to the network", s.Name)
		}
		for _, v := range s.Volumes {
			if v.Target == "/host" { // the machine, for the agent to look at
				require.Equal(t, "agent", s.Name)
				require.True(t, v.ReadOnly)
				continue
			}
			require.Equal(t, types.VolumeTypeVolume, v.Type, "%s writes into the checkout", s.Name)
			require.Contains(t, p.Volumes, v.Source)
		}
		if s.Build != nil {
			require.True(t, s.ReadOnly, s.Name)
			require.Equal(t, []string{"ALL"}, s.CapDrop, s.Name)
			require.FileExists(t, filepath.Join(root, s.Build.Dockerfile))
		}
	}
	server, agent, postgres := p.Services["server"], p.Services["agent"], p.Services["postgres"]
	require.Len(t, server.Ports, 1)
	require.Equal(t, "8080", server.Ports[0].Published)
	require.EqualValues(t, 8080, server.Ports[0].Target)
	require.Empty(t, postgres.Ports)
	require.NotNil(t, postgres.HealthCheck, "the images of the others bring theirs")
	require.Equal(t, types.ServiceConditionHealthy, server.DependsOn["postgres"].Condition)
	require.Equal(t, types.ServiceConditionHealthy, agent.DependsOn["server"].Condition)
	require.Equal(t, "postgres://gometheus:gometheus@postgres:5432/gometheus", value(t, server, "DATABASE_DSN"))
	require.Equal(t, "host", agent.Uts, "the label instance is the machine's name")
	require.Equal(t, []string{"host", "host"}, []string{agent.NetworkMode, agent.Pid}, "interfaces and processes are the machine's")
	require.Equal(t, "/host", value(t, agent, "HOST_ROOT"))
	require.Equal(t, "localhost:8080", value(t, agent, "ADDRESS"), "the port that the server publishes")
}

func TestComposeSettings(t *testing.T) {
	p := load(t, "POSTGRES_PASSWORD=abc", "KEY=k", "PORT=9090", "VERSION=1.2.3")
	require.Equal(t, "postgres://gometheus:abc@postgres:5432/gometheus", value(t, p.Services["server"], "DATABASE_DSN"))
	require.Equal(t, "abc", value(t, p.Services["postgres"], "POSTGRES_PASSWORD"))
	require.Equal(t, "k", value(t, p.Services["server"], "KEY"))
	require.Equal(t, "k", value(t, p.Services["agent"], "KEY"))
	require.Equal(t, "9090", p.Services["server"].Ports[0].Published)
	require.Equal(t, "localhost:9090", value(t, p.Services["agent"], "ADDRESS"))
	for _, name := range []string{"server", "agent"} {
		require.Equal(t, "gometheus-"+name+":dev", p.Services[name].Image)
		require.Equal(t, "1.2.3", *p.Services[name].Build.Args["VERSION"])
	}
	require.Empty(t, value(t, load(t, "DATABASE_DSN=").Services["server"], "DATABASE_DSN"), "empty: files")
	require.Equal(t, "postgres://x", value(t, load(t, "DATABASE_DSN=postgres://x").Services["server"], "DATABASE_DSN"))
}

// TestExampleSettings: .env.example names what docker-compose.yml reads, with the
// defaults it has, and changes nothing when copied as it is.
func TestExampleSettings(t *testing.T) {
	compose, err := os.ReadFile(filepath.Join(root, "docker-compose.yml"))
	require.NoError(t, err)
	example, err := os.ReadFile(filepath.Join(root, ".env.example"))
	require.NoError(t, err)
	var env []string
	for line := range strings.Lines(string(example)) {
		if setting, ok := strings.CutPrefix(strings.TrimSpace(line), "#"); ok && strings.Contains(setting, "=") && !strings.HasPrefix(setting, " ") {
			name, _, _ := strings.Cut(setting, "=")
			require.Contains(t, string(compose), "${"+name, "nothing reads it")
			if name != "DATABASE_DSN" && name != "STORE_INTERVAL" && !strings.HasSuffix(name, "L") {
				env = append(env, setting)
			}
		} else {
			require.True(t, strings.HasPrefix(line, "#") || strings.TrimSpace(line) == "", "set by copying: %s", line)
		}
	}
	require.NotEmpty(t, env)
	require.Equal(t, load(t).Services, load(t, env...).Services)
}

// images is what is known of an image that is not pulled.
type images struct{}

func (images) ResolveImageConfig(_ context.Context, ref string, _ sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	return ref, "", []byte(`{"architecture":"amd64","os":"linux","config":{"User":"65532"}}`), nil
}

// TestDockerfiles: BuildKit parses them and finds nothing to say, in any stage.
func TestDockerfiles(t *testing.T) {
	for _, name := range []string{"server", "agent"} {
		path := filepath.Join(root, ".docker", name, "Dockerfile")
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		source := llb.NewSourceMap(nil, path, "Dockerfile", text)
		source.Definition = new(llb.Definition)
		options := func() dockerfile2llb.ConvertOpt {
			return dockerfile2llb.ConvertOpt{
				Config:         dockerui.Config{BuildArgs: map[string]string{"VERSION": "1.2.3"}},
				SourceMap:      source,
				MetaResolver:   images{},
				LLBCaps:        ptr(pb.Caps.CapSet(pb.Caps.All())),
				TargetPlatform: &ocispecs.Platform{OS: "linux", Architecture: "arm", Variant: "v7"},
			}
		}
		found, err := dockerfile2llb.DockerfileLint(t.Context(), text, options())
		require.NoError(t, err)
		require.Nil(t, found.Error, path)
		require.Empty(t, found.Warnings, path)

		built, err := dockerfile2llb.Dockerfile2LLB(t.Context(), text, options())
		require.NoError(t, err)
		config := built.Image.Config
		program := "/usr/bin/gometheus-" + name
		require.Equal(t, "65532:65532", config.User)
		require.Equal(t, []string{program}, config.Entrypoint)
		require.Equal(t, []string{"CMD", program, "healthcheck"}, config.Healthcheck.Test, "there is no shell")
		require.Equal(t, "/var/lib/gometheus", config.WorkingDir)
		require.Contains(t, config.Volumes, config.WorkingDir)
		require.Equal(t, "1.2.3", config.Labels["org.opencontainers.image.version"])
		require.Equal(t, name == "server", slices.Contains(config.Env, "ADDRESS=:8080"))
		for _, pair := range config.Env {
			require.NotRegexp(t, `^(KEY|DATABASE_DSN)=`, pair, "a secret in the image")
		}
	}
}

func ptr[T any](v T) *T { return &v }
