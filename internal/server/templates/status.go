package templates

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// Status is what the server does, for the page of that name. Times of day, sizes
// and counts are as they are; the page says them as people read them.
type Status struct {
	Problems []StatusProblem
	Ingest   StatusIngest
	Routes   []StatusRoute // the busiest first
	State    StatusState
	// History is nil if there is none.
	History *StatusHistory
	// Names are those with the most series, LabelNames those with the most values;
	// From says of what: "the history" or "the state".
	Names, LabelNames []StatusCount
	From              string
	Reporters         StatusReporters
	Process           StatusProcess
	Settings          []StatusSetting
	// Charts are the metrics of the server itself that are in the history.
	Charts []StatusChart
}

// StatusProblem is something that somebody should see to. Bad is worse than not.
type StatusProblem struct {
	Bad  bool
	Text string
}

// StatusIngest is what comes in. Rates are per second, over Over.
type StatusIngest struct {
	Over      time.Duration
	FromStart bool // Over is as long as the server runs
	Batches   float64
	Replayed  float64
	Failed    float64
	Metrics   float64
	Samples   float64 // of remote write
	Requests  float64
	// In all, since the start.
	TotalBatches, TotalMetrics, TotalSamples float64
	// Refused is by reason: requests since the start, and what remote write brought.
	Refused []StatusReason
	// Lag is the mean time that the storage took to commit a batch.
	Lag float64
}

// StatusReason is how often something was refused, and why.
type StatusReason struct {
	Reason string
	Count  float64
	Rate   float64
}

// StatusRoute is the requests of a route.
type StatusRoute struct {
	Route string
	Codes []StatusReason // by status
	Rate  float64
	Mean  float64 // seconds
	P99   float64 // seconds, at most; 0: not known
	Slow  bool    // P99 is over all that is measured
}

// StatusState is where the latest values are.
type StatusState struct {
	Kind   string // memory, files, PostgreSQL
	Path   string // of the snapshot
	Series int64  // -1: not known
	Limit  int64
	// Of files.
	JournalBytes, SnapshotBytes int64
	SnapshotAt                  time.Time // zero: this process has taken none
	Failing                     bool
	// Of a database.
	Open, InUse, MaxConns int
}

// StatusHistory is where the samples are.
type StatusHistory struct {
	Path                   string
	Retention, OutOfOrder  time.Duration
	MaxSize                int64 // 0: no bound
	Series                 uint64
	Chunks                 int64
	Oldest, Newest         time.Time // of samples; zero: there are none
	WAL, Size              int64     // bytes of the log and of the blocks
	Blocks                 []StatusBlock
	MoreBlocks             int // that are older than those listed
	Appended               float64
	Outcomes               []StatusReason // samples that were not written as they came
	Running, Waiting, Most int            // queries
}

// StatusBlock is a block of the history.
type StatusBlock struct {
	From, To        time.Time
	Series, Samples uint64
	Bytes           int64
	Level           int
}

// StatusCount is a name and a number.
type StatusCount struct {
	Name  string
	Count uint64
}

// StatusReporters are who said how often they report.
type StatusReporters struct{ Up, Late int }

// StatusProcess is how the process runs. What is 0 is not known.
type StatusProcess struct {
	Version, Commit, Built, Go string
	Start                      time.Time
	Resident, Heap             float64 // bytes
	MemoryLimit                float64 // bytes
	Goroutines                 int
	Threads                    int     // that compute at once
	CPU                        float64 // seconds per second
	CPUTotal                   float64 // seconds
	Files, MaxFiles            float64
}

// StatusSetting is a setting. Secrets are hidden already.
type StatusSetting struct {
	Group, Flag, Env, Value, Help string
	Changed                       bool // it is not the default
}

// StatusChart is a chart of the server's own history.
type StatusChart struct{ Title, Unit, Query string }

// RenderStatus writes the page of the server itself.
func RenderStatus(w io.Writer, l Layout, s *Status) error {
	f := frame{
		Layout: l, Nav: "status", Title: "Status",
		Styles: []string{"status.css"}, Scripts: []string{"app.js", "status.js"}, Modules: []string{"time.js"},
	}
	if len(s.Charts) > 0 {
		f = f.withCharts()
	}
	if err := pages().ExecuteTemplate(w, "status", statusView{f, s}); err != nil {
		return fmt.Errorf("write the status page: %w", err)
	}
	return nil
}

// statusView is what status.html sees.
type statusView struct {
	frame
	*Status
}

// Bad tells whether a problem is a bad one.
func (v statusView) Bad() bool {
	for _, p := range v.Problems {
		if p.Bad {
			return true
		}
	}
	return false
}

// Uptime is how long the process runs.
func (v statusView) Uptime() time.Duration { return v.Now.Sub(v.Process.Start) }

// Long is a length of time by its units that are not 0.
func (statusView) Long(d time.Duration) string {
	s := FormatSpan(d)
	return strings.TrimSuffix(strings.TrimSuffix(s, " 0 h"), " 0 min")
}

// Rate is a number per second: 1,234/s.
func (statusView) Rate(n float64) string { return Quantity(n) + "/s" }

// Total is a whole number that was counted as a float.
func (statusView) Total(n float64) string { return groupDigits(int(n)) }

// Quantity is a number as people read it: three digits, all of those before the
// point.
func Quantity(n float64) string {
	switch {
	case n == 0:
		return "0"
	case n >= 100:
		return groupDigits(int(n + 0.5))
	case n < 0.001:
		return "under 0.001"
	}
	return strconv.FormatFloat(n, 'g', 3, 64)
}

// Took is a duration in seconds as people read it: 1.2 ms.
func (statusView) Took(seconds float64) string {
	switch {
	case seconds <= 0:
		return "–"
	case seconds < 1e-3:
		return Quantity(seconds*1e6) + " µs"
	case seconds < 1:
		return Quantity(seconds*1e3) + " ms"
	}
	return Quantity(seconds) + " s"
}

// Int is a count as people read it.
func (statusView) Int(n any) string {
	switch n := n.(type) {
	case int:
		return groupDigits(n)
	case int64:
		return groupDigits(int(n))
	case uint64:
		return groupDigits(int(n))
	}
	return fmt.Sprint(n)
}

// Bytes is a size as people read it.
func (statusView) Bytes(n any) string {
	switch n := n.(type) {
	case int64:
		return FormatBytes(float64(n))
	case float64:
		return FormatBytes(n)
	}
	return fmt.Sprint(n)
}

// Percent is how much of whole part is, to two digits.
func (statusView) Percent(part, whole float64) string {
	if whole <= 0 {
		return "–"
	}
	return Quantity(100*part/whole) + " %"
}

// Float is n for Percent.
func (statusView) Float(n int64) float64 { return float64(n) }

// Int80 and Int95 are from where on the use of a limit is much, and too much.
func (statusView) Int80(n int64) int64 { return n * 8 / 10 }

// Int95 is from where on the use of a limit is too much.
func (statusView) Int95(n int64) int64 { return n * 95 / 100 }

// Share is n of the largest of a list, in percent, for its bar.
func (statusView) Share(n uint64, list []StatusCount) int {
	if len(list) == 0 || list[0].Count == 0 {
		return 0
	}
	return int(100 * n / list[0].Count)
}

// Commit is the revision, short.
func (v statusView) Commit() string {
	c, changed := strings.CutSuffix(v.Process.Commit, "-dirty")
	if len(c) > 12 {
		c = c[:12]
	}
	if changed {
		c += "-dirty"
	}
	return c
}

// Groups are the settings by what they are about.
func (v statusView) Groups() (out []statusGroup) {
	for _, s := range v.Settings {
		if len(out) == 0 || out[len(out)-1].Name != s.Group {
			out = append(out, statusGroup{Name: s.Group})
		}
		g := &out[len(out)-1]
		g.Settings = append(g.Settings, s)
	}
	return out
}

type statusGroup struct {
	Name     string
	Settings []StatusSetting
}
