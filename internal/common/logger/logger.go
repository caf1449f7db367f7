// Package logger makes the programs' one logger, and keeps secrets out of it.
//
// The logger is zap's, passed to whoever logs: there is no global one. A secret
// is either of type [Secret], which every way to print a value redacts, or in a
// DSN, which goes through [RedactDSN] first.
package logger

import (
	"fmt"
	"strings"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Levels are the names that [New] takes, the most talkative first.
const Levels = "debug|info|warn|error"

// timeLayout is ISO 8601 with milliseconds; the times are UTC.
const timeLayout = "2006-01-02T15:04:05.000Z"

// New returns a logger that writes a line of JSON for each entry of the level and
// above: level, time (ISO 8601, UTC), msg, then the fields. w may be written to by
// others too, but needs no lock of its own. The level is one of [Levels], in any
// case of letters. There are no stack traces: who has one logs it as a field. What
// is not printable is escaped, and what is very long is cut.
func New(level string, w zapcore.WriteSyncer) (*zap.Logger, error) {
	l, err := parseLevel(level)
	if err != nil {
		return nil, err
	}
	enc := zap.NewProductionEncoderConfig()
	enc.TimeKey = "time"
	enc.EncodeTime = func(t time.Time, e zapcore.PrimitiveArrayEncoder) {
		e.AppendString(t.UTC().Format(timeLayout))
	}
	w = zapcore.Lock(w)
	core := zapcore.NewCore(newHarmless(zapcore.NewJSONEncoder(enc)), w, l)
	return zap.New(core, zap.ErrorOutput(w)), nil
}

func parseLevel(s string) (zapcore.Level, error) {
	switch strings.ToLower(s) {
	case "debug":
		return zapcore.DebugLevel, nil
	case "info":
		return zapcore.InfoLevel, nil
	case "warn":
		return zapcore.WarnLevel, nil
	case "error":
		return zapcore.ErrorLevel, nil
	}
	return 0, fmt.Errorf("log level %q: not one of %s", s, Levels)
}
