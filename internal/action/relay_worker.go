package action

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"sluice/internal/bounce"
	"sluice/internal/control"
	"sluice/internal/message"
	"sluice/internal/queue"
	"sluice/internal/smtp"
	"sluice/internal/smtpclient"
	"sluice/internal/spool"
	"sluice/internal/trace"
)

// copyOctets is the buffer of a worker for content that is not in memory.
const copyOctets = 64 << 10

// target is where a relay leads to.
type target struct {
	host string
	port int
}

// String is host:port.
func (t target) String() string { return net.JoinHostPort(t.host, strconv.Itoa(t.port)) }

// relayWorker is one worker of a relay's lane, with at most one connection. It is the source of that connection's
// transactions, and used by one goroutine.
type relayWorker struct {
	*RelayExecutor
	ctx     context.Context
	feed    queue.Feed
	pace    *pace
	conn    *smtpclient.Conn // nil: none
	led     *control.Relay   // the relay, as it was when conn was made
	tls     *trace.TLS       // of the last connection; nil: it was in clear, or not made
	waiting []*delivery      // taken from the feed, not on the connection
	breaks  int              // connections in a row that broke before the host had answered one transaction
	buffer  []byte
}

// delivery is one item in the hands of a worker.
type delivery struct {
	smtpclient.Transaction
	work     *queue.Work
	relay    *control.Relay
	target   target
	tries    int // connections that broke under it
	attempts []trace.Attempt
	began    time.Time // of this attempt
}

// prepare makes sure that a delivery waits, and reports whether one does.
func (w *relayWorker) prepare() bool {
	if len(w.waiting) == 0 && w.mayLeave() {
		if d := w.take(0); d != nil {
			w.waiting = append(w.waiting, d)
		}
	}
	return len(w.waiting) > 0
}

// take gets an item from the feed whose relay can be used now. The relay is looked up for every item, so that correcting
// it frees the mail that waits (Mail Manager, D19).
func (w *relayWorker) take(wait time.Duration) *delivery {
	for {
		work := w.nextWork(wait)
		if work == nil {
			return nil
		}
		relay, ok := w.relay(w.feed.Lane())
		if !ok {
			w.hold(work, heldDeleted, fmt.Sprintf("relay %s was deleted", path.Base(string(w.feed.Lane()))))
			continue
		}
		w.pace.set(relay.Rate, w.Now())
		return w.newDelivery(work, relay)
	}
}

func (w *relayWorker) newDelivery(work *queue.Work, relay *control.Relay) *delivery {
	d := &delivery{work: work, relay: relay, target: target{relay.Server, relay.Port}}
	envelope := &work.Message.Envelope
	d.Transaction = smtpclient.Transaction{
		From:       senderOf(work),
		Recipients: work.Item.Recipients,
		EightBit:   envelope.EightBit,
		UTF8:       envelope.UTF8,
		Return:     envelope.Return,
		EnvelopeID: envelope.EnvelopeID,
		Size:       work.Size(),
		Content:    &workContent{worker: w, work: work},
		Tag:        d,
	}
	return d
}

// senderOf is the reverse-path that an item leaves with: its message's, or what REPLACE made of that. Mail Manager, E2 and E3.
func senderOf(work *queue.Work) smtp.Path {
	if work.Item.Sender == "" {
		return work.Message.Envelope.ReversePath
	}
	path, err := smtp.ParseMailbox(work.Item.Sender)
	if err != nil { // ours, and checked when it was made
		return work.Message.Envelope.ReversePath
	}
	return path
}

// Next implements smtpclient.Source.
func (w *relayWorker) Next(wait bool) *smtpclient.Transaction {
	if len(w.waiting) == 0 {
		idle := w.Idle
		if !wait {
			idle = 0
		}
		d := w.take(idle)
		if d == nil {
			return nil
		}
		w.waiting = append(w.waiting, d)
	}
	d := w.waiting[0]
	if d.relay != w.led {
		return nil // the relay was corrected: this connection has had its last message
	}
	w.waiting = w.waiting[1:]
	d.began = w.Now()
	return &d.Transaction
}

// Done implements smtpclient.Source.
func (w *relayWorker) Done(t *smtpclient.Transaction) {
	d := t.Tag.(*delivery)
	if t.State == smtpclient.Answered {
		w.settle(d)
		return
	}
	w.waiting = append(w.waiting, d) // until all have come back, and lost decides
}

// settle reports an item whose recipients all have their replies.
func (w *relayWorker) settle(d *delivery) {
	attempt := w.attempt(d, statusSuccess)
	result := queue.Result{}
	var ended []message.Recipient
	var fates []fate
	for i, reply := range d.Replies {
		recipient, text := d.Recipients[i], reply.String()
		attempt.Recipients[i].Reply = text
		w.metrics.count(reply)
		outcome := bounce.Relayed
		switch {
		case reply.Transient():
			result.Deferred = append(result.Deferred, recipient)
			result.Reply = text
			continue
		case reply.Permanent():
			outcome, attempt.Status = bounce.Failed, statusFailure
		case d.DSN || !strings.Contains(strings.ToUpper(recipient.Notify), "SUCCESS"):
			continue // nobody is to be told, or the next hop tells (Mail Manager, E21)
		}
		ended, fates = append(ended, recipient), append(fates, fateOf(outcome, reply, d.target.host, w.Now()))
	}
	if len(result.Deferred) > 0 {
		attempt.Status = statusInProgress
	}
	if len(ended) > 0 {
		result.Next = []spool.Item{reportItem(d.work.Item, ended, fates)}
	}
	result.Attempts = append(d.attempts, attempt)
	w.feed.Done(d.work, result)
}

// lost decides what becomes of the deliveries that a broken connection left unanswered. A host that lets us in and then
// answers nothing is as good as unreachable, and so is one that breaks on a second message as it did on the first. Else
// what it had begun is tried on another connection, a few times, and what it had not begun has lost nothing.
func (w *relayWorker) lost(err error) {
	w.metrics.broken.Inc()
	switch {
	case w.conn.Served() > 0:
		w.breaks = 0
	case !errors.Is(err, smtpclient.ErrContent): // which is not the host's doing
		w.breaks++
	}
	w.hangUp()
	begun := slices.ContainsFunc(w.waiting, func(d *delivery) bool { return d.State != smtpclient.Unattempted })
	if w.breaks > maxTries || w.breaks > 0 && !begun {
		w.unreachable(err)
		return
	}
	w.waiting = slices.DeleteFunc(w.waiting, func(d *delivery) bool {
		return d.State != smtpclient.Unattempted && !w.tryAgain(d)
	})
}

// tryAgain notes a broken attempt, and reports whether the delivery is to be tried on another connection at once. Otherwise
// it is deferred.
func (w *relayWorker) tryAgain(d *delivery) bool {
	attempt := w.attempt(d, statusInProgress)
	attempt.Reason = d.reason()
	d.attempts = append(d.attempts, attempt)
	d.tries++
	if d.tries < maxTries && d.worthwhile() {
		return true
	}
	w.metrics.deferred.Add(float64(len(d.Recipients)))
	w.feed.Done(d.work, queue.Result{Deferred: d.work.Item.Recipients, Reply: attempt.Reason, Attempts: d.attempts})
	return false
}

// worthwhile reports whether another connection might fare better at once.
func (d *delivery) worthwhile() bool {
	return !errors.Is(d.Err, os.ErrDeadlineExceeded) && !errors.Is(d.Err, smtpclient.ErrContent)
}

// reason is why the attempt ended, for people.
func (d *delivery) reason() string {
	if d.State == smtpclient.Uncertain {
		return fmt.Sprintf("connection lost before the reply to the end of data: %v", d.Err)
	}
	return fmt.Sprintf("connection lost: %v", d.Err)
}

// unreachable gives back what waits: the lane will probe.
func (w *relayWorker) unreachable(err error) {
	w.Log.Warn("relay cannot be reached", "lane", w.feed.Lane(), "error", err)
	for _, d := range w.waiting {
		attempt := w.attempt(d, statusInProgress)
		attempt.Reason = err.Error()
		w.feed.Done(d.work, queue.Result{
			Unreachable: fmt.Sprintf("%s: %v", d.target, err),
			Attempts:    append(d.attempts, attempt),
		})
	}
	w.waiting = nil
}

// hold reports an item that no attempt is made for.
func (w *relayWorker) hold(work *queue.Work, reason, detail string) {
	w.feed.Done(work, queue.Result{
		Held:     []queue.Hold{{Reason: reason, Recipients: work.Item.Recipients, Detail: detail}},
		Attempts: []trace.Attempt{{Status: statusFailure, Reason: detail}},
	})
}

// hangUp ends the connection, if there is one.
func (w *relayWorker) hangUp() {
	if w.conn == nil {
		return
	}
	w.conn.Close()
	w.conn = nil
	w.metrics.open.Dec()
}

// workContent is the content of an item as it leaves.
type workContent struct {
	worker *relayWorker
	work   *queue.Work
}

// WriteTo implements io.WriterTo. Content in memory is not copied on its way. What is running is finished when the worker's
// context ends.
func (c *workContent) WriteTo(to io.Writer) (int64, error) {
	content, err := c.work.Open(context.WithoutCancel(c.worker.ctx))
	if err != nil {
		return 0, err
	}
	defer content.Close()
	if from, ok := content.(io.WriterTo); ok {
		return from.WriteTo(to)
	}
	if c.worker.buffer == nil {
		c.worker.buffer = make([]byte, copyOctets)
	}
	return io.CopyBuffer(to, content, c.worker.buffer)
}
