package app

import (
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/gometheus/gometheus/internal/agent/collector"
	"github.com/gometheus/gometheus/internal/agent/collector/container"
	"github.com/gometheus/gometheus/internal/agent/collector/gopsutil"
	"github.com/gometheus/gometheus/internal/agent/collector/node"
	"github.com/gometheus/gometheus/internal/agent/collector/process"
	"github.com/gometheus/gometheus/internal/agent/collector/random"
	"github.com/gometheus/gometheus/internal/agent/collector/runtime"
	"github.com/gometheus/gometheus/internal/agent/collector/statsd"
	"github.com/gometheus/gometheus/internal/agent/config"
	"github.com/gometheus/gometheus/internal/agent/scrape"
	"github.com/gometheus/gometheus/internal/common/buildinfo"
	"github.com/gometheus/gometheus/internal/common/metric"
)

// sources are what the configuration asks to collect.
type sources struct {
	// collectors are polled; what they give is pushed.
	collectors []collector.Collector
	// targets are scraped; what they give goes to the history alone.
	targets []scrape.Target
	// statsd listens, and is both; nil if it isn't asked for.
	statsd *statsd.Server
}

// newSources makes them. Nothing listens or runs yet.
func newSources(cfg *config.Config, log *zap.Logger) (*sources, error) {
	s := &sources{}
	c := &cfg.Collect
	instance := instanceOf(cfg)
	gather := func(job string, g prometheus.Gatherer) {
		s.targets = append(s.targets, scrape.Target{Job: job, Instance: instance, Source: scrape.Gatherer(job, g)})
	}
	if c.Has(config.Runtime) {
		rt, err := runtime.New()
		if err != nil {
			return nil, err
		}
		s.collectors = append(s.collectors, rt)
	}
	if c.Has(config.Random) {
		s.collectors = append(s.collectors, random.New())
	}
	if c.Has(config.Gopsutil) {
		s.collectors = append(s.collectors, gopsutil.New())
	}
	if c.Has(config.Node) || c.TextfileDir != "" {
		g, err := node.New(node.Options{
			Enable: c.NodeEnable, Disable: c.NodeDisable, TextfileOnly: !c.Has(config.Node),
			Root: c.HostRoot, TextfileDir: c.TextfileDir, Timeout: nodeTimeout(c.Interval), Log: log,
		})
		if err != nil {
			return nil, err
		}
		gather(config.NodeJob, g)
	}
	if !c.Has(config.Node) && len(c.NodeEnable)+len(c.NodeDisable) > 0 {
		log.Warn("NODE_ENABLE and NODE_DISABLE do nothing: node is not among COLLECTORS")
	}
	if c.Has(config.Container) {
		gather(config.ContainerJob, registryOf(container.New(container.Options{Root: c.HostRoot, DockerHost: c.DockerHost, Log: log})))
	}
	if c.Has(config.Process) {
		gather(config.ProcessJob, registryOf(process.New(process.Options{Root: c.HostRoot, CommandLine: c.ProcessCommandLine, Log: log})))
	}
	if c.StatsD != "" {
		labels, err := labelSet(cfg.Labels)
		if err != nil {
			return nil, err
		}
		external := externalOf(labels)
		s.statsd = statsd.New(statsd.Options{
			Address: c.StatsD, Labels: external, Spare: len(labels) - len(external), Hold: cfg.ReportInterval, Log: log,
		})
		gather(config.StatsDJob, s.statsd)
	}
	specs, err := scrape.ParseTargets(c.Scrape, instance)
	if err != nil {
		return nil, fmt.Errorf("SCRAPE: %w", err)
	}
	for _, spec := range specs {
		s.targets = append(s.targets, spec.Target())
	}
	return s, nil
}

// scrapeTimeout is what a scrape may take.
func scrapeTimeout(interval time.Duration) time.Duration { return min(interval, 10*time.Second) }

// nodeTimeout is what one collector of node may take: less than a scrape, which
// else would fail as a whole when one hangs. It is still longer than what upstream's
// filesystem collector grants a mount.
func nodeTimeout(interval time.Duration) time.Duration { return scrapeTimeout(interval) * 4 / 5 }

// externalOf is the labels beside those of a target.
func externalOf(labels metric.Labels) metric.Labels {
	return slices.DeleteFunc(slices.Clone(labels), func(l metric.Label) bool { return l.Name == "instance" || l.Name == "job" })
}

// registryOf is a registry of one collector.
func registryOf(c prometheus.Collector) prometheus.Gatherer {
	r := prometheus.NewRegistry()
	r.MustRegister(c)
	return r
}

// instanceOf is the label that tells this machine from others: that of LABELS, or
// the name of the machine.
func instanceOf(cfg *config.Config) string {
	if instance := cfg.Labels["instance"]; instance != "" {
		return instance
	}
	name, _ := os.Hostname() // a machine without a name has no such label
	return name
}

// scraper makes the scraper of the targets.
func newScraper(cfg *config.Config, targets []scrape.Target, labels metric.Labels, o scrape.Options) (*scrape.Scraper, error) {
	o.Targets = targets
	o.Interval, o.Timeout = cfg.Collect.Interval, scrapeTimeout(cfg.Collect.Interval)
	o.External = externalOf(labels)
	o.Limits = scrape.Limits{
		Body: cfg.Collect.ScrapeLimitBody, Samples: cfg.Collect.ScrapeLimitSamples,
		// What the server doesn't take either.
		Labels: 128, LabelName: 1024, LabelValue: 4096,
	}
	o.UserAgent = userAgent()
	return scrape.New(o)
}

func userAgent() string { return "gometheus-agent/" + buildinfo.Read().Version }
