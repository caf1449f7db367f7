package hostfile

import (
	"io"
	"io/fs"
	"syscall"
)

// fd is an open file.
type fd int

// Read implements io.Reader.
func (f fd) Read(p []byte) (int, error) {
	n, err := retry(func() (int, error) { return syscall.Read(int(f), p) })
	if err != nil {
		return 0, err
	}
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// Read returns what the file holds, up to 1 MiB, in buf, which is made larger
// where it must be. Errors are those of os.ReadFile. buf, as it may have grown, is
// returned with an error too.
func Read(path string, buf []byte) ([]byte, error) {
	f, err := retry(func() (int, error) { return syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC, 0) })
	if err != nil {
		return buf[:0], &fs.PathError{Op: "open", Path: path, Err: err}
	}
	buf, err = readAll(fd(f), buf)
	_ = syscall.Close(f) // it was read only: there is nothing to lose
	if err != nil {
		return buf, &fs.PathError{Op: "read", Path: path, Err: err}
	}
	return buf, nil
}

// Stat is what the kernel tells of a file: its identity, how many links it has
// (a folder of cgroups: the folders in it and two more), and its size (of
// /proc/PID/fd: how many files are open, since Linux 6.2).
func Stat(path string) (id ID, links uint64, size int64, err error) {
	var st syscall.Stat_t
	_, err = retry(func() (int, error) { return 0, syscall.Stat(path, &st) })
	if err != nil {
		return ID{}, 0, 0, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	return ID{Device: uint64(st.Dev), Inode: st.Ino}, uint64(st.Nlink), st.Size, nil //nolint:unconvert // their widths differ between systems
}

// retry repeats a call that a signal interrupted.
func retry(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if err != syscall.EINTR { //nolint:errorlint // package syscall returns the bare number
			return n, err
		}
	}
}
