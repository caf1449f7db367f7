package pprof_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"go.uber.org/zap"

	"github.com/gometheus/gometheus/internal/common/pprof"
)

// What cmd does with signal.Notify, an example does by hand.
func ExampleRun() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	cfg := pprof.Config{CPUFile: filepath.Join(dir, "cpu.pprof"), CPUDuration: time.Second, MemFile: filepath.Join(dir, "mem.pprof")}

	ctx, cancel := context.WithCancel(context.Background())
	mem, done := make(chan os.Signal), make(chan error)
	go func() { done <- pprof.Run(ctx, cfg, nil, mem, zap.NewNop()) }()
	mem <- syscall.SIGUSR2
	cancel()
	fmt.Println(<-done)
	_, err = os.Stat(cfg.MemFile)
	fmt.Println(err)
	// Output:
	// <nil>
	// <nil>
}
