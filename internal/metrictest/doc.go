// Package metrictest looks at the pages of metrics and of the server itself with a
// real browser, as the real server makes them of what real senders push. It holds
// tests only.
package metrictest
