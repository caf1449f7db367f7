// Package scrape scrapes what is near, and makes remote write of it.
//
// A [Target] is a job, an instance, and a [Source]: a Prometheus endpoint
// ([HTTP]), or a registry of this process ([Gatherer]), whose families are
// encoded as a remote one would send them. So there is one way for both:
//
//	Source → exposition → textparse → labels, limits, staleness → remote write
//
// What Prometheus does with a scrape, this does too: the labels job and instance
// are the target's, what the exposition says there becomes exported_job and
// exported_instance; its timestamps are honoured; a series that is missing gets a
// staleness marker, all of them when a scrape fails; each scrape has up and the
// scrape_… series beside it; a limit that is exceeded fails the scrape. Of a
// histogram that is exposed both native and classic, both are taken, so that
// dashboards of either kind work.
//
// What it does otherwise: a series that is there twice in a scrape counts once
// and the first wins, even if its labels stand in another order; an exemplar is
// sent once, not with each scrape that shows it; the series of the scrape itself
// win against what a target exposes under these names.
//
// A [Scraper] holds for each target its series from one scrape to the next, found
// by the bytes that stand in the exposition, so that the labels of a known series
// are not made again. At most two expositions are parsed at once. When [Scraper.Run]
// ends nothing is marked as stale, since agents are restarted.
package scrape
