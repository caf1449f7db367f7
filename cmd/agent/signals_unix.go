//go:build unix

package main

import (
	"os"
	"os/signal"
	"syscall"
)

// profileSignals: SIGUSR1 asks for a CPU profile, SIGUSR2 for a heap profile.
func profileSignals() (cpu, mem <-chan os.Signal) {
	c, m := make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGUSR1)
	signal.Notify(m, syscall.SIGUSR2)
	return c, m
}
