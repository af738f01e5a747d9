package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"sluice/internal/message"
	"sluice/internal/spool"
	"sluice/internal/spool/pebble"
)

type rescueCommand struct {
	Dir string `arg:"" name:"dir" help:"Data directory of a server that does not run."`
	Out string `arg:"" name:"out" help:"Directory for ID.eml and ID.json of each message; it is made."`
}

// errNotAll is for a rescue that had to leave something behind.
var errNotAll = errors.New("not everything could be read")

// Run writes every message that can be read, and a line for everything that cannot (S30).
func (c *rescueCommand) Run(ctx context.Context, to streams) error {
	if info, err := os.Stat(filepath.Join(c.Dir, spoolFolder)); err != nil || !info.IsDir() {
		return usage(fmt.Errorf("%s has no spool", c.Dir), "name a server's data directory")
	}
	dir, err := openDataDir(c.Dir)
	if err != nil {
		return err
	}
	defer dir.unlock()
	if err := os.MkdirAll(c.Out, dataDirMode); err != nil {
		return fmt.Errorf("rescue: %w", err)
	}
	r := rescuer{out: c.Out, to: to}
	err = pebble.Rescue(dir.file(spoolFolder), nil, func(m *pebble.Rescued) error {
		return errors.Join(ctx.Err(), r.save(m))
	}, func(problem error) { r.tell("spool", problem) })
	fmt.Fprintf(to.out, "%d messages written to %s, %d of them in part, %d problems\n", r.messages, c.Out, r.partial, r.problems)
	if err == nil {
		err = syncDir(c.Out)
	}
	if err == nil && r.problems > 0 {
		err = errNotAll
	}
	return err
}

// rescuer writes messages into a directory, and overwrites nothing there.
type rescuer struct {
	out                         string
	to                          streams
	messages, partial, problems int
}

// tell prints a problem on one line.
func (r *rescuer) tell(subject string, problem error) {
	r.problems++
	fmt.Fprintf(r.to.out, "%s: %s\n", subject, oneLine(problem))
}

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

// save writes a message. What cannot be read is told; an error is that nothing more can be written.
func (r *rescuer) save(m *pebble.Rescued) error {
	problems := m.Problems
	file, unread, err := r.saveContent(m)
	if unread != nil {
		problems = append(problems, unread)
	}
	if err == nil {
		err = r.saveFacts(m, file, problems)
	}
	if errors.Is(err, os.ErrExist) { // an earlier rescue's: it is left alone
		r.tell(m.ID.String(), err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("rescue %s: %w", m.ID, err)
	}
	for _, problem := range problems {
		r.tell(m.ID.String(), problem)
	}
	r.messages++
	if len(problems) > 0 {
		r.partial++
	}
	return nil
}

// saveContent writes the trace fields and the content. What cannot be read whole is called ID.eml.part, so that nobody
// takes it for the message.
func (r *rescuer) saveContent(m *pebble.Rescued) (name string, unread, err error) {
	name = m.ID.String() + ".eml"
	if _, err := os.Lstat(filepath.Join(r.out, name)); err == nil {
		return "", nil, fmt.Errorf("%s: %w", name, os.ErrExist)
	}
	part := name + ".part"
	file, err := create(filepath.Join(r.out, part))
	if err != nil {
		return "", nil, err
	}
	to := &output{file: file}
	if m.Message != nil {
		_, _ = to.Write([]byte(m.Message.Trace)) // to.err has it
	}
	unread = m.WriteContent(to)
	if err := errors.Join(to.err, file.Sync(), file.Close()); err != nil {
		return "", nil, err
	}
	if unread != nil {
		return part, unread, nil
	}
	return name, nil, os.Rename(filepath.Join(r.out, part), filepath.Join(r.out, name))
}

// output tells what cannot be written from what cannot be read.
type output struct {
	file *os.File
	err  error
}

// Write implements io.Writer.
func (o *output) Write(p []byte) (n int, err error) {
	n, err = o.file.Write(p)
	o.err = errors.Join(o.err, err)
	return n, err
}

// facts is what ID.json has.
type facts struct {
	ID         message.ID        `json:"id"`
	File       string            `json:"file"` // the content
	ReceivedAt time.Time         `json:"receivedAt,omitzero"`
	Size       int64             `json:"size,omitempty"` // octets, without the trace fields that the file begins with
	RuleSetID  string            `json:"ruleSetId,omitempty"`
	Session    *message.Session  `json:"session,omitempty"`
	Envelope   *message.Envelope `json:"envelope,omitempty"` // as it was accepted
	Items      []fact            `json:"items"`              // what was still to be done
	Problems   []string          `json:"problems,omitempty"` // what could not be read
}

// fact is an item: who has not had the message yet, and why.
type fact struct {
	Seq        uint32    `json:"seq"`
	Lane       string    `json:"lane"`
	Origin     string    `json:"origin,omitempty"`
	Due        time.Time `json:"due"`
	Sender     string    `json:"sender,omitempty"` // the reverse-path it leaves with, if another than the envelope's
	Recipients []string  `json:"recipients"`
	Rule       int       `json:"rule,omitempty"`
	RuleName   string    `json:"ruleName,omitempty"`
	Action     int       `json:"action,omitempty"`
	ActionName string    `json:"actionName,omitempty"`
	Attempts   int       `json:"attempts"`
	LastReply  string    `json:"lastReply,omitempty"`
	State      []byte    `json:"state,omitempty"` // what rules have changed, as the spool has it; the file is as it was received
}

func (r *rescuer) saveFacts(m *pebble.Rescued, name string, problems []error) error {
	f := facts{ID: m.ID, File: name, Items: []fact{}}
	if s := m.Message; s != nil {
		f.ReceivedAt, f.Size, f.RuleSetID, f.Session, f.Envelope = s.ReceivedAt, s.Size, s.RuleSetID, &s.Session, &s.Envelope
	}
	for i := range m.Items {
		f.Items = append(f.Items, factOf(&m.Items[i]))
	}
	for _, problem := range problems {
		f.Problems = append(f.Problems, oneLine(problem))
	}
	text, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return err
	}
	file, err := create(filepath.Join(r.out, m.ID.String()+".json"))
	if err != nil {
		return err
	}
	_, err = file.Write(append(text, '\n'))
	return errors.Join(err, file.Sync(), file.Close())
}

func factOf(i *spool.Item) fact {
	f := fact{
		Seq: i.Seq, Lane: string(i.Lane), Origin: string(i.Origin), Due: i.Due, Sender: i.Sender, Recipients: []string{},
		Rule: i.Rule, RuleName: i.RuleName, Action: i.Action, ActionName: i.ActionName,
		Attempts: i.Attempts, LastReply: i.LastReply, State: i.State,
	}
	for j := range i.Recipients {
		f.Recipients = append(f.Recipients, i.Recipients[j].Path.Received)
	}
	return f
}

func create(name string) (*os.File, error) {
	return os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
}
