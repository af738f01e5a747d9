package records

import (
	"fmt"
	"io"
	"io/fs"
	"os"
)

// fileMode of a new file: records name senders and recipients. One that is there keeps its mode.
const fileMode fs.FileMode = 0o600

// lineEnd ends a record.
var lineEnd = []byte{'\n'}

// output is where the lines go. It is used by one goroutine at a time.
type output struct {
	to   io.Writer
	file *os.File // the same, when it is ours to close; else nil
	path string
	torn bool // the last line has no end
}

func openOutput(c Config) (*output, error) {
	switch {
	case c.Output != nil:
		return &output{to: c.Output}, nil
	case c.Path == "" || c.Path == "-":
		return &output{to: os.Stderr}, nil // as the logger has it: both write whole lines, one after the other
	}
	o := &output{path: c.Path}
	return o, o.open()
}

// open opens the file by its name, in place of what was open.
func (o *output) open() error {
	file, err := os.OpenFile(o.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, fileMode)
	if err != nil {
		return fmt.Errorf("open the file of log records: %w", err)
	}
	o.to, o.file, o.torn = file, file, endsTorn(file)
	return nil
}

// endsTorn reports whether a file ends within a line: a full disk, or a crash, cut it off.
func endsTorn(file *os.File) bool {
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Size() == 0 {
		return false
	}
	reader, err := os.Open(file.Name()) // the file itself is open for writing only
	if err != nil {
		return false
	}
	defer reader.Close()
	last := make([]byte, 1)
	_, err = reader.ReadAt(last, info.Size()-1)
	return err == nil && last[0] != lineEnd[0]
}

// reopen opens the file anew; when that fails, what was open stays in use.
func (o *output) reopen() error {
	if o.file == nil {
		return nil
	}
	old := o.file
	if err := o.open(); err != nil {
		return err
	}
	if err := old.Close(); err != nil {
		return fmt.Errorf("close the old file of log records: %w", err)
	}
	return nil
}

// write writes whole lines and returns how many octets of them were taken. After a write that tore a line, the next begins
// on a line of its own.
func (o *output) write(lines []byte) (int, error) {
	if o.torn {
		if _, err := o.to.Write(lineEnd); err != nil {
			return 0, err
		}
		o.torn = false
	}
	n, err := o.to.Write(lines)
	o.torn = n > 0 && lines[n-1] != lineEnd[0]
	return n, err
}

func (o *output) close() error {
	if o.file == nil {
		return nil
	}
	if err := o.file.Close(); err != nil {
		return fmt.Errorf("close the file of log records: %w", err)
	}
	return nil
}
