// Package systemd tells systemd how the process is, by the protocol of
// sd_notify(3): that it is ready, that it stops, and, for the watchdog, that it
// lives. Outside systemd, and in its zero value, a [Notifier] tells nobody.
//
// It is not github.com/coreos/go-systemd/daemon because that reads the
// environment by itself, which here is done in one place.
package systemd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"
)

// Notifier tells one systemd.
type Notifier struct {
	socket   string        // a path, or @ and a name in the abstract namespace; empty: nobody listens
	watchdog time.Duration // systemd kills a process that is silent for so long; 0: never
}

// New is the notifier for the process pid in the environment that lookup knows.
// Children inherit the environment, so the watchdog's variables name the process
// they are meant for.
func New(lookup func(string) (string, bool), pid int) Notifier {
	var n Notifier
	n.socket, _ = lookup("NOTIFY_SOCKET")
	usec, _ := lookup("WATCHDOG_USEC")
	if us, err := strconv.ParseInt(usec, 10, 64); err == nil && us > 0 && us < int64(time.Hour*24*365/time.Microsecond) {
		n.watchdog = time.Duration(us) * time.Microsecond
	}
	if meant, _ := lookup("WATCHDOG_PID"); meant != "" && meant != strconv.Itoa(pid) {
		n.watchdog = 0
	}
	return n
}

// Tell sends what changed, as "READY=1" or "STATUS=…", in one message.
func (n Notifier) Tell(changes ...string) error {
	if n.socket == "" {
		return nil
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: n.socket, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("notify systemd: %w", err)
	}
	_, err = conn.Write([]byte(strings.Join(changes, "\n")))
	if err = errors.Join(err, conn.Close()); err != nil {
		return fmt.Errorf("notify systemd: %w", err)
	}
	return nil
}

// Run tells that the process is ready, and that it stops when ctx has ended. In
// between it feeds the watchdog, but only as long as check returns nil. That is
// called four times in the watchdog's interval, with a context that ends before
// the next time. A check that hangs is a process that hangs: Run hangs with it, and
// systemd hears nothing. A message that can't be sent is logged and stops nothing.
func (n Notifier) Run(ctx context.Context, log *zap.Logger, status string, check func(context.Context) error) {
	if n.socket == "" {
		return
	}
	tell := func(changes ...string) {
		if err := n.Tell(changes...); err != nil {
			log.Warn("systemd is not told", zap.Strings("what", changes), zap.Error(err))
		}
	}
	tell("READY=1", "STATUS="+status)
	defer tell("STOPPING=1", "STATUS=stopping")
	if n.watchdog == 0 {
		<-ctx.Done()
		return
	}
	pause := n.watchdog / 4
	ticker := time.NewTicker(pause)
	defer ticker.Stop()
	quiet := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		bounded, cancel := context.WithTimeout(ctx, pause)
		err := check(bounded)
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			tell("WATCHDOG=1")
			quiet = false
		case !quiet:
			log.Error("systemd's watchdog gets no sign of life", zap.Error(err), zap.Duration("kills_after", n.watchdog))
			quiet = true
		}
	}
}
