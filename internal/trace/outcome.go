package trace

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"sluice/internal/message"
)

// outcomeFrames is how many frames one call of Find reads to tell what became of the messages it found.
const outcomeFrames = 256

// laneReport is spool.LaneReport.
const laneReport = "report"

// Statuses beside those of attempts.
const (
	statusQueued   = "QUEUED"
	statusHeld     = "HELD"
	statusUnrouted = "UNROUTED"
	statusDropped  = "DROPPED"
)

// step is what has a status of its own: an action for a recipient; the zero rule is what comes to rest or was steered.
type step struct {
	recipient    string
	rule, action int
}

// outcome is what became of a message: the newest status of each step.
type outcome map[step]string

// event reads a line that has one of the texts. An event of another account or region is none; nor is one that only a
// newer version can read.
func (s *search) event(line []byte, texts ...string) (e Event, ok bool) {
	mentioned := slices.ContainsFunc(texts, func(text string) bool { return bytes.Contains(line, []byte(text)) })
	if !mentioned || json.Unmarshal(line, &e) != nil {
		return e, false
	}
	return e, e.Account == s.query.Account && e.Region == s.query.Region
}

// outcomes tells of every message found what became of it, from the segments that are not older, the newest first.
func (s *search) outcomes(ctx context.Context, names []string) error {
	wanted := map[mark]struct{}{}
	of := map[message.ID]outcome{}
	for i := range s.page.Found {
		if f := &s.page.Found[i]; f.IsMessage() {
			wanted[markOf(f.ID)] = struct{}{}
			of[f.ID] = outcome{}
		}
	}
	frames, segments := outcomeFrames, findSegments
	for _, name := range slices.Backward(names) {
		if len(wanted) == 0 || frames == 0 || segments == 0 {
			break
		}
		segments--
		err := s.store.backward(name, func(r frameReader, e *entry) bool {
			if !e.hasAny(wanted) {
				return true
			}
			frames--
			for _, line := range slices.Backward(r.lines(e)) {
				s.note(of, line)
			}
			return frames > 0 && ctx.Err() == nil
		})
		if err = errors.Join(err, ctx.Err()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("search %s: %w", name, err)
		}
	}
	for i := range s.page.Found {
		if f := &s.page.Found[i]; f.IsMessage() {
			f.Outcome = of[f.ID].String()
		}
	}
	return nil
}

// hasAny reports whether the frame may have events of one of the marks.
func (e *entry) hasAny(wanted map[mark]struct{}) bool {
	for marks := e.marks; len(marks) > 0; marks = marks[markOctets:] {
		if _, ok := wanted[mark(marks)]; ok {
			return true
		}
	}
	return false
}

// note takes the statuses in a line, if it is of one of the messages.
func (s *search) note(of map[message.ID]outcome, line []byte) {
	e, ok := s.event(line, `"decided":`, `"attempt":`, `"held":`, `"steered":`)
	if o := of[e.Message]; ok && o != nil {
		o.note(&e)
	}
}

// note takes an event that is older than those before.
func (o outcome) note(e *Event) {
	switch {
	case e.Attempt != nil && e.Attempt.Lane == laneReport: // of the report to its sender, not of the message
	case e.Attempt != nil:
		for i := range e.Attempt.Recipients {
			o.older(step{e.Attempt.Recipients[i].Recipient, e.Attempt.Rule, e.Attempt.Action}, e.Attempt.Status)
		}
	case e.Held != nil:
		o.olderRest(e.Held.Recipients, statusHeld)
	case e.Steered != nil:
		o.olderRest(e.Steered.Recipients, e.Steered.Act)
	case e.Decided != nil:
		o.decided(e.Decided)
	}
}

func (o outcome) decided(d *Decided) {
	o.olderRest(d.Unrouted, statusUnrouted)
	for i := range d.Rules {
		r := &d.Rules[i]
		for _, a := range r.Actions {
			status := ""
			switch {
			case a.Outcome == statusQueued:
				status = statusQueued
			case a.Name == "DROP", a.Dropped:
				status = statusDropped
			default:
				continue
			}
			for _, recipient := range a.Recipients {
				o.older(step{recipient, r.Rule, a.Action}, status)
			}
		}
	}
}

func (o outcome) older(s step, status string) {
	if _, ok := o[s]; !ok {
		o[s] = status
	}
}

func (o outcome) olderRest(recipients []string, status string) {
	for _, r := range recipients {
		o.older(step{recipient: r}, status)
	}
}

// String is each status once.
func (o outcome) String() string {
	var statuses []string
	for _, status := range o {
		if !slices.Contains(statuses, status) {
			statuses = append(statuses, status)
		}
	}
	slices.Sort(statuses)
	return strings.Join(statuses, ", ")
}
