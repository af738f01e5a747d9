package smtpd

// freeList keeps large buffers that are not in use, a few of them: a client whose content comes in bursts gives its buffer back
// between them.
type freeList chan *[contentBufferOctets]byte

func (f freeList) get() *[contentBufferOctets]byte {
	select {
	case buffer := <-f:
		return buffer
	default:
		return new([contentBufferOctets]byte)
	}
}

func (f freeList) put(buffer *[contentBufferOctets]byte) {
	select {
	case f <- buffer:
	default: // there are enough
	}
}
