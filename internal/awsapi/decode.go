package awsapi

import (
	"errors"
	"reflect"
	"time"

	"sluice/internal/mailmanager"
)

// Limits of one document.
const (
	// maxDepth is how deep maps and lists may nest, also in members that are ignored. The model needs 10 (S35).
	maxDepth = 32
	// maxElements is how many list elements are kept of one document: an element may take 40 times the memory of the
	// octet that it is encoded in (S35). The largest rule set of the model has under 50,000.
	maxElements = 1 << 20
)

// tokenKind says what the next piece of a document is.
type tokenKind uint8

const (
	tokenNull    tokenKind = iota
	tokenBoolean           // truth
	tokenNumber            // number
	tokenText              // text
	tokenBlob              // text holds the octets; CBOR only
	tokenTime              // number holds seconds since 1970; CBOR only
	tokenMap               // keys and values follow, then tokenEnd
	tokenList              // values follow, then tokenEnd
	tokenEnd
	tokenOther // what no shape accepts
)

// token is one piece of a document: what JSON and CBOR have in common.
type token struct {
	kind   tokenKind
	truth  bool
	text   string
	number number
}

// number is a finite number; whole is exact when isWhole.
type number struct {
	isWhole bool
	whole   int64
	float   float64
}

// source reads a document, one token at a time. Both codecs implement it; a source refuses what is malformed, nested
// deeper than maxDepth or followed by anything. Errors are *mailmanager.Error with CodeSerialization.
type source interface {
	next() (token, error)
	// end is called after the last token.
	end() error
	// instant and blob read a timestamp and octets, which the codecs write differently.
	instant(token) (time.Time, bool)
	blob(token) ([]byte, bool)
}

// malformed returns the error for a document that cannot be read. The text never repeats what was sent (Mail Manager, A27).
func malformed(text string) error {
	return &mailmanager.Error{Code: mailmanager.CodeSerialization, Message: text}
}

// within puts the member that an error occurred in before its text.
func within(member string, err error) error {
	var e *mailmanager.Error
	if !errors.As(err, &e) {
		return err
	}
	return malformed(member + ": " + e.Message)
}

// decoder fills Go values of the API model from a document. Null means absent, unknown members of structures are
// ignored and unknown members of unions are not (Mail Manager, A29).
type decoder struct {
	source
	elements int
}

// DecodeJSON reads one document of AWS JSON into target, a pointer to the Go type of the shape, as a request would be read.
// The error is a *mailmanager.Error with CodeSerialization that says where the document is wrong.
func DecodeJSON(document []byte, shape *mailmanager.Shape, target any) error {
	src, err := newJSONSource(document)
	if err != nil {
		return err
	}
	return decode(src, shape, target)
}

// decode reads one document into target, a pointer to the Go type of the shape.
func decode(src source, shape *mailmanager.Shape, target any) error {
	d := &decoder{source: src}
	tok, err := d.next()
	if err != nil {
		return err
	}
	if err := d.value(tok, shape, reflect.ValueOf(target).Elem()); err != nil {
		return err
	}
	return d.end()
}

// value decodes the value that begins with tok.
func (d *decoder) value(tok token, shape *mailmanager.Shape, into reflect.Value) error {
	switch shape.Kind {
	case mailmanager.KindStructure, mailmanager.KindUnion:
		if tok.kind == tokenMap {
			return d.structure(shape, into)
		}
	case mailmanager.KindList:
		if tok.kind == tokenList {
			return d.list(shape, into)
		}
	case mailmanager.KindMap:
		if tok.kind == tokenMap {
			return d.mapping(shape, into)
		}
	default:
		return d.scalar(tok, shape, into)
	}
	return malformed("expected " + nouns[shape.Kind])
}

// nouns are the kinds of shapes in words.
var nouns = map[mailmanager.Kind]string{
	mailmanager.KindStructure: "a structure",
	mailmanager.KindUnion:     "a union",
	mailmanager.KindList:      "a list",
	mailmanager.KindMap:       "a map",
	mailmanager.KindString:    "a string",
	mailmanager.KindInteger:   "an integer in range",
	mailmanager.KindDouble:    "a finite number",
	mailmanager.KindBoolean:   "a boolean",
	mailmanager.KindTimestamp: "a timestamp",
	mailmanager.KindBlob:      "a blob",
}

func (d *decoder) scalar(tok token, shape *mailmanager.Shape, into reflect.Value) error {
	var ok bool
	switch shape.Kind {
	case mailmanager.KindString:
		if ok = tok.kind == tokenText; ok {
			into.SetString(tok.text)
		}
	case mailmanager.KindInteger:
		if ok = tok.kind == tokenNumber && tok.number.isWhole && !into.OverflowInt(tok.number.whole); ok {
			into.SetInt(tok.number.whole)
		}
	case mailmanager.KindDouble:
		if ok = tok.kind == tokenNumber; ok {
			into.SetFloat(tok.number.float)
		}
	case mailmanager.KindBoolean:
		if ok = tok.kind == tokenBoolean; ok {
			into.SetBool(tok.truth)
		}
	case mailmanager.KindTimestamp:
		var at time.Time
		at, ok = d.instant(tok)
		into.Set(reflect.ValueOf(at))
	case mailmanager.KindBlob:
		var octets []byte
		octets, ok = d.blob(tok)
		into.SetBytes(octets)
	}
	if !ok {
		return malformed("expected " + nouns[shape.Kind])
	}
	return nil
}

// structure decodes the members of a structure or union. A member must not come twice: whoever looked at the request
// before us may have read the other one (S35).
func (d *decoder) structure(shape *mailmanager.Shape, into reflect.Value) error {
	var seen uint64 // a bit for each member
	for {
		key, err := d.next()
		if err != nil || key.kind == tokenEnd {
			return err
		}
		if key.kind != tokenText {
			return malformed("expected a member's name")
		}
		i := memberIndex(shape, key.text)
		if i < 0 {
			if err := d.unknown(shape, key.text); err != nil {
				return err
			}
			continue
		}
		name := shape.Members[i].Name
		if seen&(1<<i) != 0 {
			return malformed("member " + name + " comes twice")
		}
		seen |= 1 << i
		if err := d.member(shape.Members[i].Shape, into.Field(i)); err != nil {
			return within(name, err)
		}
	}
}

// memberIndex is the index of the member with the name, or -1. Names are compared exactly, as AWS does.
func memberIndex(shape *mailmanager.Shape, name string) int {
	for i := range shape.Members {
		if shape.Members[i].Name == name {
			return i
		}
	}
	return -1
}

// member decodes the value of one member into its field, a pointer, slice or map; null leaves it nil.
func (d *decoder) member(shape *mailmanager.Shape, field reflect.Value) error {
	tok, err := d.next()
	if err != nil || tok.kind == tokenNull {
		return err
	}
	if field.Kind() != reflect.Pointer {
		return d.value(tok, shape, field)
	}
	field.Set(reflect.New(field.Type().Elem()))
	return d.value(tok, shape, field.Elem())
}

// unknown passes over a member that the shape does not have. In a union it would be the choice itself, so only null and
// the __type that some clients add are passed over.
func (d *decoder) unknown(shape *mailmanager.Shape, name string) error {
	tok, err := d.next()
	if err != nil {
		return err
	}
	if shape.Kind == mailmanager.KindUnion && tok.kind != tokenNull && name != "__type" {
		return malformed("unknown member of union " + shape.Name)
	}
	return d.skip(tok)
}

// skip passes over the rest of the value that begins with tok.
func (d *decoder) skip(tok token) error {
	for depth := 0; ; {
		switch tok.kind {
		case tokenMap, tokenList:
			depth++
		case tokenEnd:
			depth--
		}
		if depth == 0 {
			return nil
		}
		var err error
		if tok, err = d.next(); err != nil {
			return err
		}
	}
}

// list decodes the elements of a list, of which none may be null. One element more than the shape allows is kept, for the validation to find, and
// the rest is passed over.
func (d *decoder) list(shape *mailmanager.Shape, into reflect.Value) error {
	into.Set(reflect.MakeSlice(into.Type(), 0, 0))
	for {
		tok, err := d.next()
		if err != nil || tok.kind == tokenEnd {
			return err
		}
		n := into.Len()
		if shape.HasMax && float64(n) > shape.Max {
			err = d.skip(tok)
		} else if err = d.count(); err == nil {
			into.Grow(1)
			into.SetLen(n + 1)
			err = d.value(tok, shape.Element, into.Index(n))
		}
		if err != nil {
			return err
		}
	}
}

// count counts an element of a list or map against the document's limit.
func (d *decoder) count() error {
	if d.elements++; d.elements > maxElements {
		return malformed("too many list elements")
	}
	return nil
}

// mapping decodes a map with string keys.
func (d *decoder) mapping(shape *mailmanager.Shape, into reflect.Value) error {
	into.Set(reflect.MakeMap(into.Type()))
	for {
		key, err := d.next()
		if err != nil || key.kind == tokenEnd {
			return err
		}
		name := reflect.ValueOf(key.text)
		if key.kind != tokenText || into.MapIndex(name).IsValid() {
			return malformed("expected keys that are strings and differ")
		}
		if err := d.count(); err != nil {
			return err
		}
		element := reflect.New(into.Type().Elem()).Elem()
		tok, err := d.next()
		if err == nil {
			err = d.value(tok, shape.Element, element)
		}
		if err != nil {
			return err
		}
		into.SetMapIndex(name, element)
	}
}
