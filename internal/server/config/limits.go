package config

import (
	"time"

	"github.com/gometheus/gometheus/internal/common/config"
)

// Limits bound what a client may make the server do.
type Limits struct {
	Body         int64         // bytes of a body as sent
	BodyUnpacked int64         // and after decompression
	Memory       int64         // bytes that all large bodies take at once
	Requests     int           // writes that are worked on at once
	Batch        int           // metrics of a request
	Name         int           // bytes
	Labels       int           // of a series
	LabelName    int           // bytes
	LabelValue   int           // bytes
	Series       int           // in all
	HeaderTime   time.Duration // for a request's header to arrive
	RequestTime  time.Duration // for the whole request
	IdleTime     time.Duration // of a connection between two requests
}

// LimitSettings are the settings of Limits.
//
// A name of 1,024 bytes is the longest that, with its labels, fits the key of a
// row in PostgreSQL.
type LimitSettings struct {
	LimitBody         config.Var[int64]         `group:"Limits" flag:"limit-body" env:"LIMIT_BODY" help:"How large a body is at most, as sent."`
	LimitBodyUnpacked config.Var[int64]         `group:"Limits" flag:"limit-body-unpacked" env:"LIMIT_BODY_UNPACKED" help:"How large a body is at most after decompression."`
	LimitMemory       config.Var[int64]         `group:"Limits" flag:"limit-memory" env:"LIMIT_MEMORY" help:"How much memory all bodies over 32 KiB and all zstd windows take at once; what finds no room gets 503. At least LIMIT_BODY, twice LIMIT_BODY_UNPACKED, and 20 MiB."`
	LimitRequests     config.Var[int]           `group:"Limits" flag:"limit-requests" env:"LIMIT_REQUESTS" help:"How many writes are worked on at once, from when their body is there. Another one waits half a second, then it gets 503. Of those over 256 KiB, the number of processors decides."`
	LimitBatch        config.Var[int]           `group:"Limits" flag:"limit-batch" env:"LIMIT_BATCH" help:"How many metrics a request has at most."`
	LimitName         config.Var[int]           `group:"Limits" flag:"limit-name" env:"LIMIT_NAME" help:"How long a metric's name is at most, in bytes."`
	LimitLabels       config.Var[int]           `group:"Limits" flag:"limit-labels" env:"LIMIT_LABELS" help:"How many labels a series has at most."`
	LimitLabelName    config.Var[int]           `group:"Limits" flag:"limit-label-name" env:"LIMIT_LABEL_NAME" help:"How long a label's name is at most, in bytes."`
	LimitLabelValue   config.Var[int]           `group:"Limits" flag:"limit-label-value" env:"LIMIT_LABEL_VALUE" help:"How long a label's value is at most, in bytes."`
	LimitSeries       config.Var[int]           `group:"Limits" flag:"limit-series" env:"LIMIT_SERIES" help:"How many series are kept. Then a batch with a new one gets 429; those that exist go on. Of remote write: how many series the history has in memory, beyond which new ones get 400."`
	LimitHeaderTime   config.Var[time.Duration] `group:"Limits" flag:"limit-header-time" env:"LIMIT_HEADER_TIME" help:"How long the header of a request may take to arrive."`
	LimitRequestTime  config.Var[time.Duration] `group:"Limits" flag:"limit-request-time" env:"LIMIT_REQUEST_TIME" help:"How long a whole request may take to arrive."`
	LimitIdleTime     config.Var[time.Duration] `group:"Limits" flag:"limit-idle-time" env:"LIMIT_IDLE_TIME" help:"How long a connection may wait for its next request."`
}

func defaultLimits() LimitSettings {
	return LimitSettings{
		LimitBody:         config.Size(8<<20, 1<<10, 1<<30),
		LimitBodyUnpacked: config.Size(32<<20, 1<<10, 1<<30),
		LimitMemory:       config.Size(256<<20, minMemory, 1<<40),
		LimitRequests:     config.Int(256, 1, 100_000),
		LimitBatch:        config.Int(100_000, 1, 10_000_000),
		LimitName:         config.Int(512, 1, 1024),
		LimitLabels:       config.Int(32, 1, 256),
		LimitLabelName:    config.Int(128, 1, 1024),
		LimitLabelValue:   config.Int(1024, 1, 64<<10),
		LimitSeries:       config.Int(1_000_000, 1, 50_000_000),
		LimitHeaderTime:   config.Seconds(5*time.Second, 100*time.Millisecond, 10*time.Minute),
		LimitRequestTime:  config.Seconds(30*time.Second, 100*time.Millisecond, time.Hour),
		LimitIdleTime:     config.Seconds(2*time.Minute, 100*time.Millisecond, 24*time.Hour),
	}
}

const (
	// alongside is what the largest body takes, besides being there as it was sent,
	// to be verified, and twice while it is put together: two zstd windows, and what
	// the last piece has too much.
	alongside = 20 << 20
	minMemory = 16 << 20
)

func (s *LimitSettings) limits() Limits {
	return Limits{
		Body:         s.LimitBody.Value(),
		BodyUnpacked: s.LimitBodyUnpacked.Value(),
		Memory:       s.LimitMemory.Value(),
		Requests:     s.LimitRequests.Value(),
		Batch:        s.LimitBatch.Value(),
		Name:         s.LimitName.Value(),
		Labels:       s.LimitLabels.Value(),
		LabelName:    s.LimitLabelName.Value(),
		LabelValue:   s.LimitLabelValue.Value(),
		Series:       s.LimitSeries.Value(),
		HeaderTime:   s.LimitHeaderTime.Value(),
		RequestTime:  s.LimitRequestTime.Value(),
		IdleTime:     s.LimitIdleTime.Value(),
	}
}

// check finds limits that don't fit each other.
func (s *LimitSettings) check() error {
	l := s.limits()
	switch {
	case l.Memory < l.Body+2*l.BodyUnpacked+alongside:
		return &config.Error{
			Setting: "LIMIT_MEMORY", Value: s.LimitMemory.String(), Valued: true,
			Allowed: "20 MiB more than LIMIT_BODY (" + s.LimitBody.String() + ") and twice LIMIT_BODY_UNPACKED (" + s.LimitBodyUnpacked.String() + ")",
		}
	case l.HeaderTime > l.RequestTime:
		return &config.Error{
			Setting: "LIMIT_HEADER_TIME", Value: s.LimitHeaderTime.String(), Valued: true,
			Allowed: "at most LIMIT_REQUEST_TIME, which is " + s.LimitRequestTime.String(),
		}
	}
	return nil
}
