package scrape_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/agent/scrape"
)

func TestParseTargets(t *testing.T) {
	for _, c := range []struct{ in, job, instance, shown string }{
		{"localhost:9187", "localhost:9187", "web-1", "localhost:9187=http://localhost:9187/metrics"},
		{"pg=localhost:9187", "pg", "web-1", "pg=http://localhost:9187/metrics"},
		{"pg=127.0.0.2:9187", "pg", "web-1", "pg=http://127.0.0.2:9187/metrics"},
		{"pg=[::1]:9187/m", "pg", "web-1", "pg=http://[::1]:9187/m"},
		{"pg=[::ffff:127.0.0.1]:9187", "pg", "web-1", "pg=http://[::ffff:127.0.0.1]:9187/metrics"},
		{"pg=LOCALHOST.", "pg", "web-1", "pg=http://LOCALHOST./metrics"},
		{"db.example.com", "db.example.com:80", "db.example.com:80", "db.example.com:80=http://db.example.com/metrics"},
		{" db = https://DB.example.com/ ", "db", "db.example.com:443", "db=https://DB.example.com/"},
		{"https://10.0.0.1:8443/x?a=b&token=c", "10.0.0.1:8443", "10.0.0.1:8443", "10.0.0.1:8443=https://10.0.0.1:8443/x?…"},
		{"host?a=b", "host:80", "host:80", "host:80=http://host/metrics?…"},
		{"a=me:se=cret@host:1", "a", "host:1", "a=http://host:1/metrics"},
		{"http://me:se=cret@host:1", "host:1", "host:1", "host:1=http://host:1/metrics"},
		{"localhost.example.com", "localhost.example.com:80", "localhost.example.com:80", "localhost.example.com:80=http://localhost.example.com/metrics"},
	} {
		specs, err := scrape.ParseTargets([]string{c.in}, "web-1")
		require.NoError(t, err, c.in)
		require.Len(t, specs, 1)
		require.Equal(t, []string{c.job, c.instance, c.shown}, []string{specs[0].Job, specs[0].Instance, specs[0].String()}, c.in)
		target := specs[0].Target()
		require.Equal(t, []string{c.job, c.instance}, []string{target.Job, target.Instance})
		require.Equal(t, c.shown, target.Job+"="+target.Source.String())
	}

	// Without an instance of its own the agent has nothing better to say.
	specs, err := scrape.ParseTargets([]string{"a=localhost:1", "b=localhost:1"}, "")
	require.NoError(t, err)
	require.Equal(t, "localhost:1", specs[0].Instance)
	specs, err = scrape.ParseTargets(nil, "web-1")
	require.NoError(t, err)
	require.Empty(t, specs)
}

func TestParseTargetsErrors(t *testing.T) {
	for _, c := range []struct {
		in   []string
		want string
	}{
		{[]string{""}, `target 1, "": there is no URL`},
		{[]string{"a:1", "x="}, `target 2, "x=": there is no URL`},
		{[]string{"=a:1"}, `target 1, "=a:1": there is no name before the =`},
		{[]string{"ftp://me:s3cret@a/"}, `target 1, "ftp://***@a/": its scheme must be http or https`},
		{[]string{"http://"}, `target 1, "http://": it has no host`},
		{[]string{":9187"}, `target 1, ":9187": it has no host`},
		{[]string{"a:99999"}, `target 1, "a:99999": its port must be 1 to 65535`},
		{[]string{"a:0"}, `target 1, "a:0": its port must be 1 to 65535`},
		{[]string{"http://me:s3/cret@a:b/x?token=s3cret"}, `target 1, "http://***@a:b/x?…": it is no valid URL`},
		{[]string{"n=me:s3@c%ret@a b/"}, `target 1, "n=***@a b/": it is no valid URL`},
		{[]string{"me:s3%cret@a"}, `target 1, "***@a": it is no valid URL`},
		{[]string{"a\xff=x:1"}, `target 1, "a\xff=x:1": it is no UTF-8`},
		{[]string{"http://me:s3", "cret@a"}, `target 1, "***": it is no valid URL`}, // split at its comma
		{
			[]string{"pg=localhost:1", "http://x:1", "pg=me:s3cret@127.0.0.1:2"},
			`targets "pg=http://localhost:1/metrics" and "pg=http://127.0.0.1:2/metrics" would both have job="pg", instance="web-1": give them different names, as in name=URL`,
		},
		{
			[]string{"x:1/a", "x:1/b"},
			`targets "x:1=http://x:1/a" and "x:1=http://x:1/b" would both have job="x:1", instance="x:1": give them different names, as in name=URL`,
		},
	} {
		_, err := scrape.ParseTargets(c.in, "web-1")
		require.EqualError(t, err, c.want)
	}
}

// TestSameTargets: a name from the configuration may be one that the agent uses.
func TestSameTargets(t *testing.T) {
	specs, err := scrape.ParseTargets([]string{"node=localhost:9100"}, "web-1")
	require.NoError(t, err)
	_, err = scrape.New(scrape.Options{Targets: []scrape.Target{
		{Job: "node", Instance: "web-1", Source: scrape.Gatherer("node collectors", nil)}, specs[0].Target(),
	}})
	require.EqualError(t, err, `targets "node collectors" and "http://localhost:9100/metrics" would both have job="node", instance="web-1": `+
		`give them different names, as in name=URL`)
}
