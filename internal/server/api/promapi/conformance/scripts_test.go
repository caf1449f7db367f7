package conformance

import (
	"testing"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/storage"
)

// scripts runs Prometheus' own scripts against a storage. The engine needs what
// they use: the options of promqltest.TestParserOpts, the names removed late,
// start timestamps.
func scripts(t *testing.T, engine promql.QueryEngine, newStorage func(testing.TB) storage.Storage) {
	t.Helper()
	promqltest.RunBuiltinTestsWithStorage(t, engine, newStorage)
}

// TestScripts runs them as they are meant to run: what fails here is no fault of
// another storage's.
func TestScripts(t *testing.T) {
	engine := newEngine(t, parser.NewParser(promqltest.TestParserOpts), nil)
	scripts(t, engine, func(tb testing.TB) storage.Storage { return promqltest.NewBuiltinTestStorage(tb) })
}
