package inbox

import (
	"context"

	"google.golang.org/protobuf/proto"

	"karaula/gateway/mac"
	"karaula/internal/border"
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

var verdictMark = mac.Mark{Domain: "karaula/verdicts/v1\x00", Field: 5}

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

// recordContest writes down that the origin has contradicted itself, so that it
// is known after a start. It does not give up before ctx ends.
func (b *Inbox) recordContest(ctx context.Context, led *border.Ledger) bool {
	rec := &karaulav1.VerdictRecord{Ledger: led.ID[:], Epoch: led.Epoch, Contested: led.Contested}
	data, err := authentic(b.cfg.VerdictKey, rec)
	if err != nil {
		b.cfg.Logger.Error("a contradiction cannot be written down", "error", err.Error())
		return true
	}
	return b.addVerdicts(ctx, data)
}
