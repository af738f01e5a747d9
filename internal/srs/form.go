package srs

import (
	"fmt"
	"strings"
	"time"

	"sluice/internal/smtp"
)

const (
	tag0      = "SRS0"
	tag1      = "SRS1"
	separator = "="
)

// isTagged reports whether a local part begins with the tag, in any case, and one of the separators in use.
func isTagged(local, tag string) bool {
	return len(local) > len(tag) && strings.EqualFold(local[:len(tag)], tag) && isSeparator(local[len(tag)])
}

func isSeparator(octet byte) bool { return octet == '=' || octet == '+' || octet == '-' }

// innerPath returns the path with SRS0 that SRS1 is to guard: the path of another host itself, or the one that another host
// guards already. A local part that only looks like SRS1, and leads nowhere, is a local part as any other.
func innerPath(path smtp.Path) (smtp.Path, bool) {
	if isTagged(path.Local, tag0) {
		return path, true
	}
	if !isTagged(path.Local, tag1) {
		return smtp.Path{}, false
	}
	_, guarded, _ := strings.Cut(path.Local[len(tag1)+1:], separator)
	host, rest, _ := strings.Cut(guarded, separator)
	if rest == "" || !isSeparator(rest[0]) {
		return smtp.Path{}, false
	}
	inner, err := newPath(tag0+rest, host)
	return inner, err == nil
}

// newPath makes a path of a local part without quoting, and quotes it where it must be.
func newPath(local, domain string) (smtp.Path, error) {
	plain := local + "@" + domain
	if path, err := smtp.ParseMailbox(plain); err == nil && path.Local == local {
		return path, nil
	}
	quoted := quote(local)
	if len(quoted) > maxLocalPartOctets || len(quoted)+len("@")+len(domain) > maxPathOctets {
		return smtp.Path{}, ErrTooLong
	}
	path, err := smtp.ParseMailbox(quoted + "@" + domain)
	if err != nil {
		return smtp.Path{}, fmt.Errorf("make path: %w", err)
	}
	return path, nil
}

// quote makes a Quoted-string. RFC 5321, section 4.1.2.
func quote(local string) string {
	return `"` + strings.NewReplacer(`"`, `\"`, `\`, `\\`).Replace(local) + `"`
}

const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567" // base32; RFC 4648, section 6

// stamp is the day as two digits.
func stamp(now time.Time) string {
	day := dayOf(now)
	return string([]byte{digits[day>>5], digits[day&0x1f]})
}

func dayOf(now time.Time) uint64 { return uint64(now.Unix()/secondsPerDay) % dayCycle }

// expired reports whether a stamp is older than paths may be. One that is no stamp is.
func expired(stamp string, now time.Time) bool {
	stamp = upper(stamp)
	if len(stamp) != stampSize {
		return true
	}
	high, low := strings.IndexByte(digits, stamp[0]), strings.IndexByte(digits, stamp[1])
	if high < 0 || low < 0 {
		return true
	}
	age := (dayOf(now) + dayCycle - uint64(high<<5|low)) % dayCycle
	return age > maxAgeDays && age < dayCycle-maxAheadDays
}

// upper changes ASCII letters only: other characters may not keep their size, and no host changes them.
func upper(text string) string {
	return strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' {
			r -= 'a' - 'A'
		}
		return r
	}, text)
}
