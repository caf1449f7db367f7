package pgtest

import (
	"fmt"
	"os/user"
	"strconv"
	"syscall"
)

// runAs makes a child that runs as the user (-1: as this process does) and is
// stopped by the kernel when this process ends, however it ends.
func runAs(uid, gid int) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{
		Setpgid:   true, // Ctrl-C in the terminal is for the tests, which stop it
		Pdeathsig: Immediate,
	}
	if uid >= 0 {
		attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	return attr
}

// unprivileged finds a user that isn't root.
func unprivileged() (uid, gid int, err error) {
	for _, name := range []string{"postgres", "nobody"} {
		u, lookupErr := user.Lookup(name)
		if lookupErr != nil {
			err = lookupErr
			continue
		}
		if uid, err = strconv.Atoi(u.Uid); err == nil {
			if gid, err = strconv.Atoi(u.Gid); err == nil {
				return uid, gid, nil
			}
		}
	}
	return 0, 0, fmt.Errorf("find a user that is not root: %w", err)
}
