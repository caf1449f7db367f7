package statsd

// Take counts a packet that didn't come by the socket.
func (s *Server) Take(packet []byte) { s.take(packet) }

// Packets is how many packets were taken.
func (s *Server) Packets() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tally.packets
}
