package wire

import (
	"encoding/json"
	"fmt"
	"reflect"
	"time"

	"github.com/fxamacker/cbor/v2"

	"sluice/internal/mailmanager"
)

// Protocol is one of the two that Mail Manager speaks.
type Protocol string

// The protocols.
const (
	JSON Protocol = "json" // AWS JSON 1.0
	CBOR Protocol = "cbor" // Smithy RPC v2 CBOR
)

// Protocols are both.
func Protocols() []Protocol { return []Protocol{JSON, CBOR} }

func (p Protocol) path(operation string) string {
	if p == JSON {
		return "/"
	}
	return "/service/" + mailmanager.TargetPrefix + "/operation/" + operation
}

func (p Protocol) headers(operation string) map[string]string {
	if p == JSON {
		return map[string]string{"Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": mailmanager.TargetPrefix + "." + operation}
	}
	return map[string]string{"Content-Type": "application/cbor", "Accept": "application/cbor", "Smithy-Protocol": "rpc-v2-cbor"}
}

func (p Protocol) encode(document any) ([]byte, error) {
	if p == JSON {
		return json.Marshal(Plain(document))
	}
	mode, err := cbor.EncOptions{Sort: cbor.SortBytewiseLexical, Time: cbor.TimeUnixMicro, TimeTag: cbor.EncTagRequired}.EncMode()
	if err != nil {
		return nil, err
	}
	return mode.Marshal(document)
}

// decode reads the document of an answer; none at all is an empty one.
func (p Protocol) decode(text []byte) (map[string]any, error) {
	document := map[string]any{}
	if len(text) == 0 {
		return document, nil
	}
	if p == JSON {
		return document, json.Unmarshal(text, &document)
	}
	mode, err := cbor.DecOptions{DefaultMapType: reflect.TypeFor[map[string]any](), IntDec: cbor.IntDecConvertSignedOrFail}.DecMode()
	if err != nil {
		return nil, err
	}
	if err := mode.Unmarshal(text, &document); err != nil {
		return nil, fmt.Errorf("not CBOR: %w", err)
	}
	return document, nil
}

// Plain is a document as JSON has it: instants are seconds since 1970, with a fraction.
func Plain(document any) any {
	switch value := document.(type) {
	case time.Time:
		return float64(value.UnixMilli()) / 1000
	case map[string]any:
		plain := make(map[string]any, len(value))
		for name, member := range value {
			plain[name] = Plain(member)
		}
		return plain
	case []any:
		plain := make([]any, len(value))
		for i, element := range value {
			plain[i] = Plain(element)
		}
		return plain
	default:
		return document
	}
}
