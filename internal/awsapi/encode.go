package awsapi

import (
	"reflect"
	"time"

	"sluice/internal/mailmanager"
)

// sink writes a document, value by value. Both codecs implement it. openMap and openList are told how many entries and
// elements follow.
type sink interface {
	openMap(entries int)
	key(name string)
	closeMap()
	openList(elements int)
	closeList()
	text(string)
	integer(int64)
	double(float64)
	boolean(bool)
	blob([]byte)
	instant(time.Time)
	bytes() []byte
}

// encode writes value, a pointer to the Go type of the shape, and returns the document. Nil members are left out; an
// empty list is written.
func encode(to sink, shape *mailmanager.Shape, value any) []byte {
	encodeValue(to, shape, reflect.ValueOf(value).Elem())
	return to.bytes()
}

func encodeValue(to sink, shape *mailmanager.Shape, value reflect.Value) {
	switch shape.Kind {
	case mailmanager.KindStructure, mailmanager.KindUnion:
		encodeStructure(to, shape, value)
	case mailmanager.KindList:
		to.openList(value.Len())
		for i := range value.Len() {
			encodeValue(to, shape.Element, value.Index(i))
		}
		to.closeList()
	case mailmanager.KindMap:
		encodeMap(to, shape, value)
	case mailmanager.KindString:
		to.text(value.String())
	case mailmanager.KindInteger:
		to.integer(value.Int())
	case mailmanager.KindDouble:
		to.double(value.Float())
	case mailmanager.KindBoolean:
		to.boolean(value.Bool())
	case mailmanager.KindTimestamp:
		to.instant(value.Interface().(time.Time))
	case mailmanager.KindBlob:
		to.blob(value.Bytes())
	}
}

func encodeStructure(to sink, shape *mailmanager.Shape, value reflect.Value) {
	present := 0
	for i := range shape.Members {
		if !value.Field(i).IsNil() {
			present++
		}
	}
	to.openMap(present)
	for i, member := range shape.Members {
		field := value.Field(i)
		if field.IsNil() {
			continue
		}
		to.key(member.Name)
		if field.Kind() == reflect.Pointer {
			field = field.Elem()
		}
		encodeValue(to, member.Shape, field)
	}
	to.closeMap()
}

func encodeMap(to sink, shape *mailmanager.Shape, value reflect.Value) {
	to.openMap(value.Len())
	for entries := value.MapRange(); entries.Next(); {
		to.key(entries.Key().String())
		encodeValue(to, shape.Element, entries.Value())
	}
	to.closeMap()
}
