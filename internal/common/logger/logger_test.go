package logger_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/gometheus/gometheus/internal/common/logger"
)

func TestLevels(t *testing.T) {
	all := strings.Split(logger.Levels, "|")
	for i, level := range append(all, "WARN") {
		want := all[min(i, 3):]
		if level == "WARN" {
			want = all[2:]
		}
		t.Run(level, func(t *testing.T) {
			var out bytes.Buffer
			log, err := logger.New(level, zapcore.AddSync(&out))
			require.NoError(t, err)
			log.Debug("x")
			log.Info("x")
			log.Warn("x")
			log.Error("x")
			require.NoError(t, log.Sync())
			var got []string
			for line := range strings.Lines(out.String()) {
				var entry struct{ Level string }
				require.NoError(t, json.Unmarshal([]byte(line), &entry))
				got = append(got, entry.Level)
			}
			require.Equal(t, want, got)
		})
	}
}

func TestUnknownLevel(t *testing.T) {
	for _, level := range []string{"", "loud", "fatal", "panic", "dpanic", "-1", " info"} {
		_, err := logger.New(level, zapcore.AddSync(&bytes.Buffer{}))
		require.EqualError(t, err, fmt.Sprintf("log level %q: not one of debug|info|warn|error", level))
	}
}

func TestLine(t *testing.T) {
	t.Setenv("TZ", "Asia/Tokyo")
	var out bytes.Buffer
	log, err := logger.New("info", zapcore.AddSync(&out))
	require.NoError(t, err)
	log.Error("write snapshot", zap.Error(errors.New("disk full")), zap.Int("metrics", 3))
	require.Regexp(t, regexp.MustCompile(
		`^{"level":"error","time":"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z","msg":"write snapshot","error":"disk full","metrics":3}\n$`), out.String())
}

const hidden = "hunter2"

func TestSecretIsNeverPrinted(t *testing.T) {
	type config struct {
		Key  logger.Secret
		Ptr  *logger.Secret
		List []logger.Secret
		Map  map[string]logger.Secret
	}
	s := logger.Secret(hidden)
	c := config{s, &s, []logger.Secret{s}, map[string]logger.Secret{"k": s}}
	var out bytes.Buffer
	log, err := logger.New("info", zapcore.AddSync(&out))
	require.NoError(t, err)

	for name, show := range map[string]func(v any){
		"zap.Any":      func(v any) { log.Info("x", zap.Any("k", v)) },
		"zap.Reflect":  func(v any) { log.Info("x", zap.Reflect("k", v)) },
		"zap.String":   func(v any) { log.Info("x", zap.String("k", fmt.Sprint(v))) },
		"zap sugar":    func(v any) { log.Sugar().Infow("x", "k", v); log.Sugar().Infof("%v", v) },
		"slog json":    func(v any) { slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "k", v) },
		"slog text":    func(v any) { slog.New(slog.NewTextHandler(&out, nil)).Info("x", "k", v) },
		"json":         func(v any) { require.NoError(t, json.NewEncoder(&out).Encode(v)) },
		"println":      func(v any) { fmt.Fprintln(&out, v) },
		"error":        func(v any) { fmt.Fprint(&out, fmt.Errorf("bad key %v", v)) },
		"verbs":        func(v any) { fmt.Fprintf(&out, "%v %+v %#v %s %q", v, v, v, v, v) },
		"strange ones": func(v any) { fmt.Fprintf(&out, "*** %x %X % x %d %t %z %-9.3f", v, v, v, v, v, v, v) },
	} {
		for what, v := range map[string]any{"alone": s, "pointer": &s, "list": c.List, "map": c.Map, "struct": c, "struct pointer": &c} {
			t.Run(name+" "+what, func(t *testing.T) {
				out.Reset()
				show(v)
				text := out.String()
				require.NotContains(t, text, hidden)
				require.NotContains(t, strings.ToLower(strings.ReplaceAll(text, " ", "")), "68756e74657232", "not in hex either")
				if what == "alone" {
					require.Contains(t, text, "***")
				}
			})
		}
	}
	out.Reset()
	log.Info("x", zap.Stringer("k", s))
	require.Contains(t, out.String(), `"k":"***"`)
}

func TestSecretExactForms(t *testing.T) {
	s, empty := logger.Secret(hidden), logger.Secret("")
	require.Equal(t, hidden, s.Reveal())
	require.Equal(t, "***", s.String())
	require.Equal(t, `***|***|"***"|"***"`, fmt.Sprintf("%v|%s|%q|%#v", s, s, s, s))
	require.Equal(t, `||""|""`, fmt.Sprintf("%v|%s|%q|%#v", empty, empty, empty, empty))
	require.Equal(t, "***", s.LogValue().String())
	for v, want := range map[logger.Secret]string{s: `"***"`, empty: `""`} {
		b, err := json.Marshal(v)
		require.NoError(t, err)
		require.Equal(t, want, string(b))
		b, err = v.MarshalText()
		require.NoError(t, err)
		require.Equal(t, strings.Trim(want, `"`), string(b))
		require.Equal(t, want, v.GoString())
	}
}

func Example() {
	log, err := logger.New("info", zapcore.AddSync(os.Stdout))
	if err != nil {
		fmt.Println(err)
		return
	}
	log = log.WithOptions(zap.WithClock(newYear{}))
	log.Info("started",
		zap.Any("key", logger.Secret("hunter2")),
		zap.String("dsn", logger.RedactDSN("postgres://gometheus:hunter2@db/metrics")))
	// Output: {"level":"info","time":"2026-01-01T00:00:00.000Z","msg":"started","key":"***","dsn":"postgres://gometheus:***@db/metrics"}
}
