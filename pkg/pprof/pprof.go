// Package pprof writes profiles of this process to files.
//
// A profile is written to a temporary file beside its path and renamed when it is
// complete, so a reader sees the old one or the new one and never half of one. It
// is readable by the owner only (0600): a heap profile shows what a program is
// about. Nothing is synced to the disk: a profile is not worth it.
//
// Compared with net/http/pprof: there is no port to protect, and the profile
// outlives the process. Read the files with go tool pprof.
package pprof

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"time"
)

var (
	// ErrRunning says that a CPU profile is being taken: the runtime takes one at a
	// time, whoever asked for it.
	ErrRunning = errors.New("a CPU profile is running already")
	// ErrUnknown says that the runtime has no profile of that name.
	ErrUnknown = errors.New("unknown profile")
)

// CPU profiles the process for the duration, or until ctx ends, and writes the
// profile to path. It returns when the file is there; the profile is complete in
// both cases, and the end of ctx is no error. Of two at once the second returns
// [ErrRunning] at once and leaves its path alone.
func CPU(ctx context.Context, path string, duration time.Duration) error {
	err := replace(path, func(w io.Writer) error {
		if err := pprof.StartCPUProfile(w); err != nil {
			return fmt.Errorf("%w: %w", ErrRunning, err)
		}
		// Returns when all is written to w, even if what follows panics.
		defer pprof.StopCPUProfile()
		t := time.NewTimer(duration)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("write CPU profile: %w", err)
	}
	return nil
}

// Heap writes to path what is alive on the heap, after a garbage collection, so
// that the profile is of now and not of the last one.
func Heap(path string) error {
	runtime.GC()
	return Write("heap", path)
}

// Write writes the runtime's profile of that name (goroutine, allocs, block, ...)
// to path. The error wraps [ErrUnknown] if there is no such profile; the CPU
// profile is not among them.
func Write(name, path string) error {
	p := pprof.Lookup(name)
	if p == nil {
		return fmt.Errorf("%w %q: not one of %s", ErrUnknown, name, strings.Join(names(), ", "))
	}
	if err := replace(path, func(w io.Writer) error { return p.WriteTo(w, 0) }); err != nil {
		return fmt.Errorf("write %s profile: %w", name, err)
	}
	return nil
}

func names() (names []string) {
	for _, p := range pprof.Profiles() {
		names = append(names, p.Name())
	}
	return slices.Sorted(slices.Values(names))
}

// replace puts what write writes in place of path; after an error path is as it
// was. The buffer keeps the first error of the file: the runtime's profilers
// ignore what a Write returns.
func replace(path string, write func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.tmp") // 0600
	if err != nil {
		return err
	}
	closed := false
	defer func() {
		if err == nil {
			return
		}
		if !closed {
			err = errors.Join(err, f.Close())
		}
		err = errors.Join(err, os.Remove(f.Name()))
	}()
	w := bufio.NewWriter(f)
	if err := write(w); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	closed = true
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
