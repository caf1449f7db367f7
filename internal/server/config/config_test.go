package config_test

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	common "github.com/gometheus/gometheus/internal/common/config"
	"github.com/gometheus/gometheus/internal/common/logger"
	"github.com/gometheus/gometheus/internal/server/config"
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
	want := config.Config{
		Address:                "localhost:8080",
		LogLevel:               "info",
		StoreInterval:          5 * time.Minute,
		FileStoragePath:        "/tmp/metrics-db.json",
		Restore:                true,
		DatabaseDriver:         "pgx",
		DatabaseMaxConns:       10,
		DatabaseTimeout:        30 * time.Second,
		DatabaseConnectTimeout: 5 * time.Second,
		History:                true,
		HistoryPath:            "gometheus-data",
		HistoryRetention:       15 * 24 * time.Hour,
		HistoryOutOfOrder:      7 * 24 * time.Hour,
		QueryTimeout:           30 * time.Second,
		QueryConcurrency:       4,
		QueryMaxSamples:        20_000_000,
		CPUProfileFile:         "./cpu.pprof",
		CPUProfileDuration:     30 * time.Second,
		MemProfileFile:         "./mem.pprof",
		Limits: config.Limits{
			Body: 8 << 20, BodyUnpacked: 32 << 20, Memory: 256 << 20, Requests: 256, Batch: 100_000,
			Name: 512, Labels: 32, LabelName: 128, LabelValue: 1024, Series: 1_000_000,
			HeaderTime: 5 * time.Second, RequestTime: 30 * time.Second, IdleTime: 2 * time.Minute,
		},
	}
	want.Shown = config.Default().Shown
	require.Equal(t, "15d", want.Shown["history-retention"])
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
	{"address", "a", "ADDRESS", ":1", "[::1]:2", "nowhere", nil, func(c config.Config) any { return c.Address }, ":1", "[::1]:2"},
	{"log-level", "l", "LOG_LEVEL", "warn", "debug", "loud", nil, func(c config.Config) any { return c.LogLevel }, "warn", "debug"},
	{"store-interval", "i", "STORE_INTERVAL", "0", "1m30s", "-1", nil, func(c config.Config) any { return c.StoreInterval }, time.Duration(0), 90 * time.Second},
	{"file-storage-path", "f", "FILE_STORAGE_PATH", "/a", "/b", "", "", func(c config.Config) any { return c.FileStoragePath }, "/a", "/b"},
	{"restore", "r", "RESTORE", "false", "true", "maybe", nil, func(c config.Config) any { return c.Restore }, false, true},
	{"database-driver", "", "DATABASE_DRIVER", "pgx", "PGX", "mysql", nil, func(c config.Config) any { return c.DatabaseDriver }, "pgx", "pgx"},
	{"database-dsn", "d", "DATABASE_DSN", "postgres://u:p@a/b", "postgres://u:p@c/d", "", nil, func(c config.Config) any { return c.DatabaseDSN }, logger.Secret("postgres://u:p@a/b"), logger.Secret("postgres://u:p@c/d")},
	{"database-max-conns", "", "DATABASE_MAX_CONNS", "1", "20", "0", nil, func(c config.Config) any { return c.DatabaseMaxConns }, 1, 20},
	{"database-timeout", "", "DATABASE_TIMEOUT", "2", "1m30s", "0", nil, func(c config.Config) any { return c.DatabaseTimeout }, 2 * time.Second, 90 * time.Second},
	{"database-connect-timeout", "", "DATABASE_CONNECT_TIMEOUT", "0.5", "7s", "-1", nil, func(c config.Config) any { return c.DatabaseConnectTimeout }, 500 * time.Millisecond, 7 * time.Second},
	{"history", "", "HISTORY", "false", "true", "maybe", nil, func(c config.Config) any { return c.History }, false, true},
	{"history-path", "", "HISTORY_PATH", "/a", "/b", "", nil, func(c config.Config) any { return c.HistoryPath }, "/a", "/b"},
	{"history-retention", "", "HISTORY_RETENTION", "30d", "1y", "1m", nil, func(c config.Config) any { return c.HistoryRetention }, 720 * time.Hour, 8760 * time.Hour},
	{"history-max-size", "", "HISTORY_MAX_SIZE", "1GiB", "5GB", "-1", nil, func(c config.Config) any { return c.HistoryMaxSize }, int64(1 << 30), int64(5e9)},
	{"history-out-of-order", "", "HISTORY_OUT_OF_ORDER", "0", "1d", "2y", nil, func(c config.Config) any { return c.HistoryOutOfOrder }, time.Duration(0), 24 * time.Hour},
	{"query-timeout", "", "QUERY_TIMEOUT", "2", "1m30s", "0", nil, func(c config.Config) any { return c.QueryTimeout }, 2 * time.Second, 90 * time.Second},
	{"query-concurrency", "", "QUERY_CONCURRENCY", "1", "20", "0", nil, func(c config.Config) any { return c.QueryConcurrency }, 1, 20},
	{"query-max-samples", "", "QUERY_MAX_SAMPLES", "1", "50000000", "0", nil, func(c config.Config) any { return c.QueryMaxSamples }, 1, 50_000_000},
	{"enable-admin-api", "", "ENABLE_ADMIN_API", "true", "false", "maybe", nil, func(c config.Config) any { return c.EnableAdminAPI }, true, false},
	{"key", "k", "KEY", "one", "two", "", nil, func(c config.Config) any { return c.Key }, logger.Secret("one"), logger.Secret("two")},
	{"signature", "", "SIGNATURE", "both", "Message", "none", nil, func(c config.Config) any { return c.Signature }, signature.Both, signature.Message},
	{"web-config-file", "", "WEB_CONFIG_FILE", "testdata/web.yml", "testdata/web-http1.yml", "", "", func(c config.Config) any { return c.WebConfigFile }, "testdata/web.yml", "testdata/web-http1.yml"},
	{"trusted-subnet", "", "TRUSTED_SUBNET", "192.0.2.0/24", "::1", "nowhere", []netip.Prefix(nil), func(c config.Config) any { return c.TrustedSubnet }, []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, []netip.Prefix{netip.MustParsePrefix("::1/128")}},
	{"trusted-proxies", "", "TRUSTED_PROXIES", "192.0.2.0/24", "::1", "nowhere", []netip.Prefix(nil), func(c config.Config) any { return c.TrustedProxies }, []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, []netip.Prefix{netip.MustParsePrefix("::1/128")}},
	{"limit-body", "", "LIMIT_BODY", "1MiB", "2000", "1", nil, func(c config.Config) any { return c.Limits.Body }, int64(1 << 20), int64(2000)},
	{"limit-body-unpacked", "", "LIMIT_BODY_UNPACKED", "1MiB", "2000", "2GiB", nil, func(c config.Config) any { return c.Limits.BodyUnpacked }, int64(1 << 20), int64(2000)},
	{"limit-memory", "", "LIMIT_MEMORY", "100MiB", "1GiB", "1MiB", nil, func(c config.Config) any { return c.Limits.Memory }, int64(100 << 20), int64(1 << 30)},
	{"limit-requests", "", "LIMIT_REQUESTS", "1", "2000", "0", nil, func(c config.Config) any { return c.Limits.Requests }, 1, 2000},
	{"limit-batch", "", "LIMIT_BATCH", "1", "2000", "0", nil, func(c config.Config) any { return c.Limits.Batch }, 1, 2000},
	{"limit-name", "", "LIMIT_NAME", "1", "1024", "1025", nil, func(c config.Config) any { return c.Limits.Name }, 1, 1024},
	{"limit-labels", "", "LIMIT_LABELS", "1", "256", "257", nil, func(c config.Config) any { return c.Limits.Labels }, 1, 256},
	{"limit-label-name", "", "LIMIT_LABEL_NAME", "1", "1024", "1025", nil, func(c config.Config) any { return c.Limits.LabelName }, 1, 1024},
	{"limit-label-value", "", "LIMIT_LABEL_VALUE", "1", "65536", "65537", nil, func(c config.Config) any { return c.Limits.LabelValue }, 1, 65536},
	{"limit-series", "", "LIMIT_SERIES", "1", "50000000", "0", nil, func(c config.Config) any { return c.Limits.Series }, 1, 50_000_000},
	{"limit-header-time", "", "LIMIT_HEADER_TIME", "2", "1.5s", "0", nil, func(c config.Config) any { return c.Limits.HeaderTime }, 2 * time.Second, 1500 * time.Millisecond},
	{"limit-request-time", "", "LIMIT_REQUEST_TIME", "20", "1m", "2h", nil, func(c config.Config) any { return c.Limits.RequestTime }, 20 * time.Second, time.Minute},
	{"limit-idle-time", "", "LIMIT_IDLE_TIME", "20", "1m", "0", nil, func(c config.Config) any { return c.Limits.IdleTime }, 20 * time.Second, time.Minute},
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
			check(s.wantFlag, vars, "--"+s.flag, s.inVar, "--"+s.flag, s.inFlag)
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

func TestErrorLines(t *testing.T) {
	_, err := parse(nil, "-i", "-1")
	require.EqualError(t, err, `-i "-1": want seconds or a duration such as 1m30s, from 1ms to 8760h, or 0`)
	_, err = parse(map[string]string{"DATABASE_DRIVER": "mysql"})
	require.EqualError(t, err, `DATABASE_DRIVER "mysql": want pgx`)
	_, err = parse(nil, "--address", "http://localhost:8080")
	require.EqualError(t, err, `--address "http://localhost:8080": want host:port, port from 0 to 65535`)
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

func TestMissingValues(t *testing.T) {
	for _, s := range config.Settings() {
		got, err := parse(nil, "--"+s.Flag)
		if s.Kind == "bool" {
			require.NoError(t, err)
			require.True(t, got.Restore)
			continue
		}
		require.EqualError(t, err, "--"+s.Flag+": no value: want "+s.Allowed)
	}
}

func TestHelp(t *testing.T) {
	var out bytes.Buffer
	_, err := config.Parse([]string{"--help"}, lookup(map[string]string{"KEY": "hunter2", "RESTORE": "maybe"}), &out)
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
	_, err := config.Parse([]string{"--version"}, lookup(map[string]string{"RESTORE": "maybe"}), &out)
	require.ErrorIs(t, err, common.ErrVersion)
	require.True(t, strings.HasPrefix(out.String(), "gometheus-server "), out.String())
}

// FuzzParse takes one argument a line, and the value of every variable but the
// secret ones.
func FuzzParse(f *testing.F) {
	for _, s := range settings {
		f.Add("--"+s.flag+"\n"+s.inFlag, "")
		f.Add("-"+s.short+s.inFlag, s.bad)
	}
	secrets := map[string]string{"KEY": "hunter2-key", "DATABASE_DSN": "postgres://u:hunter2-dsn@h/d"}
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
			require.GreaterOrEqual(t, got.StoreInterval, time.Duration(0))
			require.Equal(t, "pgx", got.DatabaseDriver)
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
	_, err = parse(nil, "--address", "here:1", config.Healthcheck)
	require.ErrorContains(t, err, `argument "healthcheck"`, "it stands before the flags")
}
