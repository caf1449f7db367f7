//go:build unix

package main

import (
	"os"
	"os/signal"
	"syscall"

	"github.com/gometheus/gometheus/internal/server/app"
)

// profileSignals: SIGUSR1 asks for a CPU profile, SIGUSR2 for a heap profile.
func profileSignals() app.Signals {
	cpu, heap := make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(cpu, syscall.SIGUSR1)
	signal.Notify(heap, syscall.SIGUSR2)
	return app.Signals{CPU: cpu, Heap: heap}
}
