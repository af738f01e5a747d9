package awsapi

import (
	"github.com/fxamacker/cbor/v2"

	"sluice/internal/mailmanager"
)

// rpcV2CBOR is the value of the smithy-protocol header: Mail Manager, A29.
const rpcV2CBOR = "rpc-v2-cbor"

// codec reads and writes documents in one encoding.
type codec struct {
	newSource func(body []byte) (source, error)
	newSink   func() sink
}

var jsonCodec = codec{newSource: newJSONSource, newSink: newJSONSink}

func cborCodec(mode cbor.DecMode) codec {
	return codec{
		newSource: func(body []byte) (source, error) { return newCBORSource(mode, body) },
		newSink:   newCBORSink,
	}
}

// decode reads a body into target, a pointer to the Go type of the shape. No body is an empty structure: clients may
// send none for an input without members.
func (c codec) decode(body []byte, shape *mailmanager.Shape, target any) error {
	if len(body) == 0 {
		return nil
	}
	src, err := c.newSource(body)
	if err != nil {
		return err
	}
	return decode(src, shape, target)
}

func jsonProtocol(version string, status func(mailmanager.Code) int) *protocol {
	return &protocol{
		contentType: "application/x-amz-json-" + version,
		status:      status,
		failure:     func(f failure) []byte { return f.encode(newJSONSink()) },
	}
}

func cborProtocol(status func(mailmanager.Code) int) *protocol {
	return &protocol{
		contentType:    "application/cbor",
		smithyProtocol: rpcV2CBOR,
		status:         status,
		failure:        func(f failure) []byte { return f.encode(newCBORSink()) },
	}
}

// encode writes the error's shape. Modelled errors have Message; generic readers of errors look for message.
func (f failure) encode(to sink) []byte {
	to.openMap(3)
	to.key("__type")
	to.text(string(f.code))
	to.key("Message")
	to.text(f.message)
	to.key("message")
	to.text(f.message)
	to.closeMap()
	return to.bytes()
}
