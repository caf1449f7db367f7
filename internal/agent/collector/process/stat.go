package process

import (
	"bytes"
	"errors"
)

// stat is what is used of /proc/PID/stat (proc(5)).
type stat struct {
	comm    []byte // shares the bytes that were parsed
	state   byte
	flags   uint64
	user    uint64 // ticks
	system  uint64 // ticks
	threads uint64
	start   uint64 // ticks since the machine started
	vsize   uint64 // bytes
	rss     uint64 // pages
}

// kernelThread is the flag PF_KTHREAD.
const kernelThread = 0x00200000

var errStat = errors.New("not what the kernel writes into stat")

// parseStat reads a line "pid (comm) state ppid …". The name may hold anything,
// parentheses and line ends too, so it ends at the last parenthesis.
func parseStat(b []byte) (s stat, err error) {
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 0 || end < open || len(b) < end+4 || b[end+1] != ' ' || b[end+3] != ' ' {
		return stat{}, errStat
	}
	s.comm, s.state = b[open+1:end], b[end+2]
	rest := b[end+4:]
	for field := 4; field <= 24; field++ { // as proc(5) counts them
		var to *uint64
		switch field {
		case 9:
			to = &s.flags
		case 14:
			to = &s.user
		case 15:
			to = &s.system
		case 20:
			to = &s.threads
		case 22:
			to = &s.start
		case 23:
			to = &s.vsize
		case 24:
			to = &s.rss
		}
		i := bytes.IndexByte(rest, ' ')
		if i < 0 {
			i = len(bytes.TrimRight(rest, "\n"))
		}
		if to != nil {
			n, ok := parseUint(rest[:i])
			if !ok {
				return stat{}, errStat
			}
			*to = n
		}
		if i == len(rest) && field < 24 {
			return stat{}, errStat
		}
		rest = rest[min(i+1, len(rest)):]
	}
	return s, nil
}

// parseUint is strconv.ParseUint without the string. What is negative (a resident
// size may be, for a moment) is 0.
func parseUint(b []byte) (n uint64, ok bool) {
	negative := len(b) > 1 && b[0] == '-'
	if negative {
		b = b[1:]
	}
	if len(b) == 0 || len(b) > 20 {
		return 0, false
	}
	for _, d := range b {
		if d < '0' || d > '9' {
			return 0, false
		}
		next := n*10 + uint64(d-'0')
		if n > (1<<64-1)/10 || next < n*10 {
			return 0, false
		}
		n = next
	}
	if negative {
		n = 0
	}
	return n, true
}

// valueOf finds the number after a key at the start of a line, as in
// /proc/PID/io and /proc/meminfo.
func valueOf(b []byte, name string) (uint64, bool) {
	for line := range bytes.Lines(b) {
		rest, ok := bytes.CutPrefix(line, []byte(name))
		if !ok {
			continue
		}
		rest = bytes.TrimLeft(rest, " \t")
		end := 0
		for end < len(rest) && rest[end] >= '0' && rest[end] <= '9' {
			end++
		}
		return parseUint(rest[:end])
	}
	return 0, false
}
