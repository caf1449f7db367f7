//go:build !linux

package process

func runChild(string) int { return 0 }
