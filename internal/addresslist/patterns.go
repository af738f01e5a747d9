package addresslist

import (
	"bytes"
	"hash/maphash"
	"math/bits"
	"sync"
	"sync/atomic"
	"unicode/utf8"
)

// patterns says which members with an asterisk are worth looking for.
type patterns struct {
	domains atomic.Int64                 // members *.d and local@*.d
	locals  atomic.Int64                 // members with the asterisk in the local part
	lengths [maxAround + 1]atomic.Uint32 // by the characters before it: a bit for each number of characters after it
	leads   leads                        // domains that have such members, and with what before the asterisk

	mu    sync.Mutex // of forms, and changes of lengths
	forms [maxAround + 1][maxAround + 1]int
}

// leadOfDomain stands for what is before the asterisk where any is meant.
const leadOfDomain uint64 = 0x2545f4914f6cdd1d

// count notes that there is one member more or less, and returns by how many octets it has grown.
func (p *patterns) count(seed maphash.Seed, of parts, change int) (grown int64) {
	at := bytes.LastIndexByte(of.right, '@')
	if at < 0 {
		p.domains.Add(int64(change))
		return 0
	}
	before, after := utf8.RuneCount(of.left), utf8.RuneCount(of.right[:at])
	if before > maxAround || after > maxAround {
		return 0 // no key of Parse
	}
	domain := maphash.Bytes(seed, of.right[at:])
	p.locals.Add(int64(change))
	p.countForm(before, after, change)
	return p.leads.count(mix(leadOfDomain, domain), change) + p.leads.count(mix(maphash.Bytes(seed, of.left), domain), change)
}

func (p *patterns) countForm(before, after, change int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	form := &p.forms[before][after]
	*form += change
	bit := uint32(1) << after
	if *form > 0 {
		p.lengths[before].Or(bit)
	} else {
		p.lengths[before].And(^bit)
	}
}

// tail is the end of an address from some characters before its @ on.
type tail struct {
	from int
	hash uint64 // 0: not known yet
}

// hasPattern looks for members with an asterisk in the local part: for each number of characters before it, whether the
// domain has members that begin as the address does, and if so, for each number of characters after it, whether one ends
// as the address does. In all that is 204 look-ups at the most; for an address whose domain has no such members, one.
func (l *List) hasPattern(address []byte, at int) bool {
	p := &l.patterns
	if p.locals.Load() == 0 {
		return false
	}
	domain := maphash.Bytes(l.seed, address[at:])
	if !p.leads.has(mix(leadOfDomain, domain)) {
		return false
	}
	var room [maxAround + 1]tail
	tails := cutTails(room[:0], address, at)
	for before, end := 0, 0; ; before++ {
		if p.lengths[before].Load() != 0 {
			head := maphash.Bytes(l.seed, address[:end])
			if p.leads.has(mix(head, domain)) && l.hasTail(address, end, head, tails, before) {
				return true
			}
		}
		if end == at || before == maxAround {
			return false
		}
		_, size := utf8.DecodeRune(address[end:at])
		end += size
	}
}

// cutTails appends the ends of an address, by the characters before its @.
func cutTails(tails []tail, address []byte, at int) []tail {
	for from := at; ; {
		tails = append(tails, tail{from: from})
		if from == 0 || len(tails) > maxAround {
			return tails
		}
		_, size := utf8.DecodeLastRune(address[:from])
		from -= size
	}
}

// hasTail looks for members with what is before end before their asterisk.
func (l *List) hasTail(address []byte, end int, head uint64, tails []tail, before int) bool {
	for lengths := l.patterns.lengths[before].Load(); lengths != 0; lengths &= lengths - 1 {
		after := bits.TrailingZeros32(lengths)
		if after >= len(tails) || tails[after].from < end {
			return false
		}
		t := &tails[after]
		if t.hash == 0 {
			t.hash = maphash.Bytes(l.seed, address[t.from:])
		}
		hash := mix(head, t.hash)
		if l.mayHave(hash) && l.has(hash, parts{left: address[:end], right: address[t.from:], asterisk: true}) {
			return true
		}
	}
	return false
}
