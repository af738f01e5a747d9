package ingress

import (
	"context"
	"errors"
	"slices"
	"time"

	"sluice/internal/control"
	"sluice/internal/mailmanager"
	"sluice/internal/smtp"
	"sluice/internal/smtpd"
)

var (
	replyAuthFailed = smtp.NewReply(535, 5, 7, 8, "Authentication failed")                            // Mail Manager, B4
	replyAuthLocked = smtp.NewReply(421, 4, 7, 0, "Too many failed authentications, try again later") // S10
)

var (
	errBadPassword = errors.New("no such user, or another password")
	errLocked      = errors.New("too many authentications of this source or user have failed")
)

// Authenticate implements smtpd.Host: the user is the id of an ingress point (Mail Manager, section 2.2). What is wrong cannot be
// told from the time it takes: every attempt costs the same look-ups and the same work on the password, and a failure has to
// wait for a time that depends on how many there were (S10).
func (in host) Authenticate(ctx context.Context, s *smtpd.Session, user, password string) (smtpd.Binding, *smtp.Reply) {
	points, err := in.control()
	if err != nil {
		return nil, in.refuseSession(s, nil, replyUnavailable.Because(err))
	}
	from := in.guard.attempt(smtpd.SourceOf(s.Remote.Addr()), user)
	wait, ok := in.guard.begin(from, in.cfg.Now())
	if !ok {
		in.metrics.locked.Inc()
		return nil, in.refuseLogin(s, replyAuthLocked.Because(errLocked), reasonLocked)
	}
	point := in.loginPoint(points, s, user)
	login := points.CheckPassword(point, password)
	if !login.OK {
		in.metrics.logins[false].Inc()
		in.pause(ctx, wait)
		return nil, in.refuseLogin(s, replyAuthFailed.Because(errBadPassword), reasonPassword)
	}
	in.guard.succeeded(from, in.cfg.Now())
	in.metrics.logins[true].Inc()
	visitOf(s).login = login
	if s.TLS.Version == "" {
		in.cfg.Logger.Warn("a password was sent in clear", "session_id", s.ID.String(), "ingress_point_id", point.ID)
	}
	if s.Binding != nil {
		return s.Binding, nil
	}
	return in.bind(points, s, point)
}

// loginPoint is the point that a user name stands for: nil when there is none, or it takes no password from this session.
func (in *Ingress) loginPoint(points Points, s *smtpd.Session, user string) *control.IngressPoint {
	candidates := in.candidates(points, s)
	if p := pointOf(s); p != nil {
		candidates = []*control.IngressPoint{newest(points, p)}
	}
	i := slices.IndexFunc(candidates, func(p *control.IngressPoint) bool { return p.ID == user })
	if i < 0 || candidates[i].Type != mailmanager.IngressPointTypeAuth {
		return nil
	}
	return candidates[i]
}

// pause waits, or until the session has to end.
func pause(ctx context.Context, wait time.Duration) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// refuseLogin counts and traces a refused authentication.
func (in *Ingress) refuseLogin(s *smtpd.Session, reply *smtp.Reply, reason string) *smtp.Reply {
	return in.refuse(s, nil, "AUTH", reply, reason)
}
