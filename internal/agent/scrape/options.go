package scrape

import (
	"fmt"
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/gometheus/gometheus/internal/agent/scrape/remotewrite"
	"github.com/gometheus/gometheus/internal/common/metric"
)

// Payload is one request of remote write: its compressed body, and how many
// samples it holds.
type Payload = remotewrite.Payload

// Target is what is scraped.
type Target struct {
	// Job and Instance are labels of all its series. An empty one is left out.
	Job, Instance string
	Source        Source
}

// Options is what a Scraper depends on.
type Options struct {
	// Targets differ in job or instance.
	Targets []Target
	// Interval is how often each target is scraped; 0: every 15 s.
	Interval time.Duration
	// Timeout is what a scrape may take; 0: 10 s. It is never more than Interval.
	Timeout time.Duration
	// External are labels of all series that don't bring them.
	External metric.Labels
	// Limits of each scrape.
	Limits Limits
	// Now gives the samples' times; nil: time.Now.
	Now func() time.Time
	// UserAgent is told to the targets.
	UserAgent string
	// Transport carries the requests; nil: one of its own, which ends with Run.
	Transport http.RoundTripper
	Log       *zap.Logger
	// Deliver takes a request. It must not block, and is called by several
	// goroutines at once; the requests of one target come in order.
	Deliver func(Payload)
}

// Limits bounds a scrape. What exceeds one fails it. 0 is no limit, except for
// Body, where it is 32 MiB.
type Limits struct {
	// Body is the size of an exposition in bytes, unpacked.
	Body int64
	// Samples is how many there are in one scrape.
	Samples int
	// Labels is how many a series has, with its name, job and instance.
	Labels int
	// LabelName and LabelValue are lengths in bytes. The name of a metric is a
	// value.
	LabelName, LabelValue int
}

// The settings that limits come from, as users know them. The others are not set.
const (
	SettingBody    = "SCRAPE_LIMIT_BODY"
	SettingSamples = "SCRAPE_LIMIT_SAMPLES"
)

const (
	defaultBody     = 32 << 20
	defaultInterval = 15 * time.Second
	defaultTimeout  = 10 * time.Second
)

// LimitError is a limit that was exceeded.
type LimitError struct {
	Setting string // one of Setting…, or empty
	Limit   int64
	What    string // what exceeds it
}

func (e *LimitError) Error() string {
	text := fmt.Sprintf("%s; at most %d may be", e.What, e.Limit)
	if e.Setting != "" {
		text += " (" + e.Setting + ")"
	}
	return text
}

func (o Options) orDefault() Options {
	if o.Timeout <= 0 {
		o.Timeout = defaultTimeout
	}
	if o.Interval <= 0 {
		o.Interval = defaultInterval
	}
	o.Timeout = min(o.Timeout, o.Interval)
	if o.Limits.Body <= 0 {
		o.Limits.Body = defaultBody
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.Deliver == nil {
		o.Deliver = func(Payload) {}
	}
	return o
}
