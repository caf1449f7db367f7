// Package securitytest attacks the server, as a process with its default
// settings, and holds it to what SECURITY.md promises: bombs, clients that never
// finish, floods, endless names, malformed requests, and a log that stays
// harmless whatever was sent. It also runs the same random life through all
// storages and one plain model. It holds tests only.
//
// # Forms
//
// go test runs a short form of everything. GOMETHEUS_LONG=1, as make security
// does, runs the counts of the promise: 10,000 slow clients, a flood of a minute,
// 10 million names, ten minutes of random life. A test says its seed;
// SECURITY_SEED=… repeats it. What was measured is in the output of go test -v.
//
// Memory is what the system says the process has resident, so those tests need
// Linux. When a test fails its folder, with the server's log, is kept.
package securitytest
