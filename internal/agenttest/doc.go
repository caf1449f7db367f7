// Package agenttest runs the real agent against the real server and asks what
// people with dashboards for node_exporter ask. Its benchmarks measure what the
// agent takes of the machine, beside Debian's node_exporter (make bench-agent). It
// holds tests only.
//
// scripts/test-deps fetches node_exporter; GOMETHEUS_LONG=1 runs the long forms.
package agenttest
