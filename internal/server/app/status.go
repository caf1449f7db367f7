package app

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/common/model"
	"github.com/shirou/gopsutil/v4/disk"

	"github.com/gometheus/gometheus/internal/common/buildinfo"
	"github.com/gometheus/gometheus/internal/server/config"
	"github.com/gometheus/gometheus/internal/server/storage/dump"
	"github.com/gometheus/gometheus/internal/server/storage/memory"
	"github.com/gometheus/gometheus/internal/server/storage/pgsql"
	"github.com/gometheus/gometheus/internal/server/telemetry"
	"github.com/gometheus/gometheus/internal/server/templates"
)

const (
	// statusFor is how long what the page of the server itself shows stands for the
	// present, and slowStatusFor the same of what takes more than a look to count.
	statusFor     = 2 * time.Second
	slowStatusFor = 10 * time.Second
	// statusTime is how long the storage may take to answer for it.
	statusTime = 3 * time.Second
	// rateOver is over how long rates are, at most; readEvery is how far apart the
	// readings are that they are differences of.
	rateOver  = time.Minute
	readEvery = 4 * time.Second

	topNames = 10
	// hiddenLabels is how many labels nobody gave: the name, and the kind.
	hiddenLabels = 2
	maxBlocks    = 50
	// countable is up to how many series the state is walked through to count those
	// of each name, when there is no history that knows.
	countable = 100_000
)

// statusSource tells what the server does. One look is taken at a time, and those
// who ask meanwhile get the same.
type statusSource struct {
	cfg   config.Config
	store openedStorage
	past  openedHistory
	tell  *telemetry.Telemetry
	start time.Time
	now   func() time.Time

	mu       sync.Mutex
	at       time.Time // of known
	known    templates.Status
	slowAt   time.Time // of slow
	slow     slowStatus
	readings []reading // the oldest first
}

// slowStatus is what takes some time to find out.
type slowStatus struct {
	names, labels []templates.StatusCount
	from          string
	blocks        []templates.StatusBlock
	more          int
	size          int64
	oldest        time.Time
	problems      []templates.StatusProblem // of disks
}

func newStatusSource(cfg config.Config, store openedStorage, past openedHistory, tell *telemetry.Telemetry) *statusSource {
	return &statusSource{cfg: cfg, store: store, past: past, tell: tell, start: time.Now(), now: time.Now}
}

// Status implements pages.StatusSource.
func (s *statusSource) Status(ctx context.Context) (templates.Status, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if !s.at.IsZero() && now.Sub(s.at) < statusFor {
		return s.known, nil
	}
	// The next ones get this too, so it must not end with this one's patience.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), statusTime)
	defer cancel()
	read, err := s.read(now)
	if err != nil {
		return templates.Status{}, err
	}
	if s.slowAt.IsZero() || now.Sub(s.slowAt) >= slowStatusFor {
		s.slow, s.slowAt = s.lookSlowly(ctx), now
	}
	out := templates.Status{Names: s.slow.names, LabelNames: s.slow.labels, From: s.slow.from, Settings: s.settings()}
	since, fromStart := s.since(read)
	out.Ingest = ingest(read, since, fromStart)
	out.Routes = routesOf(read, since)
	out.Process = s.process(read, since)
	out.State = s.state(ctx)
	if s.past.History != nil {
		out.History = s.history(read, since)
		out.Reporters.Up, out.Reporters.Late = s.past.Reporters()
	}
	out.Problems = s.problems(ctx, &out, read, since)
	s.known, s.at = out, now
	return out, nil
}

// state is where the latest values are.
func (s *statusSource) state(ctx context.Context) templates.StatusState {
	st := templates.StatusState{Series: -1, Limit: int64(s.cfg.Limits.Series)}
	switch store := s.store.Storage.(type) {
	case *pgsql.Store:
		st.Kind, st.MaxConns = "PostgreSQL", s.cfg.DatabaseMaxConns
		st.Open, st.InUse = store.Conns()
		if n, err := store.Count(ctx); err == nil { // whether it can be reached is told among the problems
			st.Series = n
		}
	case *dump.Store:
		stats := store.Stats()
		st.Kind, st.Path, st.Series = "files", s.cfg.FileStoragePath, stats.Series
		st.JournalBytes, st.SnapshotBytes, st.SnapshotAt, st.Failing = stats.JournalBytes, stats.SnapshotBytes, stats.SnapshotAt, stats.Failing
	case *memory.Store:
		st.Kind, st.Series = "memory: it ends with the process", store.Series()
	}
	return st
}

// history is where the samples are.
func (s *statusSource) history(read, since reading) *templates.StatusHistory {
	head := s.past.DB().Head()
	h := &templates.StatusHistory{
		Path: s.cfg.HistoryPath, Retention: s.cfg.HistoryRetention, OutOfOrder: s.cfg.HistoryOutOfOrder, MaxSize: s.cfg.HistoryMaxSize,
		Series: head.NumSeries(), Chunks: int64(read.chunks), WAL: int64(read.wal),
		Size: s.slow.size, Blocks: s.slow.blocks, MoreBlocks: s.slow.more, Oldest: s.slow.oldest,
	}
	if head.NumSeries() > 0 || len(h.Blocks) > 0 {
		if oldest := head.MinTime(); oldest != math.MaxInt64 && (h.Oldest.IsZero() || time.UnixMilli(oldest).Before(h.Oldest)) {
			h.Oldest = time.UnixMilli(oldest)
		}
		if newest := head.MaxTime(); newest != math.MinInt64 {
			h.Newest = time.UnixMilli(newest)
		} else if len(h.Blocks) > 0 {
			h.Newest = h.Blocks[0].To
		}
	}
	h.Running, h.Waiting, h.Most = s.past.Queries()
	h.Appended = rate(read.outcomes["appended"], since.outcomes["appended"], read.at.Sub(since.at))
	for _, o := range []struct{ name, text string }{
		{"coalesced", "put into the sample of another"},
		{"too_old", "too old to be taken"},
		{"duplicate", "at the time of another"},
		{"lost", "lost"},
	} {
		if n := read.outcomes[o.name]; n > 0 {
			h.Outcomes = append(h.Outcomes, templates.StatusReason{Reason: o.text, Count: n})
		}
	}
	return h
}

// process is how the process runs.
func (s *statusSource) process(read, since reading) templates.StatusProcess {
	build := buildinfo.Read()
	p := templates.StatusProcess{
		Version: build.Version, Commit: build.Commit, Built: build.Date, Go: build.Go, Start: s.start,
		Resident: read.resident, Heap: read.heap, Goroutines: runtime.NumGoroutine(), Threads: runtime.GOMAXPROCS(0),
		CPUTotal: read.cpu, CPU: rate(read.cpu, since.cpu, read.at.Sub(since.at)), Files: read.files, MaxFiles: read.maxFiles,
	}
	if limit := debug.SetMemoryLimit(-1); limit != math.MaxInt64 {
		p.MemoryLimit = float64(limit)
	}
	return p
}

// settings are those that the server was started with. Secrets are hidden.
func (s *statusSource) settings() []templates.StatusSetting {
	var out []templates.StatusSetting
	for _, def := range config.Settings() {
		value := s.cfg.Shown[def.Flag]
		out = append(out, templates.StatusSetting{
			Group: def.Group, Flag: def.Flag, Env: def.Env, Help: def.Help, Value: value, Changed: value != def.Default,
		})
	}
	return out
}

// lookSlowly finds out what takes some time.
func (s *statusSource) lookSlowly(ctx context.Context) (out slowStatus) {
	if s.past.History == nil {
		out.names, out.labels, out.from = s.countState(ctx)
		out.problems = s.disks(ctx)
		return out
	}
	// It walks through the index, not through the series.
	s.past.Flush()
	stats := s.past.DB().Head().Stats(model.MetricNameLabel, topNames+hiddenLabels)
	for _, c := range stats.IndexPostingStats.CardinalityMetricsStats[:min(topNames, len(stats.IndexPostingStats.CardinalityMetricsStats))] {
		out.names = append(out.names, templates.StatusCount{Name: c.Name, Count: c.Count})
	}
	for _, c := range stats.IndexPostingStats.CardinalityLabelStats {
		if !strings.HasPrefix(c.Name, "__") && len(out.labels) < topNames {
			out.labels = append(out.labels, templates.StatusCount{Name: c.Name, Count: c.Count})
		}
	}
	out.from = "the head of the history"
	for _, b := range s.past.DB().Blocks() {
		m, size := b.Meta(), b.Size()
		out.size += size
		if from := time.UnixMilli(m.MinTime); out.oldest.IsZero() || from.Before(out.oldest) {
			out.oldest = from
		}
		out.blocks = append(out.blocks, templates.StatusBlock{
			From: time.UnixMilli(m.MinTime), To: time.UnixMilli(m.MaxTime), Series: m.Stats.NumSeries, Samples: m.Stats.NumSamples,
			Bytes: size, Level: m.Compaction.Level,
		})
	}
	slices.SortFunc(out.blocks, func(a, b templates.StatusBlock) int { return b.From.Compare(a.From) })
	if len(out.blocks) > maxBlocks {
		out.more = len(out.blocks) - maxBlocks
		out.blocks = out.blocks[:maxBlocks]
	}
	out.problems = s.disks(ctx)
	return out
}

// countState counts the series of each name in the state, if there are not too
// many.
func (s *statusSource) countState(ctx context.Context) (names, labels []templates.StatusCount, from string) {
	byName, byLabel := map[string]uint64{}, map[string]map[string]bool{}
	n := 0
	for m, err := range s.store.All(ctx) {
		if n++; err != nil || n > countable {
			return nil, nil, ""
		}
		byName[m.Name]++
		for _, l := range m.Labels {
			if byLabel[l.Name] == nil {
				byLabel[l.Name] = map[string]bool{}
			}
			byLabel[l.Name][l.Value] = true
		}
	}
	values := map[string]uint64{}
	for name, vs := range byLabel {
		values[name] = uint64(len(vs))
	}
	return top(byName), top(values), "the state"
}

// top is the largest of some counts.
func top(counts map[string]uint64) []templates.StatusCount {
	out := make([]templates.StatusCount, 0, len(counts))
	for name, n := range counts {
		out = append(out, templates.StatusCount{Name: name, Count: n})
	}
	slices.SortFunc(out, func(a, b templates.StatusCount) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Name, b.Name))
	})
	return slices.Clip(out[:min(topNames, len(out))])
}

// disks tells of those that are nearly full.
func (s *statusSource) disks(ctx context.Context) (out []templates.StatusProblem) {
	var folders []string
	if s.past.History != nil {
		folders = append(folders, s.cfg.HistoryPath)
	}
	if _, ok := s.store.Storage.(*dump.Store); ok {
		folders = append(folders, filepath.Dir(s.cfg.FileStoragePath))
	}
	var told []disk.UsageStat
	for _, folder := range folders {
		u, err := disk.UsageWithContext(ctx, folder)
		if err != nil || u.Total == 0 {
			continue // where it can't be told it is left out
		}
		u.Path = ""
		if slices.Contains(told, *u) {
			continue // the same disk
		}
		told = append(told, *u)
		if p, ok := diskProblem(folder, u.Free, u.Total); ok {
			out = append(out, p)
		}
	}
	return out
}

// diskProblem says what is wrong with a disk that has so many bytes, if anything.
func diskProblem(folder string, free, total uint64) (templates.StatusProblem, bool) {
	const enough = 20 << 30 // of a huge disk a small share is plenty
	share := float64(free) / float64(total)
	if share >= 0.1 || free >= enough {
		return templates.StatusProblem{}, false
	}
	return templates.StatusProblem{
		Bad:  share < 0.03,
		Text: fmt.Sprintf("The disk of %s is nearly full: %.1f %% is free (%.1f GiB).", folder, 100*share, float64(free)/(1<<30)),
	}, true
}
