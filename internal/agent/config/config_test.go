package config_test

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/agent/config"
	common "github.com/gometheus/gometheus/internal/common/config"
	"github.com/gometheus/gometheus/internal/common/logger"
	"github.com/gometheus/gometheus/pkg/signature"
)

var update = flag.Bool("update", false, "write the golden files")

func lookup(vars map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		value, ok := vars[name]
		return value, ok
	}
}

func parse(vars map[string]string, args ...string) (config.Config, error) {
	return config.Parse(args, lookup(vars), io.Discard)
}

func requireLine(t *testing.T, err error) {
	t.Helper()
	var bad *common.Error
	require.ErrorAs(t, err, &bad)
	require.NotContains(t, err.Error(), "\n")
}

func TestDefault(t *testing.T) {
	host, err := os.Hostname()
	require.NoError(t, err)
	want := config.Config{
		Address:            "localhost:8080",
		LogLevel:           "info",
		PollInterval:       2 * time.Second,
		ReportInterval:     10 * time.Second,
		BatchSize:          200,
		RateLimit:          10,
		SpoolMaxSize:       512 << 20,
		SpoolMaxAge:        7 * 24 * time.Hour,
		CPUProfileFile:     "./cpu.pprof",
		CPUProfileDuration: 30 * time.Second,
		MemProfileFile:     "./mem.pprof",
		Labels:             map[string]string{"instance": host},
		Collect: config.Collect{
			Collectors:         []string{"runtime", "random", "gopsutil", "node"},
			Interval:           15 * time.Second,
			HostRoot:           "/",
			ScrapeLimitSamples: 50_000,
			ScrapeLimitBody:    32 << 20,
		},
	}
	if runtime.GOOS != "linux" {
		want.Collect.Collectors = want.Collect.Collectors[:3]
	}
	require.Equal(t, want, config.Default())
	got, err := parse(nil)
	require.NoError(t, err)
	require.Equal(t, want, got)
}

// setting is one row of the table: two good texts, and a bad one unless every
// text is good.
type setting struct {
	flag, short, env string
	inVar, inFlag    string
	bad              string
	emptyIs          any // nil: the default
	get              func(config.Config) any
	wantVar          any
	wantFlag         any
}

var settings = []setting{
	{"address", "a", "ADDRESS", ":1", "https://h:2/x", "nowhere", nil, func(c config.Config) any { return c.Address }, ":1", "https://h:2/x"},
	{"log-level", "l", "LOG_LEVEL", "warn", "debug", "loud", nil, func(c config.Config) any { return c.LogLevel }, "warn", "debug"},
	{"labels", "", "LABELS", "a=1", "b=2,c=3", "a", map[string]string{}, func(c config.Config) any { return c.Labels }, map[string]string{"a": "1"}, map[string]string{"b": "2", "c": "3"}},
	{"health-file", "", "HEALTH_FILE", "/run/a", "b", "", "", func(c config.Config) any { return c.HealthFile }, "/run/a", "b"},
	{"poll-interval", "p", "POLL_INTERVAL", "0.001", "1m30s", "0", nil, func(c config.Config) any { return c.PollInterval }, time.Millisecond, 90 * time.Second},
	{"report-interval", "r", "REPORT_INTERVAL", "5", "1500ms", "-1", nil, func(c config.Config) any { return c.ReportInterval }, 5 * time.Second, 1500 * time.Millisecond},
	{"batch-size", "b", "BATCH_SIZE", "1", "100000", "100001", nil, func(c config.Config) any { return c.BatchSize }, 1, 100_000},
	{"rate-limit", "m", "RATE_LIMIT", "1", "1024", "0", nil, func(c config.Config) any { return c.RateLimit }, 1, 1024},
	{"spool-dir", "", "SPOOL_DIR", "/var/spool/a", "b", "", "", func(c config.Config) any { return c.SpoolDir }, "/var/spool/a", "b"},
	{"spool-max-size", "", "SPOOL_MAX_SIZE", "1GiB", "1048576", "1MB", nil, func(c config.Config) any { return c.SpoolMaxSize }, int64(1 << 30), int64(1 << 20)},
	{"spool-max-age", "", "SPOOL_MAX_AGE", "3600", "36h", "169h", nil, func(c config.Config) any { return c.SpoolMaxAge }, time.Hour, 36 * time.Hour},
	{"key", "k", "KEY", "one", "two", "", nil, func(c config.Config) any { return c.Key }, logger.Secret("one"), logger.Secret("two")},
	{"signature", "", "SIGNATURE", "both", "Message", "none", nil, func(c config.Config) any { return c.Signature }, signature.Both, signature.Message},
	{"tls-ca", "", "TLS_CA", "", "", "", "", func(c config.Config) any { return c.Access.CA }, "", ""},
	{"tls-cert", "", "TLS_CERT", "", "", "", "", func(c config.Config) any { return c.Access.Cert }, "", ""},
	{"tls-key", "", "TLS_KEY", "", "", "", "", func(c config.Config) any { return c.Access.Key }, "", ""},
	{"basic-auth-user", "", "BASIC_AUTH_USER", "me", "you", "", "", func(c config.Config) any { return c.Access.User }, "me", "you"},
	{"basic-auth-password", "", "BASIC_AUTH_PASSWORD", "", "", "", "", func(c config.Config) any { return c.Access.Password.Reveal() }, "", ""},
	{"basic-auth-password-file", "", "BASIC_AUTH_PASSWORD_FILE", "", "", "", "", func(c config.Config) any { return c.Access.Password.Reveal() }, "", ""},
	{"collectors", "", "COLLECTORS", "node", "random, process", "", []string(nil), func(c config.Config) any { return c.Collect.Collectors }, []string{"node"}, []string{"random", "process"}},
	{"scrape-interval", "", "SCRAPE_INTERVAL", "0.1", "1m", "0", nil, func(c config.Config) any { return c.Collect.Interval }, 100 * time.Millisecond, time.Minute},
	{"node-enable", "", "NODE_ENABLE", "systemd", "wifi,systemd", "", []string(nil), func(c config.Config) any { return c.Collect.NodeEnable }, []string{"systemd"}, []string{"wifi", "systemd"}},
	{"node-disable", "", "NODE_DISABLE", "nfs", "xfs", "", []string(nil), func(c config.Config) any { return c.Collect.NodeDisable }, []string{"nfs"}, []string{"xfs"}},
	{"textfile-dir", "", "TEXTFILE_DIR", "/var/lib/a", "b", "", "", func(c config.Config) any { return c.Collect.TextfileDir }, "/var/lib/a", "b"},
	{"host-root", "", "HOST_ROOT", "/host", "/b", "", nil, func(c config.Config) any { return c.Collect.HostRoot }, "/host", "/b"},
	{"scrape", "", "SCRAPE", "localhost:1", "db=http://localhost:2/m,http://h:3", "", []string(nil), func(c config.Config) any { return c.Collect.Scrape }, []string{"localhost:1"}, []string{"db=http://localhost:2/m", "http://h:3"}},
	{"scrape-limit-samples", "", "SCRAPE_LIMIT_SAMPLES", "10", "20", "0", nil, func(c config.Config) any { return c.Collect.ScrapeLimitSamples }, 10, 20},
	{"scrape-limit-body", "", "SCRAPE_LIMIT_BODY", "1MiB", "2MiB", "1", nil, func(c config.Config) any { return c.Collect.ScrapeLimitBody }, int64(1 << 20), int64(2 << 20)},
	{"statsd", "", "STATSD", "true", "[::1]:99", "nowhere", "", func(c config.Config) any { return c.Collect.StatsD }, "127.0.0.1:8125", "[::1]:99"},
	{"docker-host", "", "DOCKER_HOST", "unix:///run/a", "tcp://h:1", "", "", func(c config.Config) any { return c.Collect.DockerHost }, "unix:///run/a", "tcp://h:1"},
	{"process-command-line", "", "PROCESS_COMMAND_LINE", "false", "true", "yes", nil, func(c config.Config) any { return c.Collect.ProcessCommandLine }, false, true},
	{"cpu-profile-file", "", "CPU_PROFILE_FILE", "/a", "/b", "", nil, func(c config.Config) any { return c.CPUProfileFile }, "/a", "/b"},
	{"cpu-profile-duration", "", "CPU_PROFILE_DURATION", "5s", "1m", "0s", nil, func(c config.Config) any { return c.CPUProfileDuration }, 5 * time.Second, time.Minute},
	{"mem-profile-file", "", "MEM_PROFILE_FILE", "/a", "/b", "", nil, func(c config.Config) any { return c.MemProfileFile }, "/a", "/b"},
}

func TestTableIsComplete(t *testing.T) {
	list := config.Settings()
	require.Len(t, list, len(settings))
	for i, s := range list {
		require.Equal(t, settings[i].flag, s.Flag)
		require.Equal(t, settings[i].short, s.Short)
		require.Equal(t, settings[i].env, s.Env)
		require.NotEmpty(t, s.Help)
		require.NotEmpty(t, s.Group)
	}
}

func TestPrecedence(t *testing.T) {
	for _, s := range settings {
		t.Run(s.flag, func(t *testing.T) {
			check := func(want any, vars map[string]string, args ...string) {
				t.Helper()
				if s.flag == "signature" {
					args = append(args, "--key=k") // it needs one
				}
				got, err := parse(vars, args...)
				require.NoError(t, err)
				require.Equal(t, want, s.get(got))
			}
			vars := map[string]string{s.env: s.inVar}
			check(s.wantVar, vars)
			check(s.wantFlag, nil, "--"+s.flag+"="+s.inFlag)
			check(s.wantFlag, vars, "--"+s.flag+"="+s.inFlag)
			check(s.wantFlag, vars, "--"+s.flag, s.inFlag)
			if _, list := s.wantVar.([]string); !list {
				check(s.wantFlag, vars, "--"+s.flag, s.inVar, "--"+s.flag, s.inFlag)
			}
			if s.short != "" {
				check(s.wantFlag, vars, "-"+s.short, s.inFlag)
				check(s.wantFlag, vars, "-"+s.short+"="+s.inFlag)
			}
			if s.bad != "" {
				check(s.wantFlag, map[string]string{s.env: s.bad}, "--"+s.flag, s.inFlag)
			}
			empty := s.emptyIs
			if empty == nil {
				empty = s.get(config.Default())
			}
			check(empty, map[string]string{s.env: ""})
		})
	}
}

func TestBadValues(t *testing.T) {
	for i, s := range settings {
		if s.bad == "" {
			continue
		}
		allowed := config.Settings()[i].Allowed
		_, err := parse(map[string]string{s.env: s.bad})
		require.EqualError(t, err, s.env+` "`+s.bad+`": want `+allowed)
		requireLine(t, err)

		_, err = parse(nil, "--"+s.flag, s.bad)
		require.EqualError(t, err, "--"+s.flag+` "`+s.bad+`": want `+allowed)

		if s.short != "" {
			_, err = parse(nil, "-"+s.short, s.bad)
			require.EqualError(t, err, "-"+s.short+` "`+s.bad+`": want `+allowed)
		}
	}
}

// TestSignatureNeedsKey: without a key there would be no signatures at all.
func TestSignatureNeedsKey(t *testing.T) {
	for _, mode := range []string{"both", "message"} {
		_, err := parse(map[string]string{"SIGNATURE": mode})
		require.EqualError(t, err, `SIGNATURE "`+mode+`": there is no KEY to sign with: want a KEY, or hash`)
		requireLine(t, err)
	}
	_, err := parse(map[string]string{"SIGNATURE": "hash"})
	require.NoError(t, err)
}

func TestErrorLines(t *testing.T) {
	_, err := parse(nil, "-p", "0")
	require.EqualError(t, err, `-p "0": want seconds or a duration such as 1m30s, from 1ms to 168h`)
	_, err = parse(map[string]string{"RATE_LIMIT": "1025"})
	require.EqualError(t, err, `RATE_LIMIT "1025": want a whole number from 1 to 1024`)
	_, err = parse(nil, "--labels", "__name__=x")
	require.EqualError(t, err, `--labels "__name__=x": label name "__name__": must match [a-zA-Z_][a-zA-Z0-9_]* and not start with __: want name=value pairs with commas between, or empty`)
	_, err = parse(nil, "-r", "false")
	require.EqualError(t, err, `-r "false": want seconds or a duration such as 1m30s, from 1ms to 168h`)
}

func TestServerURL(t *testing.T) {
	for address, want := range map[string]string{
		"localhost:8080":   "http://localhost:8080",
		":8080":            "http://localhost:8080",
		"[::1]:8080":       "http://[::1]:8080",
		"http://h":         "http://h",
		"https://h:1/a/":   "https://h:1/a",
		"https://[::1]:80": "https://[::1]:80",
	} {
		got, err := parse(nil, "-a", address)
		require.NoError(t, err)
		require.Equal(t, want, got.ServerURL())
	}
}

func TestMissingValues(t *testing.T) {
	alone := []string{"statsd", "process-command-line"}
	for _, s := range config.Settings() {
		_, err := parse(nil, "--"+s.Flag)
		if slices.Contains(alone, s.Flag) {
			require.NoError(t, err)
			continue
		}
		require.EqualError(t, err, "--"+s.Flag+": no value: want "+s.Allowed)
	}
}

func TestHelp(t *testing.T) {
	var out bytes.Buffer
	_, err := config.Parse([]string{"--help"}, lookup(map[string]string{"KEY": "hunter2", "BATCH_SIZE": "many"}), &out)
	require.ErrorIs(t, err, common.ErrHelp)
	if *update {
		require.NoError(t, os.WriteFile("testdata/help.txt", out.Bytes(), 0o644))
	}
	golden, err := os.ReadFile("testdata/help.txt")
	require.NoError(t, err)
	require.Equal(t, string(golden), out.String(), "go test -update writes it")
}

func TestVersion(t *testing.T) {
	var out bytes.Buffer
	_, err := config.Parse([]string{"--version"}, lookup(map[string]string{"BATCH_SIZE": "many"}), &out)
	require.ErrorIs(t, err, common.ErrVersion)
	require.True(t, strings.HasPrefix(out.String(), "gometheus-agent "), out.String())
}

// FuzzParse takes one argument a line, and the value of every variable but the
// secret one.
func FuzzParse(f *testing.F) {
	for _, s := range settings {
		f.Add("--"+s.flag+"\n"+s.inFlag, "")
		f.Add("-"+s.short+s.inFlag, s.bad)
	}
	secrets := map[string]string{"KEY": "hunter2-key"}
	f.Fuzz(func(t *testing.T, args, value string) {
		if strings.Contains(args+value, "hunter2") {
			t.Skip("not a secret any more")
		}
		var out bytes.Buffer
		got, err := config.Parse(strings.Split(args, "\n"), func(name string) (string, bool) {
			if secret, ok := secrets[name]; ok {
				return secret, true
			}
			return value, true
		}, &out)
		require.NotContains(t, out.String(), "hunter2")
		switch {
		case err == nil:
			require.Positive(t, got.PollInterval)
			require.Positive(t, got.ReportInterval)
			require.Positive(t, got.BatchSize)
			require.Positive(t, got.RateLimit)
			require.Positive(t, got.SpoolMaxSize)
			require.Positive(t, got.SpoolMaxAge)
			require.NotEmpty(t, got.Address)
		case errors.Is(err, common.ErrHelp), errors.Is(err, common.ErrVersion):
			require.NotEmpty(t, out.String())
		default:
			requireLine(t, err)
			require.NotContains(t, err.Error(), "hunter2")
		}
	})
}

func TestCommand(t *testing.T) {
	c, err := parse(nil, config.Healthcheck, "--address", "here:1")
	require.NoError(t, err)
	require.Equal(t, config.Healthcheck, c.Command)
	require.Equal(t, "here:1", c.Address)
	c, err = parse(nil, "--address", "here:1")
	require.NoError(t, err)
	require.Empty(t, c.Command)
	for _, command := range []string{config.Once, config.Check} {
		c, err = parse(nil, "--address", "here:1", command, "-b", "7")
		require.NoError(t, err)
		require.Equal(t, command, c.Command)
		require.Equal(t, 7, c.BatchSize)
	}
	_, err = parse(nil, config.Once, config.Check)
	require.ErrorContains(t, err, "--check")
	_, err = parse(nil, "--address", "here:1", config.Healthcheck)
	require.ErrorContains(t, err, `argument "healthcheck"`, "it stands before the flags")
}

// TestWrongSources: what names nothing is a mistake of the settings, which holds
// no secret.
func TestWrongSources(t *testing.T) {
	for _, tt := range []struct{ arg, want string }{
		{"--scrape=ftp://user:hunter2@h", "SCRAPE"},
		{"--scrape=http://user:hunter2,more@h", "target 1"},
		{"--scrape=user:hunter2@h:x", "target 1"},
		{"--scrape=a=http://h/?token=hunter2,ftp://b", "target 2"},
		{"--scrape=node=localhost:9100", "what COLLECTORS collects"},
		{"--scrape=http://user:hunter2@h:1,http://user:hunter2@h:1/other", "different names"},
		{"--node-enable=sytemd", `NODE_ENABLE "sytemd"`},
		{"--node-disable=cpux", `NODE_DISABLE "cpux"`},
		{"--node-disable=nfs --node-enable=nfs", `NODE_DISABLE "nfs"`},
	} {
		if runtime.GOOS != "linux" && strings.Contains(tt.arg, "node") { // it isn't among the default collectors there
			continue
		}
		_, err := parse(nil, strings.Fields(tt.arg)...)
		requireLine(t, err)
		require.ErrorContains(t, err, tt.want)
		require.NotContains(t, err.Error(), "hunter2")
	}
	_, err := parse(nil, "--scrape=a=http://h:1,b=http://h:1/other", "--node-enable=systemd", "--node-disable=nfs,xfs")
	require.NoError(t, err)
}
