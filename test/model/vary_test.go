package model

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"sluice/internal/mailmanager"
)

// outcome is what the model says of a request.
type outcome int

const (
	allowed   outcome = iota
	violating         // ValidationException that names the path
	malformed         // SerializationException that names the member
)

func (o outcome) String() string {
	return [...]string{"success", "a ValidationException", "a SerializationException"}[o]
}

// request is one variation of a valid input.
type request struct {
	path  string // of what is varied, as a ValidationException names it
	what  string // how it is varied
	input map[string]any
	want  outcome
}

// build makes a whole input of a value for what is varied; absent leaves it out.
type build func(value any) map[string]any

// missing is the value of a member that is left out.
type missing struct{}

var absent = missing{}

// generator makes the requests of one operation.
type generator struct {
	sampler
	values   map[string]value // of shapes, in place of what the model alone would make
	requests []request
}

// value makes a valid value.
type value func(s *sampler) any

// generate is every request for an operation's input. adapt completes an input in which a path is varied with what must go
// with it.
func (g *generator) generate(input *mailmanager.Shape, adapt func(path string, input map[string]any)) []request {
	g.members("", input, func(v any) map[string]any { return v.(map[string]any) })
	for i := range g.requests {
		adapt(g.requests[i].path, g.requests[i].input)
	}
	return g.requests
}

func (g *generator) add(path, what string, input map[string]any, want outcome) {
	g.requests = append(g.requests, request{path, what, input, want})
}

// minimal is the least that a shape allows.
func (g *generator) minimal(shape *mailmanager.Shape) any {
	if make, ok := g.values[shape.Name]; ok {
		return make(&g.sampler)
	}
	switch shape.Kind {
	case mailmanager.KindStructure:
		all := map[string]any{}
		for _, member := range shape.Members {
			if member.Required {
				all[member.Name] = g.minimal(member.Shape)
			}
		}
		return all
	case mailmanager.KindUnion:
		return map[string]any{shape.Members[0].Name: g.minimal(shape.Members[0].Shape)}
	case mailmanager.KindList:
		return g.elements(shape, int(shape.Min))
	default:
		return g.scalar(shape)
	}
}

// elements are n of a list, which differ.
func (g *generator) elements(shape *mailmanager.Shape, n int) []any {
	list := make([]any, n)
	for i := range list {
		list[i] = g.minimal(shape.Element)
	}
	return list
}

// ordinary is how long a string is where nothing says how long: long enough for two to differ.
const ordinary = 16

func (g *generator) scalar(shape *mailmanager.Shape) any {
	switch shape.Kind {
	case mailmanager.KindString:
		if len(shape.Enum) > 0 {
			return shape.Enum[0]
		}
		low, high := within(shape)
		text, _ := g.text(shape.Pattern, max(low, min(high, ordinary)))
		return text
	case mailmanager.KindInteger:
		return int64(math.Max(shape.Min, 1))
	case mailmanager.KindDouble:
		return 1.5
	case mailmanager.KindBoolean:
		return true
	case mailmanager.KindTimestamp:
		return time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	default:
		return []byte("octets")
	}
}

// members varies each member of a structure.
func (g *generator) members(path string, shape *mailmanager.Shape, whole build) {
	for _, member := range shape.Members {
		with := func(v any) map[string]any {
			all := maps.Clone(g.minimal(shape).(map[string]any))
			if shape.Kind == mailmanager.KindUnion {
				clear(all)
			}
			if all[member.Name] = v; v == absent {
				delete(all, member.Name)
			}
			return whole(all)
		}
		below := strings.TrimPrefix(path+"."+strings.ToLower(member.Name[:1])+member.Name[1:], ".")
		want := allowed
		if member.Required {
			want = violating
		}
		if shape.Kind == mailmanager.KindStructure {
			g.add(below, "absent", with(absent), want)
			g.add(below, "null", with(nil), want)
		}
		g.vary(below, member.Shape, with)
	}
}

// vary varies a value.
func (g *generator) vary(path string, shape *mailmanager.Shape, whole build) {
	g.wrongTypes(path, shape, whole)
	switch shape.Kind {
	case mailmanager.KindStructure:
		g.add(path, "the least", whole(g.minimal(shape)), allowed)
		g.members(path, shape, whole)
	case mailmanager.KindUnion:
		g.union(path, shape, whole)
	case mailmanager.KindList:
		g.list(path, shape, whole)
	case mailmanager.KindString:
		g.string(path, shape, whole)
	case mailmanager.KindInteger, mailmanager.KindDouble:
		g.number(path, shape, whole)
	case mailmanager.KindBoolean:
		g.add(path, "true", whole(true), allowed)
		g.add(path, "false", whole(false), allowed)
	case mailmanager.KindTimestamp:
		g.add(path, "with milliseconds", whole(time.Date(2026, 11, 1, 12, 0, 0, 123e6, time.UTC)), allowed)
	}
}

// wrongTypes are values of every other kind.
func (g *generator) wrongTypes(path string, shape *mailmanager.Shape, whole build) {
	kinds := map[string]any{"a string": "text", "a number": int64(7), "a boolean": true, "a list": []any{}, "a structure": map[string]any{}}
	fits := map[mailmanager.Kind]string{
		mailmanager.KindStructure: "a structure", mailmanager.KindUnion: "a structure", mailmanager.KindMap: "a structure",
		mailmanager.KindList: "a list", mailmanager.KindString: "a string", mailmanager.KindBoolean: "a boolean",
		mailmanager.KindInteger: "a number", mailmanager.KindDouble: "a number",
		mailmanager.KindTimestamp: "a number", // in JSON; CBOR wants a tag
	}
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		if kind != fits[shape.Kind] {
			g.add(path, kind, whole(kinds[kind]), malformed)
		}
	}
}

func (g *generator) union(path string, shape *mailmanager.Shape, whole build) {
	g.add(path, "no member", whole(map[string]any{}), violating)
	g.add(path, "an unknown member", whole(map[string]any{"Nonsense": "x"}), malformed)
	if len(shape.Members) > 1 {
		two := map[string]any{}
		for _, member := range shape.Members[:2] {
			two[member.Name] = g.minimal(member.Shape)
		}
		g.add(path, "two members", whole(two), violating)
	}
	g.members(path, shape, whole)
}

// longest is how long a list is made that has no greatest length.
const longest = 30

func (g *generator) list(path string, shape *mailmanager.Shape, whole build) {
	low, high := int(shape.Min), longest
	if shape.HasMax {
		high = int(shape.Max)
		g.add(path, "one element too many", whole(g.elements(shape, high+1)), violating)
	}
	if low > 0 {
		g.add(path, "one element too few", whole(g.elements(shape, low-1)), violating)
	}
	g.add(path, "as few elements as may be", whole(g.elements(shape, low)), allowed)
	g.add(path, "as many elements as may be", whole(g.elements(shape, high)), allowed)
	if shape.Unique && high > 1 {
		element := g.minimal(shape.Element)
		g.add(path, "an element twice", whole([]any{element, element}), violating)
	}
	with := func(v any) map[string]any { return whole(append([]any{v}, g.elements(shape, max(low-1, 0))...)) }
	g.add(path+".1.member", "null", with(nil), malformed)
	g.vary(path+".1.member", shape.Element, with)
}

func (g *generator) string(path string, shape *mailmanager.Shape, whole build) {
	if len(shape.Enum) > 0 {
		for _, name := range shape.Enum {
			g.add(path, name, whole(name), allowed)
		}
		g.add(path, "none of the names", whole("NONE_OF_THEM"), violating)
		return
	}
	low, high := within(shape)
	if shape.HasMax {
		g.add(path, "one character too many", whole(g.ofLength(shape, int(shape.Max)+1)), violating)
	}
	if shape.HasMin && shape.Min > 0 {
		g.add(path, "one character too few", whole(g.ofLength(shape, int(shape.Min)-1)), violating)
	}
	for _, n := range slices.Compact([]int{low, min(high, int(math.Max(shape.Max, ordinary)))}) {
		if text, ok := g.text(shape.Pattern, n); ok {
			g.add(path, fmt.Sprintf("%d characters", n), whole(text), allowed)
		}
	}
	if bad, ok := mismatch(shape); ok {
		g.add(path, "another pattern", whole(bad), violating)
	}
}

// ofLength is a string of n characters, which matches the pattern if any can.
func (g *generator) ofLength(shape *mailmanager.Shape, n int) string {
	if text, ok := g.text(shape.Pattern, n); ok {
		return text
	}
	return strings.Repeat("a", n)
}

// mismatch is a string of an allowed length that the pattern does not match.
func mismatch(shape *mailmanager.Shape) (string, bool) {
	low, high := within(shape)
	for _, odd := range []string{"é", " ", "\x00", "\n", "!", "~", ""} {
		text := strings.Repeat(odd, max(low, 1))
		if n := utf8.RuneCountInString(text); n >= low && n <= high && !shape.Matches(text) {
			return text, true
		}
	}
	return "", false
}

func (g *generator) number(path string, shape *mailmanager.Shape, whole build) {
	number := func(f float64) any {
		if shape.Kind == mailmanager.KindDouble {
			return f
		}
		return int64(f)
	}
	if shape.HasMin {
		g.add(path, "the least", whole(number(shape.Min)), allowed)
		g.add(path, "less than the least", whole(number(shape.Min-1)), violating)
	}
	if shape.HasMax {
		g.add(path, "the greatest", whole(number(shape.Max)), allowed)
		g.add(path, "more than the greatest", whole(number(shape.Max+1)), violating)
	}
	if shape.Kind == mailmanager.KindInteger {
		g.add(path, "with a fraction", whole(1.5), malformed)
		g.add(path, "a whole float", whole(math.Max(shape.Min, 2)), allowed)
		g.add(path, "beyond 32 bits", whole(int64(1)<<40), malformed)
	}
}
