//go:build !unix

package main

import "github.com/gometheus/gometheus/internal/server/app"

// profileSignals: there are no such signals here.
func profileSignals() app.Signals { return app.Signals{} }
