package addresslist

import (
	"bytes"
	"hash/maphash"
	"iter"
	"sync/atomic"
	"unicode/utf8"
	"unsafe"
)

// maxKeyOctets is the longest key, and the longest address that is looked up: a character has four octets at the most.
const maxKeyOctets = maxCharacters * utf8.UTFMax

// shards is how many parts a list has, each with a table and a lock for writers of its own, so that a table which grows
// is a small part of the list: some 2,000 of a million members. It is a power of two.
const shards = 512

// List is the members of one address list. It may be used by many goroutines at once: Contains takes no lock, and sees
// what Add and Remove did before they returned. A member is added and removed in place, at a cost that does not depend on
// the size of the list: now and then a shard is copied, never the whole. Start with New.
type List struct {
	seed     maphash.Seed
	shards   [shards]shard
	members  atomic.Int64
	octets   atomic.Int64
	patterns patterns
}

// New returns an empty List.
func New() *List {
	l := &List{seed: maphash.MakeSeed()}
	l.octets.Store(int64(unsafe.Sizeof(*l)))
	return l
}

// Len is the number of members.
func (l *List) Len() int { return int(l.members.Load()) }

// Octets is the memory that the list takes.
func (l *List) Octets() int64 { return l.octets.Load() }

// Add adds a member, and reports whether it is new. An entry that is no key of Parse's is not added.
func (l *List) Add(e Entry) bool {
	if len(e.key) > maxKeyOctets {
		return false
	}
	key := []byte(e.key)
	p := cut(key)
	h := p.hash(l.seed)
	s := &l.shards[h%shards]
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, there := s.table.Load().find(h, p); there {
		return false
	}
	if p.asterisk { // before the member is there: Contains looks for it only when it is led to it
		l.octets.Add(l.patterns.count(l.seed, p, 1))
	}
	l.octets.Add(s.insert(l.seed, h, key))
	l.members.Add(1)
	return true
}

// Remove removes a member, and reports whether it was there.
func (l *List) Remove(e Entry) bool {
	p := cut([]byte(e.key))
	h := p.hash(l.seed)
	s := &l.shards[h%shards]
	s.mu.Lock()
	defer s.mu.Unlock()
	i, there := s.table.Load().find(h, p)
	if !there {
		return false
	}
	l.octets.Add(s.remove(l.seed, i))
	if p.asterisk {
		l.octets.Add(l.patterns.count(l.seed, p, -1))
	}
	l.members.Add(-1)
	return true
}

// AddAll adds many members, and returns how many were new.
func (l *List) AddAll(entries iter.Seq[Entry]) int {
	added := 0
	for e := range entries {
		if l.Add(e) {
			added++
		}
	}
	return added
}

// Contains reports whether an address is in the list, as it is or by a member that is a domain or has an asterisk. The
// address is as AppendFolded returns it. Nothing is allocated. Mail Manager, F12.
func (l *List) Contains(address []byte) bool {
	at := bytes.LastIndexByte(address, '@')
	if at < 0 || len(address) > maxKeyOctets {
		return false
	}
	return l.has(maphash.Bytes(l.seed, address), parts{right: address}) ||
		l.has(maphash.Bytes(l.seed, address[at:]), parts{right: address[at:]}) ||
		l.hasDomainAbove(address, at) || l.hasPattern(address, at)
}

// mayHave is false of most hashes that are not there.
func (l *List) mayHave(hash uint64) bool {
	return l.shards[hash%shards].table.Load().mayHave(hash)
}

// has reports whether the member with these parts is there.
func (l *List) has(hash uint64, p parts) bool {
	if !l.mayHave(hash) {
		return false
	}
	_, there := l.shards[hash%shards].table.Load().find(hash, p)
	return there
}

// hasDomainAbove looks for *.d and local@*.d, for each domain d that the address is below.
func (l *List) hasDomainAbove(address []byte, at int) bool {
	if l.patterns.domains.Load() == 0 {
		return false
	}
	everyone, local := maphash.Bytes(l.seed, nil), maphash.Bytes(l.seed, address[:at+1])
	labels := 1
	for i := len(address) - 1; i > at+1 && labels <= maxLabels; i-- {
		if address[i] != '.' {
			continue
		}
		if labels >= minLabels {
			domain := maphash.Bytes(l.seed, address[i:])
			if l.has(mix(everyone, domain), parts{right: address[i:], asterisk: true}) ||
				l.has(mix(local, domain), parts{left: address[:at+1], right: address[i:], asterisk: true}) {
				return true
			}
		}
		labels++
	}
	return false
}
