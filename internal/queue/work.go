package queue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"sluice/internal/message"
	"sluice/internal/spool"
)

// headerSteps are how much is read from the spool to find the end of the header section; most end within the first.
var headerSteps = [...]int{16 << 10, 64 << 10, message.MaxHeaderOctets + 1}

// Work is one claimed item with its message, in the hands of one worker. It is used by one goroutine at a time.
type Work struct {
	Item    spool.Item
	Message *spool.Message

	contents Contents
	content  spool.Content // nil: read from the spool
	node     *message.Node
	parsed   bool
	corrupt  atomic.Bool // reading it met spool.ErrCorrupt

	lane  *lane
	next  *Work // in a fifo
	slot  int   // in the journal, while it runs
	began time.Time
}

// NewWork returns the Work of a claimed item; its content's reference goes with it. Only tests of executors need it: the
// queue makes its own.
func NewWork(c spool.Claimed, contents Contents) *Work {
	return &Work{Item: c.Item, Message: c.Message, content: c.Content, contents: contents}
}

// Size is the octets of the message as it leaves: with the fields added and without the ranges removed.
func (w *Work) Size() int64 {
	node, _ := w.state() // Open and Chunks report the error
	return node.Size(w.Message.Trace, w.Message.Size)
}

// Chunks returns the message as it leaves when its content is in memory, else nil: then Open reads it. The slices are
// shared; they must not be changed, nor used after Done.
func (w *Work) Chunks() [][]byte {
	node, err := w.state()
	if err != nil || w.content == nil {
		return nil
	}
	content := w.content.Bytes()
	if content == nil {
		return nil
	}
	return node.Chunks(w.Message.Trace, content)
}

// Open returns a reader of the message as it leaves: the trace fields, the fields added, the content without the ranges
// removed (Mail Manager, D1). It reads from memory when the content is there, else from the spool. The caller closes it
// before Done. Errors of it and of the reader are those of the spool; one that is spool.ErrCorrupt sends what is left of
// the item to held/corrupt, whatever its Result says of trying again.
func (w *Work) Open(ctx context.Context) (io.ReadCloser, error) {
	if chunks := w.Chunks(); chunks != nil {
		return &chunkReader{chunks: chunks}, nil
	}
	node, err := w.state()
	if err != nil {
		return nil, err
	}
	content, err := w.contents.Content(ctx, w.Message.ID, 0)
	if err != nil {
		return nil, w.judge(fmt.Errorf("open content of message %s: %w", w.Message.ID, err))
	}
	return &stateReader{work: w, r: node.Reader(w.Message.Trace, content), Closer: content}, nil
}

// Header returns the header section as received, with the empty line that ends it, or its first 256 KiB. It must not be
// changed, nor used after Done. Errors are as for Open.
func (w *Work) Header(ctx context.Context) (message.Header, error) {
	if w.content != nil {
		if chunks := w.content.Bytes(); chunks != nil {
			return headerOf(chunks), nil
		}
	}
	content, err := w.contents.Content(ctx, w.Message.ID, 0)
	if err != nil {
		return nil, w.judge(fmt.Errorf("open content of message %s: %w", w.Message.ID, err))
	}
	defer content.Close()
	var read []byte
	for _, step := range headerSteps {
		at := len(read)
		read = append(read, make([]byte, step-at)...)
		n, err := io.ReadFull(content, read[at:])
		read = read[:at+n]
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, w.judge(fmt.Errorf("read header section of message %s: %w", w.Message.ID, err))
		}
		if err != nil || bytes.Contains(read, []byte("\r\n\r\n")) {
			break
		}
	}
	header, _ := message.CutHeader(read)
	return header, nil
}

func headerOf(chunks [][]byte) message.Header {
	var read []byte
	for _, chunk := range chunks {
		if read == nil {
			read = chunk[:len(chunk):len(chunk)] // no copy for the usual message, whose first chunk holds it all
		} else {
			read = append(read, chunk...)
		}
		if len(read) > message.MaxHeaderOctets || bytes.Contains(read, []byte("\r\n\r\n")) {
			break
		}
	}
	header, _ := message.CutHeader(read)
	return header
}

func (w *Work) state() (*message.Node, error) {
	if w.parsed {
		return w.node, nil
	}
	node, err := message.ParseNode(w.Item.State)
	if err != nil {
		w.corrupt.Store(true)
		return nil, fmt.Errorf("state of item %s/%d: %w: %w", w.Item.Message, w.Item.Seq, spool.ErrCorrupt, err)
	}
	w.node, w.parsed = node, true
	return node, nil
}

// judge remembers that content is corrupt.
func (w *Work) judge(err error) error {
	if errors.Is(err, spool.ErrCorrupt) {
		w.corrupt.Store(true)
	}
	return err
}

// stateReader reads a message from the spool.
type stateReader struct {
	work *Work
	r    io.Reader
	io.Closer
}

// Read implements io.Reader.
func (r *stateReader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	if err != nil && err != io.EOF {
		err = r.work.judge(err)
	}
	return n, err
}

// chunkReader reads a message from memory.
type chunkReader struct{ chunks [][]byte }

// Read implements io.Reader.
func (r *chunkReader) Read(p []byte) (int, error) {
	for len(r.chunks) > 0 && len(r.chunks[0]) == 0 {
		r.chunks = r.chunks[1:]
	}
	if len(r.chunks) == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.chunks[0])
	r.chunks[0] = r.chunks[0][n:]
	return n, nil
}

// WriteTo implements io.WriterTo: the chunks are not copied.
func (r *chunkReader) WriteTo(w io.Writer) (int64, error) {
	var written int64
	for _, chunk := range r.chunks {
		n, err := w.Write(chunk)
		written += int64(n)
		if err != nil {
			return written, err
		}
	}
	r.chunks = nil
	return written, nil
}

// Close implements io.Closer.
func (r *chunkReader) Close() error { return nil }
