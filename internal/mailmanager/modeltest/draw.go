// Package modeltest draws random values of the API model for property tests: valid ones, and ones in which a single
// constraint is broken. Start with Draw.
package modeltest

import (
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"time"

	"pgregory.net/rapid"

	"sluice/internal/mailmanager"
)

// Sizes of what is drawn, where the model allows more.
const (
	spareElements   = 2  // of a list, beyond its minimum
	spareCharacters = 12 // of a string, beyond its minimum
)

// Timestamps are drawn from the years 1 to 9999, to the millisecond.
const (
	firstMilli = -62135596800000
	lastMilli  = 253402300799999
)

// Draw fills value, a pointer to the Go type of the shape, with a random value that satisfies every constraint.
func Draw(t *rapid.T, shape *mailmanager.Shape, value any) {
	draw(t, shape, reflect.ValueOf(value).Elem())
}

func draw(t *rapid.T, shape *mailmanager.Shape, into reflect.Value) {
	switch shape.Kind {
	case mailmanager.KindStructure:
		for i, member := range shape.Members {
			if member.Required || rapid.Bool().Draw(t, member.Name) {
				drawMember(t, member, into.Field(i))
			}
		}
	case mailmanager.KindUnion:
		i := rapid.IntRange(0, len(shape.Members)-1).Draw(t, shape.Name)
		drawMember(t, shape.Members[i], into.Field(i))
	case mailmanager.KindList:
		drawList(t, shape, into)
	case mailmanager.KindMap:
		into.Set(reflect.MakeMap(into.Type()))
		for _, key := range rapid.SliceOfN(rapid.String(), 0, spareElements).Draw(t, shape.Name) {
			element := reflect.New(into.Type().Elem()).Elem()
			draw(t, shape.Element, element)
			into.SetMapIndex(reflect.ValueOf(key), element)
		}
	default:
		drawScalar(t, shape, into)
	}
}

func drawScalar(t *rapid.T, shape *mailmanager.Shape, into reflect.Value) {
	switch shape.Kind {
	case mailmanager.KindString:
		into.SetString(text(shape).Draw(t, shape.Name))
	case mailmanager.KindInteger:
		low, high := bounds(shape, -1<<31, 1<<31-1)
		into.SetInt(rapid.Int64Range(low, high).Draw(t, shape.Name))
	case mailmanager.KindDouble:
		into.SetFloat(rapid.Float64().Draw(t, shape.Name))
	case mailmanager.KindBoolean:
		into.SetBool(rapid.Bool().Draw(t, shape.Name))
	case mailmanager.KindTimestamp:
		milli := rapid.Int64Range(firstMilli, lastMilli).Draw(t, shape.Name)
		into.Set(reflect.ValueOf(time.UnixMilli(milli).UTC()))
	case mailmanager.KindBlob:
		low, _ := bounds(shape, 0, spareCharacters)
		into.SetBytes(rapid.SliceOfN(rapid.Byte(), int(low), int(low)+spareCharacters).Draw(t, shape.Name))
	}
}

func drawMember(t *rapid.T, member mailmanager.Member, field reflect.Value) {
	if field.Kind() == reflect.Pointer {
		field.Set(reflect.New(field.Type().Elem()))
		field = field.Elem()
	}
	draw(t, member.Shape, field)
}

func drawList(t *rapid.T, shape *mailmanager.Shape, into reflect.Value) {
	low, high := bounds(shape, 0, spareElements)
	n := int(rapid.Int64Range(low, min(high, low+spareElements)).Draw(t, shape.Name))
	into.Set(reflect.MakeSlice(into.Type(), n, n))
	seen := map[string]bool{}
	for i := range n {
		draw(t, shape.Element, into.Index(i))
		for shape.Unique && seen[into.Index(i).String()] {
			draw(t, shape.Element, into.Index(i))
		}
		if shape.Unique {
			seen[into.Index(i).String()] = true
		}
	}
}

func bounds(shape *mailmanager.Shape, low, high int64) (int64, int64) {
	if shape.HasMin {
		low = int64(shape.Min)
		high = max(high, low)
	}
	if shape.HasMax {
		high = int64(shape.Max)
	}
	return low, high
}

// classPattern is a pattern of one character class, repeated: it can be drawn with the lengths that the shape wants.
var classPattern = regexp.MustCompile(`^(\[(?:[^\]\\]|\\.)*\])[+*]$`)

// text generates strings that satisfy the shape.
func text(shape *mailmanager.Shape) *rapid.Generator[string] {
	if len(shape.Enum) > 0 {
		return rapid.SampledFrom(shape.Enum)
	}
	low, high := bounds(shape, 0, spareCharacters)
	high = min(high, low+spareCharacters)
	if shape.Pattern == "" {
		return rapid.StringN(int(low), int(high), -1)
	}
	if class := classPattern.FindStringSubmatch(shape.Pattern); class != nil {
		if strings.HasSuffix(shape.Pattern, "+") {
			low = max(low, 1)
		}
		return rapid.StringMatching(fmt.Sprintf("%s{%d,%d}", class[1], low, max(low, high)))
	}
	return rapid.StringMatching(shape.Pattern).Filter(func(s string) bool {
		n := float64(len([]rune(s)))
		return shape.Matches(s) && (!shape.HasMin || n >= shape.Min) && (!shape.HasMax || n <= shape.Max)
	})
}
