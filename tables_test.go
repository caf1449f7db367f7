package gometheus_test

import (
	"context"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/agent/collector"
	"github.com/gometheus/gometheus/internal/agent/collector/gopsutil"
	"github.com/gometheus/gometheus/internal/agent/collector/random"
	"github.com/gometheus/gometheus/internal/agent/collector/runtime"
)

// tablesOf returns the tables of a Markdown text: rows of cells, without the
// heading.
func tablesOf(text string) (tables [][][]string) {
	var table [][]string
	for line := range strings.SplitSeq(fenceRE.ReplaceAllString(text, "")+"\n", "\n") {
		if !strings.HasPrefix(line, "|") {
			if len(table) > 2 {
				tables = append(tables, table[2:])
			}
			table = nil
			continue
		}
		line = strings.ReplaceAll(line, `\|`, "\x00")
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(strings.ReplaceAll(cells[i], "\x00", "|"))
		}
		table = append(table, cells)
	}
	return tables
}

// codeOf returns what stands between backquotes, and where links lead.
func codeOf(cell string) []string {
	code := spanRE.FindAllString(cell, -1)
	for _, target := range linksOf(cell) {
		if file, _, _ := strings.Cut(target, "#"); file != "" { // headings are in the reader's language
			code = append(code, target)
		}
	}
	slices.Sort(code)
	return code
}

// differences tells where the tables of two texts don't say the same: in every
// cell the same code, in whatever order and among whatever words. Of each table
// it tells the first row that differs: those that follow are out of step.
func differences(a, b string) (out []string) {
	left, right := tablesOf(a), tablesOf(b)
	for i := range max(len(left), len(right)) {
		if i >= len(left) || i >= len(right) {
			return append(out, "one has more tables")
		}
		for j := range max(len(left[i]), len(right[i])) {
			if j >= len(left[i]) {
				out = append(out, "only in the second: "+strings.Join(right[i][j], " | "))
				break
			}
			row, before := strings.Join(left[i][j], " | "), len(out)
			if j >= len(right[i]) || len(left[i][j]) != len(right[i][j]) {
				out = append(out, "only in the first: "+row)
				break
			}
			for k, cell := range left[i][j] {
				if other := right[i][j][k]; !slices.Equal(codeOf(cell), codeOf(other)) || (cell == "") != (other == "") {
					out = append(out, row+": "+cell+" / "+other)
				}
			}
			if len(out) > before {
				break
			}
		}
	}
	return out
}

// TestTranslation: both languages of the README have the same tables, examples
// and scripts.
func TestTranslation(t *testing.T) {
	a, b := read(t, "README.md"), read(t, "README.ru.md")
	require.Empty(t, differences(a, b))
	require.GreaterOrEqual(t, len(tablesOf(a)), 12)
	code := func(text string) (out []string) {
		for _, block := range fenceRE.FindAllString(text, -1) {
			block = regexp.MustCompile(`(?m)\s*#.*$`).ReplaceAllString(block, "") // comments are translated
			out = append(out, block)
		}
		return out
	}
	require.Equal(t, code(a), code(b))
	headings := func(text string) int { return len(headRE.FindAllString(fenceRE.ReplaceAllString(text, ""), -1)) }
	require.Equal(t, headings(a), headings(b))
}

// TestTranslationNotices: what differs is found.
func TestTranslationNotices(t *testing.T) {
	const table = "| a | b |\n| --- | --- |\n| `x` | one `y` |\n| `z` | [l](docs/z.md) |\n"
	require.Empty(t, differences(table, "| А | Б |\n| --- | --- |\n| `x` | один, `y` |\n| `z` | [л](docs/z.md) |\n"))
	for _, other := range []string{
		"| a | b |\n| --- | --- |\n| `x` | `y` |\n",
		"| a | b |\n| --- | --- |\n| `x` | `y` |\n| `z` | [l](docs/y.md) |\n",
		"| a | b |\n| --- | --- |\n| `x` | `Y` |\n| `z` | [l](docs/z.md) |\n",
		"| a | b |\n| --- | --- |\n| `x` | |\n| `z` | [l](docs/z.md) |\n",
		table + "| `w` | |\n",
		table + "\n" + table,
		"",
	} {
		require.NotEmpty(t, differences(table, other), other)
		require.NotEmpty(t, differences(other, table), other)
	}
}

// flag is a line of --help: short and long flag, variable, default.
var flagRE = regexp.MustCompile(`(?m)^ +(?:-(\w), )?--([a-z][a-z-]*)(?: \S+)* +([A-Z][A-Z_]+) +(?:default (.*)|no default)$`)

// TestSettingsTables: the READMEs' tables have exactly the settings that the
// programs print, with their flags, variables and defaults.
func TestSettingsTables(t *testing.T) {
	headings := map[string][]string{"server": {"### Server", "### Сервер"}, "agent": {"### Agent", "### Агент"}}
	for program, names := range headings {
		help, err := exec.Command(build(t, program), "--help").Output()
		require.NoError(t, err)
		var want []string
		for _, flag := range flagRE.FindAllStringSubmatch(string(help), -1) {
			cell := "`--" + flag[2] + "`"
			if flag[1] != "" {
				cell = "`-" + flag[1] + "`, " + cell
			}
			def := strings.TrimSpace(flag[4])
			if def != "" {
				def = "`" + def + "`"
			}
			want = append(want, cell+" | `"+flag[3]+"` | "+def)
		}
		require.Greater(t, len(want), 15)
		for i, file := range readmes {
			var got []string
			for _, row := range tablesOf(section(t, read(t, file), names[i]))[0] {
				got = append(got, strings.Join(row[:3], " | "))
			}
			require.ElementsMatch(t, want, got, "%s %s", file, names[i])
		}
	}
}

// TestCollectorsTable: the READMEs name exactly what the collectors collect.
func TestCollectorsTable(t *testing.T) {
	rt, err := runtime.New()
	require.NoError(t, err)
	want := map[string][]string{}
	for _, c := range []collector.Collector{rt, random.New(), gopsutil.New()} {
		ms, err := c.Collect(t.Context())
		require.NoError(t, err)
		var names []string
		for _, m := range ms {
			if strings.HasPrefix(m.Name, "CPUutilization") {
				m.Name = "CPUutilization1" // one a CPU
			}
			names = append(names, m.Name)
		}
		slices.Sort(names)
		want[c.Name()] = slices.Compact(names)
	}
	for i, file := range readmes {
		got := map[string][]string{}
		for _, row := range tablesOf(section(t, read(t, file), []string{"### What the agent collects", "### Что собирает агент"}[i]))[0] {
			var names []string
			for _, name := range codeOf(row[1]) {
				names = append(names, strings.Trim(name, "`"))
			}
			got[strings.Trim(row[0], "`")] = names
		}
		scraped := map[string]string{}
		for name, names := range got {
			for _, text := range names {
				if job, ok := strings.CutPrefix(text, "job="); ok {
					scraped[name] = strings.Trim(job, `"`)
					delete(got, name)
				}
			}
		}
		require.Equal(t, map[string]string{"node": "node", "container": "cadvisor", "process": "process"}, scraped, file)
		require.Subset(t, goStrings(t, "internal/agent/config/collect.go", `Job\s+= "(\w+)"`), slices.Collect(maps.Values(scraped)))
		delete(got, []string{"always", "всегда"}[i])
		require.Equal(t, want, got, file)
	}
}

// goStrings returns what a regular expression captures in the Go files of a
// pattern, tests aside.
func goStrings(t *testing.T, pattern, expression string) (out []string) {
	t.Helper()
	files, err := filepath.Glob(pattern)
	require.NoError(t, err)
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		source, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, match := range regexp.MustCompile(expression).FindAllStringSubmatch(string(source), -1) {
			out = append(out, match[1])
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// TestTelemetryTable: the table has exactly the metrics that the server
// registers.
func TestTelemetryTable(t *testing.T) {
	want := append(goStrings(t, "internal/server/telemetry/*.go", `"(gometheus_[a-z_]+)"`), goStrings(t, "internal/server/app/*.go", `"(gometheus_[a-z_]+)"`)...)
	slices.Sort(want)
	want = slices.Compact(want) // the page of the status reads them too
	require.Greater(t, len(want), 5)
	var got []string
	for _, row := range tablesOf(section(t, read(t, "README.md"), "### What it tells of itself"))[0] {
		for _, name := range codeOf(row[0]) {
			got = append(got, strings.Trim(name, "`"))
		}
	}
	require.ElementsMatch(t, want, got)
}

// TestDependenciesTable: every module that this one requires directly has its
// line.
func TestDependenciesTable(t *testing.T) {
	table := tablesOf(section(t, read(t, "README.md"), "## Dependencies"))[0]
	direct, _, _ := strings.Cut(read(t, "go.mod"), "\n)")
	modules := regexp.MustCompile(`(?m)^\t(\S+) v`).FindAllStringSubmatch(direct, -1)
	require.Greater(t, len(modules), 15)
	for _, module := range modules {
		name := regexp.MustCompile(`^github\.com/|/v\d+$`).ReplaceAllString(module[1], "")
		if name == "go.uber.org/zap" {
			name = "uber-go/zap"
		}
		require.True(t, slices.ContainsFunc(table, func(row []string) bool {
			return slices.ContainsFunc(regexp.MustCompile(`[^\s,(]+`).FindAllString(row[0], -1), func(word string) bool { return word == name })
		}), "%s has no line", module[1])
	}
}

// TestAPITables: each request of the tables is answered by the server, whatever
// the answer, and each path that the server has stands in them.
func TestAPITables(t *testing.T) {
	address := startServer(t)
	client := &http.Client{Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	text := read(t, "README.md")
	documented := map[string]bool{}
	for _, heading := range []string{"## The push API", "## The Prometheus API"} {
		for _, row := range tablesOf(section(t, text, heading))[0] {
			methods := []string{}
			for _, span := range spanRE.FindAllString(row[0], -1) {
				words := strings.Fields(strings.Trim(span, "`"))
				if slices.Contains([]string{http.MethodGet, http.MethodPost}, words[0]) {
					methods = append(methods, words[0])
					words = words[1:]
				}
				if len(words) != 1 || !strings.HasPrefix(words[0], "/") {
					continue // the first of two methods, or what the body is
				}
				require.NotEmpty(t, methods, row[0])
				path, _, _ := strings.Cut(words[0], "?")
				documented[path] = true
				for _, method := range methods {
					require.NotContains(t, []int{http.StatusNotFound, http.StatusMethodNotAllowed}, status(t, client, method, address, path), "%s %s", method, path)
				}
			}
		}
	}
	require.Equal(t, http.StatusNotFound, status(t, client, http.MethodGet, address, "/api/v1/no-such"))
	require.Equal(t, http.StatusMethodNotAllowed, status(t, client, http.MethodPost, address, "/api/v1/metadata"))

	paths := goStrings(t, "internal/server/router/router.go", `(?:post|get|Post|Get)\((?:\w+, )?"(/[^"*]*)`)
	paths = append(paths, goStrings(t, "internal/server/api/promapi/promapi.go", `(?:Get|MethodFunc)\((?:method, )?"(/[^"]+)"`)...)
	for _, path := range goStrings(t, "internal/server/api/promapi/promapi.go", `(?m)^\t+(?:t\[)?"(/[^"]+)"(?::|\] =)`) {
		paths = append(paths, "/api/v1"+path)
	}
	require.Greater(t, len(paths), 30)
	for _, path := range paths {
		path = strings.TrimSuffix(path, "/")
		found := path == "" || path == "/static" // what the page is made of
		for have := range documented {
			found = found || have == path || strings.HasPrefix(have, path+"/{")
		}
		require.True(t, found, "%s stands in no table", path)
	}
}

func status(t *testing.T, client *http.Client, method, address, path string) int {
	t.Helper()
	path = strings.NewReplacer("{type}", "gauge", "{name}", "x", "{value}", "1").Replace(path)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, "http://"+address+path, http.NoBody)
	require.NoError(t, err)
	response, err := client.Do(request)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	return response.StatusCode
}
