//go:build markapart

package dump

import (
	"time"

	"github.com/gometheus/gometheus/internal/server/storage"
)

// write is wrong on purpose: the effect is written first and the marks a moment
// later, in a record of their own. It exists to see that the crash harness
// catches a server that does so.
func (s *Store) write() error {
	marks := make([]storage.Mark, len(s.group))
	for i, p := range s.group {
		w := p.tx.Write()
		marks[i], w.Mark = w.Mark, storage.Mark{}
	}
	err := s.log.Prepare()
	if err == nil {
		err = s.log.Append(s.enc.group(s.log.Segment(), s.mem, s.group))
	}
	time.Sleep(15 * time.Millisecond)
	for i, p := range s.group {
		p.tx.Write().Mark = marks[i]
	}
	if err == nil {
		err = s.log.Append(s.enc.marks(marks))
	}
	return s.outcome(err)
}

// marks encodes batches without metrics.
func (e *encoder) marks(marks []storage.Mark) []byte {
	e.buf = e.buf[:0]
	for _, m := range marks {
		if !m.IsZero() {
			e.buf = append(appendMark(e.buf, m), 0, 0, 0) // base and arrived 0, no metrics
		}
	}
	return e.buf
}
