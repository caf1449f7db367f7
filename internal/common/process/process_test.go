package process_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/gometheus/gometheus/internal/common/config"
	"github.com/gometheus/gometheus/internal/common/process"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRun(t *testing.T) {
	stops := make(chan os.Signal, 2)
	require.Equal(t, process.OK, process.Run(zap.NewNop(), stops, func(context.Context) error { return nil }))
	require.Equal(t, process.Failed, process.Run(zap.NewNop(), stops, func(context.Context) error { return errors.New("x") }))

	untilStopped := func(ctx context.Context) error {
		stops <- syscall.SIGTERM
		<-ctx.Done()
		return nil
	}
	require.Equal(t, process.OK, process.Run(zap.NewNop(), stops, untilStopped))

	// One that doesn't heed the first signal is left behind at the second.
	release := make(chan struct{})
	ended := make(chan struct{})
	stuck := func(context.Context) error {
		defer close(ended)
		<-release
		return nil
	}
	stops <- syscall.SIGTERM
	stops <- syscall.SIGTERM
	require.Equal(t, process.Failed, process.Run(zap.NewNop(), stops, stuck))
	close(release)
	<-ended
}

func TestBadSettings(t *testing.T) {
	var out bytes.Buffer
	require.Equal(t, process.OK, process.BadSettings(config.ErrHelp, &out))
	require.Equal(t, process.OK, process.BadSettings(config.ErrVersion, &out))
	require.Empty(t, out.String())
	require.Equal(t, process.Usage, process.BadSettings(errors.New("bad"), &out))
	require.Equal(t, "bad\n", out.String())
}

func TestHealth(t *testing.T) {
	var out bytes.Buffer
	require.Equal(t, process.OK, process.Health("fine", nil, &out))
	require.Equal(t, process.Failed, process.Health("", errors.New("bad"), &out))
	require.Equal(t, "healthy: fine\nunhealthy: bad\n", out.String())
}
