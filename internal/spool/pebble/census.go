package pebble

import (
	"context"
	"errors"
	"fmt"
)

// Census is how many records of each kind a spool has.
type Census struct {
	Messages int
	Items    int
	Places   int // of items in their lanes: as many as there are items
	Contents int // pieces of content
	Orphans  int // marks of messages whose content is on its way in
}

// Census counts by reading every key: it is for who wants to be sure, and takes as long as that does. It is safe for concurrent
// use, and sees the spool as it was at one moment.
func (s *Spool) Census(ctx context.Context) (Census, error) {
	if err := s.enter(ctx); err != nil {
		return Census{}, err
	}
	defer s.leave()
	c, err := s.count()
	if err != nil {
		return Census{}, fmt.Errorf("count what is in the spool: %w", err)
	}
	return c, nil
}

func (s *Spool) count() (c Census, err error) {
	it, err := s.db.NewIter(nil)
	if err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for valid := it.First(); valid; valid = it.Next() {
		key := it.Key()
		switch key[1] {
		case spaceMessages:
			_, part, _, err := parseMessagesKey(key)
			if err != nil {
				return c, err
			}
			if part == partItem {
				c.Items++
			} else {
				c.Messages++
			}
		case spaceLanes:
			c.Places++
		case spaceContent:
			c.Contents++
		case spaceOrphans:
			c.Orphans++
		}
	}
	return c, it.Error()
}
