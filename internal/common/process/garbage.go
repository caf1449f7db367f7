package process

import "runtime/debug"

// gcPercent is how much garbage there may be beside what lives before it is
// collected. What a history or a queue holds is large and lives long: at Go's
// default there would be as much again beside it.
const gcPercent = 50

// CollectSooner sets gcPercent, unless GOGC says otherwise.
func CollectSooner() {
	const usual = 100
	if before := debug.SetGCPercent(gcPercent); before != usual {
		debug.SetGCPercent(before)
	}
}
