package pebble

import "golang.org/x/sys/unix"

// inodesOf says how many inodes are free, and how many there are, on the file system of a path. Where they are made as they
// are needed there are none.
func inodesOf(path string) (free, total uint64, err error) {
	var stat unix.Statfs_t
	if err := unix.Statfs(path, &stat); err != nil {
		return 0, 0, err
	}
	return stat.Ffree, stat.Files, nil
}
