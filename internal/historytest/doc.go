// Package historytest runs the real server beside real programs that know
// Prometheus (Prometheus itself as a remote-write sender, promtool, the Go client
// library) and asks whether they can tell the difference. It holds tests only.
//
// scripts/test-deps fetches Prometheus; GOMETHEUS_LONG=1 runs the long forms.
package historytest
