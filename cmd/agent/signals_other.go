//go:build !unix

package main

import "os"

// profileSignals: there are no such signals here.
func profileSignals() (cpu, mem <-chan os.Signal) { return nil, nil }
