package queue

// fifo is works in their order, linked through Work.next. The zero fifo is empty.
type fifo struct {
	first, last *Work
	n           int
}

func (f *fifo) push(w *Work) {
	if f.first == nil {
		f.first = w
	} else {
		f.last.next = w
	}
	f.last = w
	f.n++
}

func (f *fifo) pushFront(w *Work) {
	w.next, f.first = f.first, w
	if f.last == nil {
		f.last = w
	}
	f.n++
}

// remove takes out the works that it is told to, and leaves the others in their order.
func (f *fifo) remove(unwanted func(*Work) bool) {
	var kept fifo
	for w := f.pop(); w != nil; w = f.pop() {
		if !unwanted(w) {
			kept.push(w)
		}
	}
	*f = kept
}

// pop returns nil when the fifo is empty.
func (f *fifo) pop() *Work {
	w := f.first
	if w == nil {
		return nil
	}
	f.first, w.next = w.next, nil
	if f.first == nil {
		f.last = nil
	}
	f.n--
	return w
}
