package config

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/gometheus/gometheus/internal/agent/collector/node"
	"github.com/gometheus/gometheus/internal/agent/scrape"
	"github.com/gometheus/gometheus/internal/common/config"
)

// The sources that COLLECTORS chooses from.
const (
	Runtime   = "runtime"
	Random    = "random"
	Gopsutil  = "gopsutil"
	Node      = "node"
	Container = "container"
	Process   = "process"
)

// The labels job of what is collected for the history alone: those under which
// dashboards know these metrics.
const (
	NodeJob      = "node"
	ContainerJob = "cadvisor"
	ProcessJob   = "process"
	StatsDJob    = "statsd"
)

// Collect is what the agent collects beside its own samples.
type Collect struct {
	Collectors []string      // of those above
	Interval   time.Duration // between scrapes, and between collections of node, container and process
	HostRoot   string        // where the machine's file system is

	NodeEnable, NodeDisable []string // collectors of node
	TextfileDir             string   // of *.prom; empty: none

	Scrape             []string // URLs, or name=URL
	ScrapeLimitSamples int
	ScrapeLimitBody    int64

	StatsD string // where it listens; empty: it doesn't

	DockerHost         string
	ProcessCommandLine bool
}

// Has tells whether one of the sources is chosen.
func (c *Collect) Has(source string) bool { return slices.Contains(c.Collectors, source) }

// Historic tells whether something is collected that only the history takes.
func (c *Collect) Historic() bool {
	return c.Has(Node) || c.Has(Container) || c.Has(Process) || c.TextfileDir != "" || len(c.Scrape) > 0 || c.StatsD != ""
}

// jobs are the jobs of what is chosen, with the setting that chooses it.
func (c *Collect) jobs() map[string]string {
	jobs := make(map[string]string)
	if c.TextfileDir != "" {
		jobs[NodeJob] = "TEXTFILE_DIR"
	}
	for source, job := range map[string]string{Node: NodeJob, Container: ContainerJob, Process: ProcessJob} {
		if c.Has(source) {
			jobs[job] = "COLLECTORS"
		}
	}
	if c.StatsD != "" {
		jobs[StatsDJob] = "STATSD"
	}
	return jobs
}

// check finds what no setting can find by itself.
func (c *Collect) check() error {
	// The value isn't shown: of its secrets the error of each target knows.
	wrongTarget := func(reason string) error {
		return &config.Error{Setting: "SCRAPE", Reason: reason, Allowed: "URLs or name=URL with commas between"}
	}
	const here = "here"
	targets, err := scrape.ParseTargets(c.Scrape, here)
	if err != nil {
		return wrongTarget(err.Error())
	}
	jobs := c.jobs()
	for _, t := range targets {
		if by := jobs[t.Job]; by != "" && t.Instance == here {
			return wrongTarget(fmt.Sprintf("%s has the same job as what %s collects of this machine: leave one out, or give it another name", t, by))
		}
	}
	var names []string
	for _, known := range node.Collectors() { // none where it doesn't run
		names = append(names, known.Name)
	}
	for setting, chosen := range map[string][]string{"NODE_ENABLE": c.NodeEnable, "NODE_DISABLE": c.NodeDisable} {
		for _, name := range chosen {
			if len(names) > 0 && !slices.Contains(names, name) {
				return wrong(setting, name, "names of node_exporter's collectors: "+strings.Join(names, ", "))
			}
		}
	}
	for _, name := range c.NodeEnable {
		if slices.Contains(c.NodeDisable, name) {
			return wrong("NODE_DISABLE", name, "collectors that NODE_ENABLE doesn't name too")
		}
	}
	return nil
}

// CollectSettings are the settings of Collect.
type CollectSettings struct {
	Collectors     config.Var[[]string]      `group:"Collecting" flag:"collectors" env:"COLLECTORS" default:"runtime,random,gopsutil,node" help:"What is collected: the agent's own runtime; a random number and a count of polls; memory and CPUs of the machine; the machine by the collectors of node_exporter (Linux); containers (Linux); the largest processes (Linux)."`
	ScrapeInterval config.Var[time.Duration] `group:"Collecting" flag:"scrape-interval" env:"SCRAPE_INTERVAL" help:"How often node, container and process are collected, and the URLs of SCRAPE scraped."`
	NodeEnable     config.Var[[]string]      `group:"Collecting" flag:"node-enable" env:"NODE_ENABLE" help:"Collectors of node_exporter that run besides those it runs by default, such as systemd."`
	NodeDisable    config.Var[[]string]      `group:"Collecting" flag:"node-disable" env:"NODE_DISABLE" help:"Collectors of node_exporter that don't run."`
	TextfileDir    config.Var[string]        `group:"Collecting" flag:"textfile-dir" env:"TEXTFILE_DIR" help:"Folder whose files *.prom are collected, as node_exporter does; empty: none."`
	HostRoot       config.Var[string]        `group:"Collecting" flag:"host-root" env:"HOST_ROOT" help:"Where the machine's file system is mounted, for an agent in a container."`

	Scrape             config.Var[[]string] `group:"Collecting" flag:"scrape" env:"SCRAPE" help:"Prometheus endpoints to scrape, as URL or name=URL, where the name becomes the label job; may be given several times."`
	ScrapeLimitSamples config.Var[int]      `group:"Collecting" flag:"scrape-limit-samples" env:"SCRAPE_LIMIT_SAMPLES" help:"How many samples one scrape may have; with more it fails."`
	ScrapeLimitBody    config.Var[int64]    `group:"Collecting" flag:"scrape-limit-body" env:"SCRAPE_LIMIT_BODY" help:"How large the answer to a scrape may be, unpacked; a larger one fails."`

	StatsD config.Var[string] `group:"Collecting" flag:"statsd" env:"STATSD" help:"Where to listen for StatsD and DogStatsD, over UDP; the flag alone means 127.0.0.1:8125; empty: nowhere."`

	DockerHost         config.Var[string] `group:"Collecting" flag:"docker-host" env:"DOCKER_HOST" help:"Whom to ask for the names of containers; empty: the usual sockets, if they can be read."`
	ProcessCommandLine config.Var[bool]   `group:"Collecting" flag:"process-command-line" env:"PROCESS_COMMAND_LINE" help:"Tell processes by their command lines too, which may hold secrets."`
}

func defaultCollect() CollectSettings {
	collectors := []string{Runtime, Random, Gopsutil, Node}
	if runtime.GOOS != "linux" {
		collectors = collectors[:3]
	}
	return CollectSettings{
		Collectors:         config.Words("names", collectors, Runtime, Random, Gopsutil, Node, Container, Process),
		ScrapeInterval:     config.Seconds(15*time.Second, 100*time.Millisecond, time.Hour),
		NodeEnable:         config.List("names", "names of node_exporter's collectors", nil, nil),
		NodeDisable:        config.List("names", "names of node_exporter's collectors", nil, nil),
		TextfileDir:        config.PathOrEmpty(""),
		HostRoot:           config.Path("/"),
		Scrape:             config.List("URLs", "URLs or name=URL", nil, nil),
		ScrapeLimitSamples: config.Int(50_000, 1, 10_000_000),
		ScrapeLimitBody:    config.Size(32<<20, 1<<10, 1<<30),
		StatsD:             config.HostPortOrEmpty("127.0.0.1:8125"),
		DockerHost:         config.Text(),
		ProcessCommandLine: config.Bool(false),
	}
}

func (s *CollectSettings) collect() Collect {
	return Collect{
		Collectors:         s.Collectors.Value(),
		Interval:           s.ScrapeInterval.Value(),
		HostRoot:           s.HostRoot.Value(),
		NodeEnable:         s.NodeEnable.Value(),
		NodeDisable:        s.NodeDisable.Value(),
		TextfileDir:        s.TextfileDir.Value(),
		Scrape:             s.Scrape.Value(),
		ScrapeLimitSamples: s.ScrapeLimitSamples.Value(),
		ScrapeLimitBody:    s.ScrapeLimitBody.Value(),
		StatsD:             s.StatsD.Value(),
		DockerHost:         s.DockerHost.Value(),
		ProcessCommandLine: s.ProcessCommandLine.Value(),
	}
}
