package app

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/gometheus/gometheus/internal/agent/scrape"
	"github.com/gometheus/gometheus/pkg/client"
)

// scrape scrapes until ctx ends, once it is known what time it is at the server.
func (a *agent) scrape(ctx context.Context, asked <-chan struct{}) {
	<-asked // poll closes it also when ctx ends
	if err := a.scraper.Run(ctx); err != nil {
		a.log.Warn("left behind", zap.Error(err))
	}
}

// unkeptPause is how often is tried whether a server that kept no history does
// now. Each try costs it a line in its log.
const unkeptPause = time.Minute

// scraped takes the samples of one scrape.
func (a *agent) scraped(p scrape.Payload) {
	if a.unkept.recent(unkeptPause) {
		a.stats.refused.add(p.Samples)
		return
	}
	dropped := a.requests.Add(client.RemoteWriteBatch(p.Body, p.Samples))
	if a.scrapes.Add(1) == int64(a.targets) {
		close(a.first)
	}
	if dropped == 0 && a.requests.Tight() {
		return // others will have to go for the next
	}
	a.filled(dropped, &a.overfull, "too much waits for the server: the oldest scrapes go")
}

// firstScrape waits a moment for that of each target, so that the first report has
// something of everything.
func (a *agent) firstScrape(ctx context.Context) {
	if a.scraper == nil {
		return
	}
	timer := time.NewTimer(time.Second)
	defer timer.Stop()
	select {
	case <-a.first:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// listen takes StatsD until ctx ends.
func (a *agent) listen(ctx context.Context) {
	if err := a.statsd.Run(ctx); err != nil {
		a.log.Error("StatsD ended", zap.Error(err))
	}
}

// filled notes that samples had to go for others, or that none had to any more.
func (a *agent) filled(dropped int, full *condition, what string) {
	if dropped > 0 {
		if first := full.enter(dropped); first {
			a.log.Warn(what)
		}
		return
	}
	if since, n := full.leave(); n > 0 {
		a.log.Info("the buffer has room again",
			zap.Int("dropped_samples", n), zap.Duration("full_for", round(since)))
	}
}
