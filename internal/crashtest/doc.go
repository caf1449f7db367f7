// Package crashtest kills, cuts, fills and damages what keeps the state, and
// compares what is left with what was promised. It holds tests only.
//
// # The oracle
//
// Every batch of a test adds 1 to a digit of its own: batch k to the digit
// k mod 20 of the counter batch{w=k/20}, a number in base 8. So a counter tells
// of 20 batches how often each was applied, up to seven times, and a round of
// thousands of batches needs a few hundred series. A batch also adds random
// amounts to a few shared counters and sets its sender's gauge. What is stored
// is right when
//
//	acknowledged ⊆ applied ⊆ sent, each at most once,
//
// the shared counters are the sums of what was applied, and each gauge is that
// of its sender's newest applied batch.
//
// # Forms
//
// go test runs a short form of everything. GOMETHEUS_LONG=1 runs the counts of
// the promise: 1,000 kills, 10,000 faults, 10,000 power cuts, every byte.
// A test says its seed; CRASH_SEED=… repeats it, as far as processes can be
// repeated. When a test fails its folder, with the programs' logs and data, is
// kept, and its name is printed. The disk that fills up is a tmpfs, for which
// one must be root; that test is skipped otherwise.
package crashtest
