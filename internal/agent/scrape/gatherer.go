package scrape

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// Gatherer is a Source that gathers in this process. It is called name in logs.
//
// Gathering can't be told to stop. One that takes too long fails the scrape and
// is left to itself; what it gathers late is dropped, and until then each scrape
// fails.
func Gatherer(name string, g prometheus.Gatherer) Source {
	return &gatherer{name: name, g: g, result: make(chan gathered, 1)}
}

type gatherer struct {
	name string
	g    prometheus.Gatherer
	// result has room for the one that can be under way, so the goroutine that
	// gathers never waits for anyone.
	result  chan gathered
	running bool
}

type gathered struct {
	families []*dto.MetricFamily
	err      error
}

var (
	errSlow = errors.New("gathering takes longer than the timeout")
	errBusy = errors.New("gathering, begun at an earlier scrape, still hasn't ended")
)

func (g *gatherer) String() string { return g.name }

func (g *gatherer) Fetch(ctx context.Context, r Request, b *bytes.Buffer) (Result, error) {
	if g.Drain(ctx) != nil {
		return Result{}, errBusy
	}
	g.running = true
	go func() {
		var out gathered
		defer func() {
			if v := recover(); v != nil {
				out.err = panicked(v)
			}
			g.result <- out
		}()
		out.families, out.err = g.g.Gather()
	}()
	select {
	case <-ctx.Done():
		return Result{}, errSlow
	case out := <-g.result:
		g.running = false
		if out.err != nil && len(out.families) == 0 {
			return Result{}, fmt.Errorf("gather: %w", out.err)
		}
		format := expfmt.NewFormat(expfmt.TypeProtoDelim).WithEscapingScheme(model.NoEscaping)
		to := expfmt.NewEncoder(b, format)
		for _, f := range out.families {
			if err := to.Encode(f); err != nil {
				return Result{}, fmt.Errorf("encode what was gathered: family %q: %w", f.GetName(), err)
			}
			if int64(b.Len()) > r.MaxBody {
				return Result{}, bodyLimit(r.MaxBody)
			}
		}
		return Result{ContentType: string(format), Partial: out.err}, nil
	}
}

func (g *gatherer) Drain(ctx context.Context) error {
	if !g.running {
		return nil
	}
	select {
	case <-g.result:
		g.running = false
		return nil
	case <-ctx.Done():
		return errBusy
	}
}
