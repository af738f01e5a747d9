package model

import (
	"regexp/syntax"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"sluice/internal/mailmanager"
)

// unbounded is the longest that a repetition without an end is taken for: more than any length of the model.
const unbounded = 1 << 20

// sampler makes strings that match patterns, of the length that is asked for. Two of one length differ where the pattern
// lets them.
type sampler struct{ made int }

// text is a string of n characters that matches a pattern, or none.
func (s *sampler) text(pattern string, n int) (string, bool) {
	s.made++
	if pattern == "" {
		return s.fill([]rune{'a', 'z'}, n), true
	}
	tree, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return "", false
	}
	return s.match(tree, n)
}

// match is n characters that match a tree.
func (s *sampler) match(tree *syntax.Regexp, n int) (string, bool) {
	low, high := lengths(tree)
	if n < low || n > high {
		return "", false
	}
	switch tree.Op {
	case syntax.OpEmptyMatch:
		return "", true
	case syntax.OpLiteral:
		return string(tree.Rune), true
	case syntax.OpCharClass:
		return s.fill(tree.Rune, n), true
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return s.fill([]rune{'a', 'z'}, n), true
	case syntax.OpAlternate:
		for _, sub := range tree.Sub {
			if text, ok := s.match(sub, n); ok {
				return text, true
			}
		}
		return "", false
	case syntax.OpConcat:
		return s.concat(tree.Sub, n)
	case syntax.OpCapture:
		return s.match(tree.Sub[0], n)
	default:
		return s.repeat(tree, n)
	}
}

// concat gives each part its least, and what is left to the parts that may be longest.
func (s *sampler) concat(parts []*syntax.Regexp, n int) (string, bool) {
	shares, spare := make([]int, len(parts)), make([]int, len(parts))
	order := make([]int, len(parts))
	for i, part := range parts {
		low, high := lengths(part)
		shares[i], spare[i], order[i] = low, high-low, i
		n -= low
	}
	slices.SortStableFunc(order, func(a, b int) int { return spare[b] - spare[a] })
	for _, i := range order {
		more := min(spare[i], n)
		shares[i] += more
		n -= more
	}
	var out strings.Builder
	for i, part := range parts {
		text, ok := s.match(part, shares[i])
		if !ok {
			return "", false
		}
		out.WriteString(text)
	}
	return out.String(), true
}

// repeat makes the fewest repetitions that n characters can be divided into.
func (s *sampler) repeat(tree *syntax.Regexp, n int) (string, bool) {
	low, high := lengths(tree.Sub[0])
	if tree.Sub[0].Op == syntax.OpCharClass {
		return s.fill(tree.Sub[0].Rune, n), true
	}
	least, most := repetitions(tree)
	for times := least; times <= most && times*low <= n; times++ {
		if n > times*high {
			continue
		}
		return s.concat(slices.Repeat(tree.Sub[:1], times), n)
	}
	return "", n == 0 && least == 0
}

// fill is n characters of a class: letters and digits where it has them, and the number of the sample in the last ones.
func (s *sampler) fill(ranges []rune, n int) string {
	var alphabet []rune
	for i := 0; i+1 < len(ranges); i += 2 {
		for r := ranges[i]; r <= ranges[i+1] && r < utf8.RuneSelf; r++ {
			if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
				alphabet = append(alphabet, r)
			}
		}
	}
	if len(alphabet) == 0 {
		alphabet = ranges[:1]
	}
	text := slices.Repeat(alphabet[:1], n)
	for i, number := n-1, s.made; i >= 0 && number > 0; i-- {
		text[i] = alphabet[number%len(alphabet)]
		number /= len(alphabet)
	}
	return string(text)
}

// lengths are the least and the most characters that match a tree.
func lengths(tree *syntax.Regexp) (low, high int) {
	switch tree.Op {
	case syntax.OpLiteral:
		return len(tree.Rune), len(tree.Rune)
	case syntax.OpCharClass, syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return 1, 1
	case syntax.OpCapture:
		return lengths(tree.Sub[0])
	case syntax.OpConcat:
		for _, sub := range tree.Sub {
			least, most := lengths(sub)
			low, high = low+least, min(high+most, unbounded)
		}
		return low, high
	case syntax.OpAlternate:
		low = unbounded
		for _, sub := range tree.Sub {
			least, most := lengths(sub)
			low, high = min(low, least), max(high, most)
		}
		return low, high
	case syntax.OpStar, syntax.OpPlus, syntax.OpQuest, syntax.OpRepeat:
		least, most := lengths(tree.Sub[0])
		fewest, often := repetitions(tree)
		return least * fewest, min(most*often, unbounded)
	default:
		return 0, 0
	}
}

func repetitions(tree *syntax.Regexp) (fewest, most int) {
	switch tree.Op {
	case syntax.OpQuest:
		return 0, 1
	case syntax.OpStar:
		return 0, unbounded
	case syntax.OpPlus:
		return 1, unbounded
	default:
		if tree.Max < 0 {
			return tree.Min, unbounded
		}
		return tree.Min, tree.Max
	}
}

// within are the lengths that satisfy a string's shape: its own bounds and those of its pattern.
func within(shape *mailmanager.Shape) (low, high int) {
	low, high = 0, unbounded
	if tree, err := syntax.Parse(shape.Pattern, syntax.Perl); err == nil && shape.Pattern != "" {
		low, high = lengths(tree)
	}
	if shape.HasMin {
		low = max(low, int(shape.Min))
	}
	if shape.HasMax {
		high = min(high, int(shape.Max))
	}
	return low, high
}

// TestSamplesMatch holds that there is a string of the least and of the greatest length for every pattern of the model.
func TestSamplesMatch(t *testing.T) {
	t.Parallel()
	var s sampler
	everyShape(func(shape *mailmanager.Shape) {
		if shape.Kind != mailmanager.KindString || shape.Pattern == "" {
			return
		}
		low, high := within(shape)
		for _, n := range []int{low, min(high, 5000)} {
			text, ok := s.text(shape.Pattern, n)
			if !ok {
				t.Logf("%s: no sample of %d characters", shape.Name, n)
				continue
			}
			if got := utf8.RuneCountInString(text); got != n || !shape.Matches(text) {
				t.Errorf("%s: got %q of %d characters, want %d that match %s", shape.Name, text, got, n, shape.Pattern)
			}
		}
	})
}

// everyShape visits the shapes of all inputs, each once.
func everyShape(visit func(*mailmanager.Shape)) {
	seen := map[*mailmanager.Shape]bool{}
	var walk func(*mailmanager.Shape)
	walk = func(shape *mailmanager.Shape) {
		if shape == nil || seen[shape] {
			return
		}
		seen[shape] = true
		visit(shape)
		walk(shape.Element)
		for _, member := range shape.Members {
			walk(member.Shape)
		}
	}
	for _, operation := range mailmanager.Operations() {
		walk(operation.Input)
	}
}
