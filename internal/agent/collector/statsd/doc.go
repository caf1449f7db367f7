// Package statsd receives what programs count: StatsD with the extensions of
// DogStatsD, over UDP.
//
//	name:value[:value…]|type[|@rate][|#tag:value,…][|T<seconds>][|c:<container>]
//
// Several lines may stand in a packet.
//
//	type      becomes
//	c         a counter; what came since the last Collect is its Delta
//	g         a gauge; a value with a sign (+4, -4) changes the last one
//	s         a gauge: how many distinct values came within Options.Hold
//	ms, h, d  a native histogram, see Gather; ms is divided by 1,000
//
// Counters, gauges and sets come from Collect, for the push API; histograms, and
// what the receiver tells about itself, from Gather.
//
// # Exactly once
//
// UDP loses packets when the socket's buffer is full, and neither side is told
// (Linux counts them for the machine, as node_netstat_Udp_RcvbufErrors). What the
// receiver has read is never lost or counted twice: Collect takes and clears the
// increments under the lock that the reading loop adds them under. An increment
// is a whole number at the server, so a fraction (x:1|c|@0.3 is 3.33…) waits in
// its series until it has become a whole. Since counters only rise, a negative
// count is invalid.
//
// # As statsd_exporter
//
// Names and units are those that Prometheus' statsd_exporter gives without a
// mapping, so that dashboards move over:
//
//   - Timers are in seconds, histograms and distributions in the unit they come
//     in. No suffix is added to a name.
//   - Each character that isn't allowed in a name becomes "_", and a leading digit
//     gets "_" before it. (But "--" becomes "__", and "_" there.)
//   - A tag without a name or a value is left out, and counted. Of tags with the
//     same name the last one stands.
//   - A gauge of -4 is a change by -4: the protocol has no other way to say it.
//   - A line that isn't UTF-8 is invalid.
//
// Other than there: sets are counted, @rate weighs timers exactly (it observes
// them ⌊1/rate⌋ times), rates outside of (0, 1] are invalid, a container's id is
// no label, and a field of a later version of the protocol (letters, colon) is
// passed over rather than refused.
//
// The time of a sample (|T) is not used: what arrives counts as of now. Events
// (_e{) and service checks (_sc|) are passed over and counted.
//
// # Bounds
//
// There are at most Options.MaxSeries series, whose names and labels are at most
// 16 MiB together; gauges, sets and histograms end,
// and counters are forgotten, when nothing came for Options.Forget. A set counts
// up to 8,192 values exactly (as 64-bit hashes) and all sets together up to
// 262,144; it doesn't rise beyond. A histogram has at most 160 buckets.
//
// A name and its labels can be a counter and a gauge, which are two series for
// the server. They can't be a gauge and a set, or a histogram and something else:
// the first to come stands, and the other's samples are dropped.
package statsd
