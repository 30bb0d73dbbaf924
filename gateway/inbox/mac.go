package inbox

import (
	"google.golang.org/protobuf/proto"

	"karaula/gateway/mac"
	"karaula/internal/problem"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// A verdict that was made before a start is believed afterwards. The broker
// keeps it, and whoever can write to the broker could write one, too: then
// officers would see as accepted what was refused, or never judged. So every
// record carries a code that only the gateway can make. A record without one
// counts for nothing, and its statements are judged again.

// VerdictKeySize is the length of the key of the codes, in bytes.
const VerdictKeySize = mac.KeySize

var verdictMark = mac.Mark{Domain: "karaula/verdicts/v1\x00", Field: 6}

// authentic writes down a record and marks it.
func authentic(key []byte, rec *karaulav1.VerdictRecord) ([]byte, error) {
	rec.Mac = nil
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(rec)
	if err != nil {
		return nil, problem.Wrap(problem.Failed, err, "verdicts cannot be written down")
	}
	return verdictMark.Add(key, data), nil
}

// authenticated reads a record if it carries the mark of its exact bytes.
func authenticated(key, data []byte) (*karaulav1.VerdictRecord, bool) {
	if !verdictMark.Check(key, data) {
		return nil, false
	}
	rec := &karaulav1.VerdictRecord{}
	return rec, proto.Unmarshal(data, rec) == nil
}
