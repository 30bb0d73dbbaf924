// Package strict reads requests to the node's interface as strictly over the
// officers' socket as over the network: what is misspelt, repeated or unknown is
// refused, and never passed over, because the caller believes that it counts.
//
// Its errors must never quote what stands in a request: that may be content, and
// errors end in logs.
package strict

import (
	"bytes"
	"encoding/json"
	"regexp"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"karaula/internal/problem"
	"karaula/internal/wire"
)

// JSON makes handlers read JSON strictly.
func JSON() connect.HandlerOption {
	return connect.WithHandlerOptions(connect.WithCodec(jsonCodec{"json"}), connect.WithCodec(jsonCodec{"json; charset=utf-8"}))
}

// Proto makes handlers read the wire form strictly, up to a number of bytes.
func Proto(most int) connect.HandlerOption { return connect.WithCodec(protoCodec{most}) }

// protoCodec reads requests in the strict wire form of everything else here:
// no unknown fields, bounded nesting, a bounded number of elements.
type protoCodec struct{ most int }

// Name implements connect.Codec.
func (protoCodec) Name() string { return "proto" }

// Marshal implements connect.Codec.
func (protoCodec) Marshal(m any) ([]byte, error) {
	msg, ok := m.(proto.Message)
	if !ok {
		return nil, problem.New(problem.Failed, "not a message")
	}
	return proto.Marshal(msg)
}

// Unmarshal implements connect.Codec. Its errors name fields, never values.
func (c protoCodec) Unmarshal(raw []byte, m any) error {
	msg, ok := m.(proto.Message)
	if !ok {
		return problem.New(problem.Failed, "not a message")
	}
	return wire.Unmarshal(raw, msg, c.most)
}

// jsonCodec reads requests as JSON: no unknown fields, no field twice, bounded
// like the wire form.
type jsonCodec struct{ name string }

// Name implements connect.Codec.
func (c jsonCodec) Name() string { return c.name }

// Marshal implements connect.Codec. It leaves out the blanks that protojson strews
// in at random, so that the same answer has the same bytes.
func (jsonCodec) Marshal(m any) ([]byte, error) {
	msg, ok := m.(proto.Message)
	if !ok {
		return nil, problem.New(problem.Failed, "not a message")
	}
	raw, err := protojson.Marshal(msg)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = json.Compact(&out, raw)
	return out.Bytes(), err
}

// place finds where in its input protojson stumbled.
var place = regexp.MustCompile(`\(line \d+:\d+\)`)

// Unmarshal implements connect.Codec. Its errors name a place, never what stands
// there: that may be content, and errors end in logs of the caller.
func (jsonCodec) Unmarshal(raw []byte, m any) error {
	msg, ok := m.(proto.Message)
	if !ok {
		return problem.New(problem.Failed, "not a message")
	}
	if err := bounded(raw); err != nil {
		return err
	}
	if err := (protojson.UnmarshalOptions{RecursionLimit: wire.MaxDepth}).Unmarshal(raw, msg); err != nil {
		where := place.FindString(err.Error())
		return problem.New(problem.Invalid, "the JSON is no %s: a syntax error, or an unknown, repeated or ill-formed field %s",
			msg.ProtoReflect().Descriptor().Name(), where)
	}
	return nil
}

// bounded refuses JSON that is nested too deep or has too many elements, before
// anything is made of it: "[{},{},…" is much larger in memory than on the wire.
func bounded(raw []byte) error {
	depth, elements, inside := 0, 0, false
	for i := 0; i < len(raw); i++ {
		switch b := raw[i]; {
		case inside && b == '\\':
			i++
		case b == '"':
			inside = !inside
		case inside:
		case b == '{' || b == '[':
			elements++
			if depth++; depth > 2*wire.MaxDepth {
				return problem.New(problem.Invalid, "the JSON is nested deeper than %d", 2*wire.MaxDepth)
			}
		case b == '}' || b == ']':
			depth--
		case b == ',':
			elements++
		}
		if elements > wire.MaxElements {
			return problem.New(problem.Invalid, "the JSON has more than %d elements", wire.MaxElements)
		}
	}
	return nil
}
