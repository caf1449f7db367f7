//go:build !linux

package pgtest

import (
	"errors"
	"syscall"
)

func runAs(_, _ int) *syscall.SysProcAttr { return &syscall.SysProcAttr{} }

func unprivileged() (uid, gid int, err error) {
	return 0, 0, errors.New("run the tests as a user that is not root")
}
