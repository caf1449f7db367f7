//go:build !markapart

package dump

// write puts the group into the journal: its batches with their marks as one
// record. commitMu is held.
func (s *Store) write() error {
	err := s.log.Prepare()
	if err == nil {
		err = s.log.Append(s.enc.group(s.log.Segment(), s.mem, s.group))
	}
	return s.outcome(err)
}
