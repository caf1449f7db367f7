// Package grafana holds what Grafana needs to show what gometheus has: a data
// source and dashboards, and the test of them.
package grafana

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/gometheus/gometheus/internal/programtest"
)

var programs programtest.Builder

func TestMain(m *testing.M) { os.Exit(programs.Main(m)) }

// installed is where the README puts this folder.
const installed = "/etc/grafana/"

// dashboard is what of a dashboard asks for data, and what Grafana goes by.
type dashboard struct {
	UID           string  `json:"uid"`
	Title         string  `json:"title"`
	SchemaVersion int     `json:"schemaVersion"`
	Panels        []panel `json:"panels"`
	Templating    struct {
		List []variable `json:"list"`
	} `json:"templating"`
}

type panel struct {
	ID         int             `json:"id"`
	Title      string          `json:"title"`
	Type       string          `json:"type"`
	Repeat     string          `json:"repeat"`
	Datasource json.RawMessage `json:"datasource"`
	GridPos    struct{ H, W, X, Y int }
	Targets    []struct {
		Expr  string `json:"expr"`
		RefID string `json:"refId"`
	} `json:"targets"`
	Panels []panel `json:"panels"` // of a collapsed row
}

type variable struct {
	Name       string `json:"name"`
	Type       string `json:"type"`
	Query      any    `json:"query"`
	Definition string `json:"definition"`
}

func read(t *testing.T, name string) (d dashboard) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("provisioning/dashboards/gometheus", name))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &d))
	return d
}

func readYAML(t *testing.T, path string, into any) {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	dec := yaml.NewDecoder(f)
	dec.KnownFields(true)
	require.NoError(t, dec.Decode(into))
}

// TestProvisioning: the files say what Grafana's provisioning knows, and lead to
// the dashboards.
func TestProvisioning(t *testing.T) {
	var sources struct {
		APIVersion  int `yaml:"apiVersion"`
		Datasources []struct {
			Name, UID, Type, Access, URL string
			IsDefault                    bool `yaml:"isDefault"`
			Editable                     bool
			JSONData                     struct {
				HTTPMethod     string `yaml:"httpMethod"`
				PrometheusType string `yaml:"prometheusType"`
				TimeInterval   string `yaml:"timeInterval"`
				ManageAlerts   bool   `yaml:"manageAlerts"`
			} `yaml:"jsonData"`
		}
	}
	readYAML(t, "provisioning/datasources/gometheus.yaml", &sources)
	require.Equal(t, 1, sources.APIVersion)
	require.Len(t, sources.Datasources, 1)
	require.Equal(t, "prometheus", sources.Datasources[0].Type)
	require.Equal(t, "proxy", sources.Datasources[0].Access)
	require.Equal(t, "http://localhost:8080", sources.Datasources[0].URL)

	var boards struct {
		APIVersion int `yaml:"apiVersion"`
		Providers  []struct {
			Name, Folder, Type    string
			UpdateIntervalSeconds int  `yaml:"updateIntervalSeconds"`
			AllowUIUpdates        bool `yaml:"allowUiUpdates"`
			Options               struct{ Path string }
		}
	}
	readYAML(t, "provisioning/dashboards/gometheus.yaml", &boards)
	require.Equal(t, 1, boards.APIVersion)
	require.Len(t, boards.Providers, 1)
	require.Equal(t, "file", boards.Providers[0].Type)
	folder, ok := strings.CutPrefix(boards.Providers[0].Options.Path, installed)
	require.True(t, ok)
	found, err := filepath.Glob(filepath.Join(folder, "*.json"))
	require.NoError(t, err)
	require.Len(t, found, 2)
}

// TestDashboardsAreSound: what Grafana takes amiss without a word.
func TestDashboardsAreSound(t *testing.T) {
	uids := map[string]bool{}
	for _, name := range []string{"machines.json", "server.json"} {
		d := read(t, name)
		require.NotEmpty(t, d.Title)
		require.NotEmpty(t, d.UID)
		require.LessOrEqual(t, len(d.UID), 40)
		require.False(t, uids[d.UID], "two dashboards have the same uid")
		uids[d.UID] = true
		require.GreaterOrEqual(t, d.SchemaVersion, 39)
		variables := map[string]bool{"__rate_interval": true, "__interval": true, "__range": true}
		for _, v := range d.Templating.List {
			variables[v.Name] = true
		}
		require.True(t, variables["datasource"] && variables["instance"])
		ids, taken := map[int]bool{}, map[[2]int]string{}
		for _, p := range d.Panels {
			require.False(t, ids[p.ID], "two panels have the id %d", p.ID)
			ids[p.ID] = true
			require.True(t, p.GridPos.X >= 0 && p.GridPos.W > 0 && p.GridPos.X+p.GridPos.W <= 24, "%s: outside the grid", p.Title)
			for x := range p.GridPos.W {
				for y := range p.GridPos.H {
					at := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
					require.Empty(t, taken[at], "%s lies over it", p.Title)
					taken[at] = p.Title + "."
				}
			}
			if p.Type == "row" {
				require.Empty(t, p.Panels, "the test doesn't look into collapsed rows")
				continue
			}
			require.JSONEq(t, `{"type":"prometheus","uid":"${datasource}"}`, string(p.Datasource), p.Title)
			require.NotEmpty(t, p.Targets, p.Title)
			require.True(t, p.Repeat == "" || variables[p.Repeat], p.Repeat)
			refs := map[string]bool{}
			for _, target := range p.Targets {
				require.False(t, refs[target.RefID], p.Title)
				refs[target.RefID] = true
				for _, m := range regexp.MustCompile(`\$\{?(\w+)`).FindAllStringSubmatch(target.Expr, -1) {
					require.True(t, variables[m[1]], "%s: unknown variable %s", p.Title, m[1])
				}
			}
		}
	}
}

// grafana asks as Grafana does.
type grafana struct {
	t      *testing.T
	url    string
	client *http.Client
	values map[string][]string // of variables
}

func (g *grafana) get(path string, params url.Values) json.RawMessage {
	g.t.Helper()
	res, err := g.client.PostForm(g.url+path, params)
	require.NoError(g.t, err)
	if res.StatusCode == http.StatusMethodNotAllowed {
		res.Body.Close()
		res, err = g.client.Get(g.url + path + "?" + params.Encode())
		require.NoError(g.t, err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	require.NoError(g.t, err)
	require.Equal(g.t, http.StatusOK, res.StatusCode, "%s %v: %s", path, params, text)
	var a struct {
		Data     json.RawMessage
		Warnings []string
	}
	require.NoError(g.t, json.Unmarshal(text, &a))
	require.Empty(g.t, a.Warnings, "%v", params)
	return a.Data
}

// fill puts variables into a text. Of those that are repeated over, each.
func (g *grafana) fill(text, repeat string) (out []string) {
	text = strings.NewReplacer("$__rate_interval", "30s", "$__interval", "10s", "$__range", "1h").Replace(text)
	for name, values := range g.values {
		if name != repeat {
			quoted := make([]string, len(values))
			for i, v := range values {
				quoted[i] = strings.ReplaceAll(regexp.QuoteMeta(v), `\`, `\\`)
			}
			text = strings.ReplaceAll(text, "$"+name, "("+strings.Join(quoted, "|")+")")
		}
	}
	if repeat == "" {
		return []string{text}
	}
	for _, v := range g.values[repeat] {
		out = append(out, strings.ReplaceAll(text, "$"+repeat, v))
	}
	return out
}

// labelValues is the one kind of variable query that the dashboards have.
var labelValues = regexp.MustCompile(`^label_values\((.+), *(\w+)\)$`)

// variable asks for a variable's values.
func (g *grafana) variable(v variable) (values []string) {
	g.t.Helper()
	query, ok := v.Query.(map[string]any)
	require.True(g.t, ok)
	require.Equal(g.t, v.Definition, query["query"])
	m := labelValues.FindStringSubmatch(g.fill(v.Definition, "")[0])
	require.NotNil(g.t, m, v.Definition)
	now := time.Now().Unix()
	data := g.get("/api/v1/label/"+m[2]+"/values", url.Values{
		"match[]": {m[1]}, "start": {fmt.Sprint(now - 3600)}, "end": {fmt.Sprint(now + 1)},
	})
	require.NoError(g.t, json.Unmarshal(data, &values))
	return values
}

// empty lists the queries of a dashboard that have no data now.
func (g *grafana) empty(d dashboard) (out []string) {
	g.t.Helper()
	for _, v := range d.Templating.List {
		if v.Type == "query" {
			if g.values[v.Name] = g.variable(v); len(g.values[v.Name]) == 0 {
				return []string{"variable " + v.Name}
			}
		}
	}
	now := float64(time.Now().UnixMilli()) / 1000
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			for _, expr := range g.fill(target.Expr, p.Repeat) {
				var r struct {
					ResultType string
					Result     []struct{ Values [][2]any }
				}
				data := g.get("/api/v1/query_range", url.Values{
					"query": {expr}, "start": {fmt.Sprintf("%.3f", now-60)}, "end": {fmt.Sprintf("%.3f", now)}, "step": {"1"},
				})
				require.NoError(g.t, json.Unmarshal(data, &r))
				number := false // NaN draws nothing
				for _, s := range r.Result {
					for _, v := range s.Values {
						number = number || v[1] != "NaN"
					}
				}
				if !number {
					out = append(out, p.Title+": "+expr)
				}
			}
		}
	}
	return out
}

// full waits until every query of a dashboard has data.
func (g *grafana) full(d dashboard) {
	g.t.Helper()
	var empty []string
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		if empty = g.empty(d); len(empty) == 0 {
			return
		}
	}
	require.Empty(g.t, empty, "queries without data")
}

// TestMachines: every query of the dashboard finds what real agents push to a real
// server.
func TestMachines(t *testing.T) {
	server := programs.Server(t, t.TempDir())
	g := &grafana{t, server.URL(), programtest.Client(t), map[string][]string{}}
	for _, name := range []string{"web-1", "web+2.example.org"} {
		agent := programtest.Start(t, t.TempDir(), programs.Build(t, "agent"), nil,
			"ADDRESS="+g.url, "LABELS=instance="+name, "POLL_INTERVAL=0.2", "REPORT_INTERVAL=0.5", "COLLECTORS=runtime,random,gopsutil", "GODEBUG=gctrace=0", "GOGC=5")
		agent.Find(regexp.MustCompile(`"msg":"(agent started)"`))
	}
	// What others push is offered beside the agents' counter.
	res, err := g.client.Post(g.url+"/updates", "application/json", strings.NewReader(
		`[{"id":"sales.by-till_total","type":"counter","delta":3,"labels":{"instance":"web-1"}}]`))
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, res.StatusCode)
	require.NoError(t, res.Body.Close())

	d := read(t, "machines.json")
	g.full(d)
	require.ElementsMatch(t, []string{"web-1", "web+2.example.org"}, g.values["instance"])
	require.ElementsMatch(t, []string{"PollCount", "sales.by-till_total"}, g.values["counter"])

	// Whatever the agent collects is on the dashboard.
	var names []string
	require.NoError(t, json.Unmarshal(g.get("/api/v1/label/__name__/values", nil), &names))
	require.Greater(t, len(names), 30)
	text, err := os.ReadFile("provisioning/dashboards/gometheus/machines.json")
	require.NoError(t, err)
	for _, name := range names {
		switch {
		case strings.HasPrefix(name, "CPUutilization"), name == "PollCount", name == "sales.by-till_total":
		case name == "Alloc": // the same as HeapAlloc, by runtime.MemStats
		case name == "Lookups": // always 0, by the same
		case strings.HasPrefix(name, "gometheus_agent_"): // of the agent itself: the server's overview has it
		default:
			require.Regexp(t, `\b`+name+`\{`, string(text), "the agent collects it")
		}
	}
}

// TestServer: every query of the other dashboard finds what a real Prometheus
// scrapes from the server and sends back to it.
func TestServer(t *testing.T) {
	program := prometheus(t)
	server := programs.Server(t, t.TempDir())
	g := &grafana{t, server.URL(), programtest.Client(t), map[string][]string{}}
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "prometheus.yml"), fmt.Appendf(nil, `
global: {scrape_interval: 500ms, scrape_timeout: 400ms}
scrape_configs: [{job_name: gometheus, static_configs: [{targets: [%q]}]}]
remote_write: [{url: "%s/api/v1/write", queue_config: {batch_send_deadline: 200ms}}]
`, strings.TrimPrefix(g.url, "http://"), g.url), 0o600))
	programtest.Start(t, dir, program, []string{
		"--config.file=prometheus.yml", "--storage.agent.path=data", "--enable-feature=agent", "--web.listen-address=127.0.0.1:0",
	})
	programtest.Start(t, t.TempDir(), programs.Build(t, "agent"), nil,
		"ADDRESS="+g.url, "LABELS=instance=web-1", "POLL_INTERVAL=0.2", "REPORT_INTERVAL=0.5")
	for _, body := range []string{"[", "{"} { // something to be rejected
		res, err := g.client.Post(g.url+"/updates", "application/json", strings.NewReader(body))
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
	}
	g.full(read(t, "server.json"))
}

// prometheus finds Debian's in PATH, or where scripts/test-deps puts it. In CI it
// must be there.
func prometheus(t *testing.T) string {
	t.Helper()
	if path, err := exec.LookPath("prometheus"); err == nil {
		return path
	}
	cache, err := os.UserCacheDir()
	require.NoError(t, err)
	path := filepath.Join(cache, "gometheus-tests", "prometheus", "usr", "bin", "prometheus")
	if _, err := os.Stat(path); err != nil {
		if os.Getenv("CI") != "" {
			require.NoError(t, err)
		}
		t.Skip("no prometheus; scripts/test-deps fetches it")
	}
	return path
}
