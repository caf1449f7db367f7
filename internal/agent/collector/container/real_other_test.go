//go:build !linux

package container

func runChild(string) int { return 0 }
