package app_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zapcore"

	"github.com/gometheus/gometheus/internal/agent/app"
	"github.com/gometheus/gometheus/internal/agent/config"
	"github.com/gometheus/gometheus/internal/common/metric"
)

// TestDeniedLosesNothing: while the password is wrong, and while something else
// answers at the address, everything waits, with and without a disk; the log says
// so at once and again every now and then, and when it is cured all arrives.
func TestDeniedLosesNothing(t *testing.T) {
	for _, status := range []int{401, 403, 404, 405, 407, 413, 415} { // the last two are of no gometheus server
		for _, spool := range []string{"", "spool"} {
			t.Run(fmt.Sprint(status, spool), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := newServer(t)
					s.answer = during(5*time.Second, 12*time.Minute, reply{drop: true, status: status})
					r := start(t, s, func(c *config.Config, o *app.Options) {
						c.SpoolDir, o.FS = spool, vfs.NewMem()
						c.Access = config.Access{User: "me", Password: "hunter2"}
					}, &counting{n: 3})
					time.Sleep(13*time.Minute + time.Second) // fake time
					denied := r.logs.FilterLevelExact(zapcore.ErrorLevel).All()
					require.Len(t, denied, 3, "at once, after 5 and after 10 minutes")
					require.Contains(t, denied[0].Message, "denies this agent")
					require.Len(t, r.logs.FilterMessage("the server is back").All(), 1)
					_, last := r.end()
					require.Zero(t, last["refused_metrics"])
					require.Zero(t, last["given_up_metrics"])
					polls := s.sums["PollCount"]
					require.GreaterOrEqual(t, polls, int64(390))
					requireEverySample(t, s, 3, int(polls))
					tries := 0
					for _, tr := range s.tries {
						if tr.at > 5*time.Second && tr.at < 12*time.Minute {
							tries++
						}
					}
					require.Less(t, tries, 10*24+100, "each of the ten senders tries every half minute")
					for _, e := range r.logs.All() {
						require.NotContains(t, fmt.Sprint(e.Message, e.ContextMap()), "hunter2")
					}
				})
			})
		}
	}
}

// TestAgentBatchesFit: a batch of the largest BATCH_SIZE with the largest labels
// is one that a server with its default limits takes.
func TestAgentBatchesFit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := metric.DefaultLimits()
		s := newServer(t)
		labels := map[string]string{}
		for i := range limits.Labels {
			name := fmt.Sprintf("%0*d", limits.LabelName-1, i)
			labels["l"+name] = fmt.Sprintf("%0*d", limits.LabelValue, i)
		}
		r := start(t, s, func(c *config.Config, _ *app.Options) { c.BatchSize, c.Labels = 100_000, labels }, &counting{n: 300})
		synctest.Wait()
		r.end()
		require.Greater(t, len(s.tries), 1)
		for _, tr := range s.tries {
			size := 0
			for _, m := range tr.metrics {
				size += 200
				for name, value := range m.Labels {
					size += len(name) + len(value)
				}
			}
			require.Less(t, size, 8<<20)
		}
	})
}
