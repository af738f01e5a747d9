package lint

import (
	"fmt"
	"math"

	"sluice/internal/policy"
)

// sizes are the sizes of messages, in octets, that conditions leave.
type sizes struct {
	from, to float64
	except   map[float64]bool
}

// anySize is every size that a policy can let in. Mail Manager, quotas.
func anySize() sizes {
	return sizes{from: 0, to: policy.MaxMessageOctets, except: map[float64]bool{}}
}

// turned are the operators that hold where another does not.
var turned = map[string]string{
	"EQUALS": "NOT_EQUALS", "NOT_EQUALS": "EQUALS", "LESS_THAN": "GREATER_THAN_OR_EQUAL", "GREATER_THAN_OR_EQUAL": "LESS_THAN",
	"GREATER_THAN": "LESS_THAN_OR_EQUAL", "LESS_THAN_OR_EQUAL": "GREATER_THAN",
}

// narrow leaves the sizes for which the operator holds. Sizes are whole.
func (s *sizes) narrow(operator string, n float64) {
	switch operator {
	case "EQUALS":
		s.from, s.to = max(s.from, n), min(s.to, n)
		if n != math.Floor(n) {
			s.to = -1
		}
	case "NOT_EQUALS":
		s.except[n] = true
	case "LESS_THAN":
		s.to = min(s.to, math.Ceil(n)-1)
	case "LESS_THAN_OR_EQUAL":
		s.to = min(s.to, math.Floor(n))
	case "GREATER_THAN":
		s.from = max(s.from, math.Floor(n)+1)
	case "GREATER_THAN_OR_EQUAL":
		s.from = max(s.from, math.Ceil(n))
	}
}

// none reports whether no size is left.
func (s *sizes) none() bool {
	for s.from <= s.to && s.except[s.from] {
		s.from++
	}
	return s.from > s.to
}

// noSize says that there is no message of such a size.
func noSize() string {
	return fmt.Sprintf("it can never match: no message has a MESSAGE_SIZE that its conditions leave, which is at most %d", policy.MaxMessageOctets)
}
