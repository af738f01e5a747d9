package bounce

import (
	"fmt"
	"strings"
	"time"

	"sluice/internal/message"
)

// DelayAfter is the time from acceptance to the notification of a delay. Mail Manager, E21.
const DelayAfter time.Duration = 4 * time.Hour

// Undeliverable is why mail is held that failed and may not be told of; its lane is held/undeliverable. Mail Manager, E18.
const Undeliverable = "undeliverable"

// Outcome is what became of a recipient.
type Outcome uint8

// The outcomes. The zero Outcome is none of them.
const (
	Failed    Outcome = 1 + iota // nothing more will be tried: a reply 5yz, given up, a wrong configuration
	Delayed                      // is tried again
	Relayed                      // taken by a next hop that does not offer DSN
	PassedOn                     // taken by a next hop that offers DSN and was told NOTIFY: from there on it reports
	Delivered                    // in the mailbox
	Rejected                     // a rule's Bounce action wants it told as failed
)

// Facts are what a decision is made from.
type Facts struct {
	NullPath      bool // the reverse-path is <>
	Authenticated bool // the session was
	SPFPassed     bool // for the reverse-path
	Always        bool // the setting bounces.always
	Automatic     bool // a machine or a list sent the message; see Automatic
	Recipients    []Recipient
}

// Recipient is what is known of one recipient.
type Recipient struct {
	Notify  string // NOTIFY as received and checked, or empty (RFC 3461, section 4.1)
	Outcome Outcome
	Waited  time.Duration // since acceptance, as far as clocks agree
	Warned  bool          // the delay was told already
}

// Act is what is to be done for a recipient.
type Act uint8

// The acts. The zero Act is none of them.
const (
	Silent Act = 1 + iota // nothing is told; a trace says why
	Notify                // told to the reverse-path
	Hold                  // comes to rest as Undeliverable
)

var actNames = [...]string{Silent: "SILENT", Notify: "NOTIFY", Hold: "HOLD"}

// String is SILENT, NOTIFY or HOLD.
func (a Act) String() string {
	if int(a) < len(actNames) {
		return actNames[a]
	}
	return fmt.Sprintf("Act(%d)", uint8(a))
}

// Reason says why, for traces.
type Reason string

// The reasons.
const (
	AskedFor     Reason = "the sender asked for it"
	ByDefault    Reason = "the sender did not ask, and failures and delays are told"
	NotAskedFor  Reason = "the sender did not ask for it"
	NeverWanted  Reason = "the sender asked for silence"
	NullPath     Reason = "the reverse-path is null"
	NotEntitled  Reason = "the reverse-path may be forged"
	IsAutomatic  Reason = "a machine or a list sent it"
	TooEarly     Reason = "it is not late yet"
	ToldAlready  Reason = "the delay was told already"
	NextHopTells Reason = "the next hop reports"
	NoOutcome    Reason = "nobody said what became of it"
)

// Decision is what is to be done for a recipient, and why. Action is what the notification reports, of Notify only.
type Decision struct {
	Act    Act
	Action message.DeliveryAction
	Why    Reason
}

// Decide returns a decision for each recipient, in their order.
func Decide(f *Facts) []Decision {
	decisions := make([]Decision, len(f.Recipients))
	for i := range f.Recipients {
		decisions[i] = f.decide(&f.Recipients[i])
	}
	return decisions
}

func (f *Facts) decide(r *Recipient) Decision {
	switch r.Outcome {
	case Failed:
		return f.failed(r)
	case Rejected:
		return f.rejected(r)
	case Delayed:
		return f.delayed(r)
	case Relayed:
		return f.succeeded(r, message.ActionRelayed)
	case PassedOn:
		return silent(NextHopTells)
	case Delivered:
		return f.succeeded(r, message.ActionDelivered)
	default:
		return hold(NoOutcome) // a message is never dropped because we do not know
	}
}

// failed: the null path comes first, for notifications of others often have NOTIFY=NEVER, and are not dropped all the same.
// Mail Manager, E18.
func (f *Facts) failed(r *Recipient) Decision {
	wanted, why := wants(r.Notify, "FAILURE")
	switch {
	case f.NullPath:
		return hold(NullPath)
	case !wanted:
		return silent(why)
	case !f.entitled():
		return hold(NotEntitled)
	default:
		return Decision{Notify, message.ActionFailed, why}
	}
}

// rejected: Mail Manager, E14.
func (f *Facts) rejected(r *Recipient) Decision {
	if f.Automatic {
		return silent(IsAutomatic)
	}
	return f.tell(r, "FAILURE", message.ActionFailed)
}

// delayed: Mail Manager, E21. Machines and lists have no use for what nobody asked for.
func (f *Facts) delayed(r *Recipient) Decision {
	switch {
	case r.Warned:
		return silent(ToldAlready)
	case r.Waited < DelayAfter:
		return silent(TooEarly)
	case f.Automatic && r.Notify == "":
		return silent(IsAutomatic)
	default:
		return f.tell(r, "DELAY", message.ActionDelayed)
	}
}

func (f *Facts) succeeded(r *Recipient, action message.DeliveryAction) Decision {
	return f.tell(r, "SUCCESS", action)
}

// tell notifies if that is wanted and may be; else nothing is lost by silence.
func (f *Facts) tell(r *Recipient, condition string, action message.DeliveryAction) Decision {
	wanted, why := wants(r.Notify, condition)
	switch {
	case f.NullPath:
		return silent(NullPath) // RFC 3464, section 2
	case !wanted:
		return silent(why)
	case !f.entitled():
		return silent(NotEntitled)
	default:
		return Decision{Notify, action, why}
	}
}

// entitled reports whether the reverse-path is who sent the message, or the operator answers for it. Mail Manager, E18.
func (f *Facts) entitled() bool { return f.Authenticated || f.SPFPassed || f.Always }

func silent(why Reason) Decision { return Decision{Act: Silent, Why: why} }

func hold(why Reason) Decision { return Decision{Act: Hold, Why: why} }

// wants reports whether NOTIFY asks for a condition: SUCCESS, FAILURE or DELAY. Without NOTIFY the last two are told.
// RFC 3461, section 4.1.
func wants(notify, condition string) (bool, Reason) {
	switch {
	case notify == "" && condition == "SUCCESS":
		return false, NotAskedFor
	case notify == "":
		return true, ByDefault
	case strings.EqualFold(notify, "NEVER"):
		return false, NeverWanted
	}
	for asked := range strings.SplitSeq(notify, ",") {
		if strings.EqualFold(asked, condition) {
			return true, AskedFor
		}
	}
	return false, NotAskedFor
}
