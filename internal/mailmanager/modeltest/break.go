package modeltest

import (
	"fmt"
	"reflect"
	"strings"

	"pgregory.net/rapid"

	"sluice/internal/mailmanager"
)

// Breakage is one way to make a valid value invalid.
type Breakage struct {
	Path       string // as it is named in a ValidationException
	Constraint string // how the text of the violation begins
	Apply      func() // breaks it
}

// Break picks one constraint that value, a pointer to the Go type of the shape, satisfies, and breaks it. It reports
// false when the value has none.
func Break(t *rapid.T, shape *mailmanager.Shape, value any) (Breakage, bool) {
	all := breakages(nil, "", shape, reflect.ValueOf(value).Elem())
	if len(all) == 0 {
		return Breakage{}, false
	}
	b := rapid.SampledFrom(all).Draw(t, "breakage")
	b.Apply()
	return b, true
}

// breakages appends every way to break the value at path.
func breakages(to []Breakage, path string, shape *mailmanager.Shape, value reflect.Value) []Breakage {
	add := func(constraint string, apply func()) {
		to = append(to, Breakage{Path: path, Constraint: "Member must " + constraint, Apply: apply})
	}
	switch shape.Kind {
	case mailmanager.KindUnion:
		add("have exactly one of its members set", value.SetZero)
		return breakMembers(to, path, shape, value)
	case mailmanager.KindStructure:
		return breakMembers(to, path, shape, value)
	case mailmanager.KindList:
		breakList(add, shape, value)
		for i := range value.Len() {
			to = breakages(to, fmt.Sprintf("%s.%d.member", path, i+1), shape.Element, value.Index(i))
		}
	case mailmanager.KindString:
		breakText(add, shape, value)
	case mailmanager.KindInteger:
		if shape.HasMin {
			add("have value greater than or equal to", func() { value.SetInt(int64(shape.Min) - 1) })
		}
		if shape.HasMax {
			add("have value less than or equal to", func() { value.SetInt(int64(shape.Max) + 1) })
		}
	}
	return to
}

func breakMembers(to []Breakage, path string, shape *mailmanager.Shape, value reflect.Value) []Breakage {
	for i, member := range shape.Members {
		field := value.Field(i)
		name := strings.TrimPrefix(path+"."+strings.ToLower(member.Name[:1])+member.Name[1:], ".")
		if field.IsNil() {
			continue
		}
		if member.Required {
			to = append(to, Breakage{Path: name, Constraint: "Member must not be null", Apply: field.SetZero})
		}
		if field.Kind() == reflect.Pointer {
			field = field.Elem()
		}
		to = breakages(to, name, member.Shape, field)
	}
	return to
}

func breakList(add func(string, func()), shape *mailmanager.Shape, value reflect.Value) {
	if shape.HasMin && shape.Min > 0 {
		add("have length greater than or equal to", func() { value.Set(value.Slice(0, int(shape.Min)-1)) })
	}
	if value.Len() == 0 {
		return
	}
	if shape.HasMax && !shape.Unique {
		add("have length less than or equal to", func() {
			for value.Len() <= int(shape.Max) {
				value.Set(reflect.Append(value, value.Index(0)))
			}
		})
	}
	if shape.Unique && (!shape.HasMax || shape.Max > 1) {
		add("have unique elements", func() { value.Set(reflect.Append(value, value.Index(0))) })
	}
}

func breakText(add func(string, func()), shape *mailmanager.Shape, value reflect.Value) {
	if len(shape.Enum) > 0 {
		add("satisfy enum value set", func() { value.SetString("NONE_OF_THEM") })
		return
	}
	if shape.Pattern != "" && !shape.Matches("\x00") && shape.Min <= 1 {
		add("satisfy regular expression pattern", func() { value.SetString("\x00") })
	}
	// Only where length is the one constraint that breaks: the text may match no pattern any more.
	if shape.HasMax {
		add("have length less than or equal to", func() { value.SetString(strings.Repeat("a", int(shape.Max)+1)) })
	}
	if shape.HasMin && shape.Min > 0 {
		add("have length greater than or equal to", func() { value.SetString(strings.Repeat("a", int(shape.Min)-1)) })
	}
}
