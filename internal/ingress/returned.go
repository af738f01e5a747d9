package ingress

import (
	"slices"

	"sluice/internal/message"
	"sluice/internal/smtp"
	"sluice/internal/spool"
)

// replyUnknown refuses an address of ours that we did not make, or too long ago. Mail Manager, E19.
var replyUnknown = smtp.NewReply(550, 5, 1, 1, "No such recipient here")

// heldReturned is where mail to such addresses rests when there is no way for it.
const heldReturned = "bounce"

// checkReturn refuses a recipient that claims to be an address of ours and is not; nil for every other.
func (in *Ingress) checkReturn(path smtp.Path) *smtp.Reply {
	if in.cfg.SRS == nil || !in.cfg.SRS.IsOurs(path) {
		return nil
	}
	if _, err := in.cfg.SRS.Reverse(path, in.cfg.Now()); err != nil {
		return replyUnknown.Because(err)
	}
	return nil
}

// parted takes the recipients apart: those that rules are for, and those that are addresses of ours, as whom they stand for.
func (in *Ingress) parted(recipients []message.Recipient) (ordinary, returned []message.Recipient) {
	ours := func(r message.Recipient) bool { return in.cfg.SRS != nil && in.cfg.SRS.IsOurs(r.Path) }
	if !slices.ContainsFunc(recipients, ours) {
		return recipients, nil
	}
	for _, r := range recipients {
		if !ours(r) {
			ordinary = append(ordinary, r)
			continue
		}
		path, err := in.cfg.SRS.Reverse(r.Path, in.cfg.Now())
		if err == nil { // it was right at RCPT
			r.Path = path
		}
		returned = append(returned, r)
	}
	return ordinary, returned
}

// wayBack is the lane of mail to addresses of ours.
func (in *Ingress) wayBack(s *message.Session) spool.Lane {
	if in.cfg.Return != nil {
		if lane := in.cfg.Return(s.Account, s.Region); lane != "" {
			return lane
		}
	}
	return spool.HeldLane(heldReturned)
}
