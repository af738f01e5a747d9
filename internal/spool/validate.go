package spool

import (
	"errors"
	"fmt"
)

// ErrInvalid says that a caller asked for what the contract does not allow: a programming error, not a state.
var ErrInvalid = errors.New("not allowed by the spool's contract")

// Validate returns ErrInvalid unless the acceptance has a message with an id, content, and at least one item, all of
// them the message's, with different numbers and a lane.
func (a *Acceptance) Validate() error {
	switch {
	case a.Message.ID.IsZero():
		return fmt.Errorf("accept: no message id: %w", ErrInvalid)
	case a.Content == nil:
		return fmt.Errorf("accept %s: no content: %w", a.Message.ID, ErrInvalid)
	case len(a.Items) == 0: // nothing would ever take the message out again
		return fmt.Errorf("accept %s: no items: %w", a.Message.ID, ErrInvalid)
	}
	if err := validateOwn(&a.Message, a.Items); err != nil {
		return fmt.Errorf("accept %s: %w", a.Message.ID, err)
	}
	return nil
}

// validateOwn checks the items that a new message begins with.
func validateOwn(m *Message, items []Item) error {
	for i := range items {
		if items[i].Message != m.ID {
			return fmt.Errorf("item %d is of another message: %w", items[i].Seq, ErrInvalid)
		}
	}
	return validateItems(items)
}

// validate is Validate of a Settlement for a message that is born.
func (b *Birth) validate() error {
	if b.Message.ID.IsZero() || len(b.Items) == 0 {
		return fmt.Errorf("birth of %s: no id or no items: %w", b.Message.ID, ErrInvalid)
	}
	if err := validateOwn(&b.Message, b.Items); err != nil {
		return fmt.Errorf("birth of %s: %w", b.Message.ID, err)
	}
	return nil
}

// Validate returns ErrInvalid unless items go out, each once, and every item that comes in has a lane, another key than
// the rest, and one of its message that goes out; messages that are born have an id and at least one item, all their own.
func (s *Settlement) Validate() error {
	if len(s.Out) == 0 {
		return fmt.Errorf("settle: no item goes out: %w", ErrInvalid)
	}
	for i, key := range s.Out {
		if contains(s.Out[:i], key) {
			return fmt.Errorf("settle %s/%d: goes out twice: %w", key.Message, key.Seq, ErrInvalid)
		}
	}
	for i := range s.In {
		if !s.takesFrom(&s.In[i]) {
			return fmt.Errorf("settle %s/%d: nothing of its message goes out: %w", s.In[i].Message, s.In[i].Seq, ErrInvalid)
		}
	}
	if err := validateItems(s.In); err != nil {
		return fmt.Errorf("settle: %w", err)
	}
	for i := range s.Births {
		if err := s.Births[i].validate(); err != nil {
			return fmt.Errorf("settle: %w", err)
		}
	}
	return nil
}

// takesFrom reports whether an item of the same message goes out.
func (s *Settlement) takesFrom(in *Item) bool {
	for _, key := range s.Out {
		if key.Message == in.Message {
			return true
		}
	}
	return false
}

func validateItems(items []Item) error {
	var seen map[ItemKey]bool // made for long lists only
	if len(items) > 16 {
		seen = make(map[ItemKey]bool, len(items))
	}
	for i := range items {
		key := items[i].ItemKey
		if items[i].Lane == "" {
			return fmt.Errorf("item %s/%d has no lane: %w", key.Message, key.Seq, ErrInvalid)
		}
		if seen[key] || seen == nil && containsItem(items[:i], key) {
			return fmt.Errorf("item %s/%d comes in twice: %w", key.Message, key.Seq, ErrInvalid)
		}
		if seen != nil {
			seen[key] = true
		}
	}
	return nil
}

func contains(keys []ItemKey, key ItemKey) bool {
	for _, k := range keys {
		if k == key {
			return true
		}
	}
	return false
}

func containsItem(items []Item, key ItemKey) bool {
	for i := range items {
		if items[i].ItemKey == key {
			return true
		}
	}
	return false
}
