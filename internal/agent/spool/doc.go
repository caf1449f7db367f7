// Package spool keeps the agent's batches on disk until the server has them, so
// that neither a killed agent nor a power cut loses or doubles one.
//
// # Promises
//
// Append gives batches their keys and returns when they are on disk, keys and
// exact bytes. Only then can they be leased, in order, and never more than
// client.MaxAhead ahead of the oldest one that isn't settled. A batch is leased
// again, also after a restart, until it is settled; a key always stands for the
// same bytes. What is settled is noted without an fsync: a power cut may bring a
// settled batch back, and the server, which knows its key, ignores it.
//
// A batch is given up in three cases only, each counted and logged: it is older
// than MaxAge, its part of the disk can't be read any more, or the server
// refuses it for good. Then it goes to the dead letters.
//
// # Files
//
//	00000001.log …   the batches, an internal/common/journal; see record.go
//	acks             which of them are settled; see acks.go
//	producer         who sends them; see producer.go
//	dead/            what the server refused; see dead.go
//	lock             keeps a second agent out
//
// The memory needed doesn't grow with what is on disk: of each segment a few
// counts are kept, of batches on their way the bytes, and one record that is
// being handed out. A segment goes, at the next Append or at Open, when all its
// batches and all segments before it are settled; one that is damaged is then
// put aside as .corrupt-<time> instead of removed.
//
// # Numbers, sequences, epochs
//
// Batches are numbered for the life of the folder. The sequence in a batch's key
// is its number less that of the last batch before its epoch. A sequence that is
// given out twice is the one thing that can lose increments without a trace,
// since the server takes the second batch for a repetition. So whenever Open
// finds that something may be missing it begins a new epoch, that is, a new
// producer as far as the server is concerned: after a torn or damaged segment,
// when acks is unreadable or knows of batches that the segments don't have. What
// was written before keeps its keys. A folder must not be copied and used twice.
//
// # Age
//
// Wall clocks jump. A batch's age is measured by the spool's own clock, which
// starts at zero with the folder, runs with the monotonic clock of the machine
// while the agent runs, and is stored with every record and every note in acks.
// For the time between two runs there is only the wall clock: what it says is
// believed from zero to a year, else it jumped and the time counts as none. So a
// jump of an hour costs an hour of age, one of ten years costs nothing, and
// every batch's age grows while the agent runs.
//
// # Locks
//
// writeMu is held by Append while it writes and syncs; mu guards everything
// about handing out. writeMu is taken before mu, and mu is never held during an
// fsync.
package spool
