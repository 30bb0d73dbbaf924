package index

import (
	"encoding/hex"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"karaula/internal/alert"
	"karaula/internal/border"
	"karaula/internal/searchkey"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// maxTerms bounds the terms of one alert; searchkey makes far fewer.
const maxTerms = 4096

// Record makes the record of an opened statement, an alert or an act, for [File].
// eraseAfter is the statement's, in microseconds since 1970 UTC: what the clause
// allows may end an alert before its type does.
func (x *Index) Record(led, leaf [32]byte, eraseAfter int64, inner *karaulav1.Inner) *karaulav1.IndexRecord {
	a := inner.GetAlert()
	r := &karaulav1.IndexRecord{
		Ledger: led[:], Leaf: leaf[:], AlertId: inner.GetAlertId(), Version: inner.GetVersion(),
		Lifecycle: a.GetLifecycle(), Type: inner.GetType(), Urgency: a.GetUrgency(),
		Supersedes: inner.GetSupersedes(), About: about(a), FalseHit: a.GetHit().GetFalseHit(),
		Exercise: inner.GetExercise(),
	}
	said := time.UnixMicro(inner.GetSaidAt())
	if due, ok := alert.ReplyDue(a, said); ok {
		r.ReplyDue = due.UnixMicro()
	}
	end := time.UnixMicro(min(alert.Expiry(a, said).UnixMicro(), eraseAfter))
	if due, ok := alert.ReviewDue(a, said, end); ok && inner.GetAct() == nil {
		r.ReviewDue = due.UnixMicro()
	}
	if act := inner.GetAct(); act != nil {
		r.Act = proto.CloneOf(act)
		r.Act.Remark = ""
		return r
	}
	r.Handling, r.Descent = a.GetHandling(), border.DescentOf(inner)
	r.Expires, r.Stage = alert.Expiry(a, said).UnixMicro(), a.GetPatrol().GetStage()
	list := searchkey.Of(a)
	for _, t := range list[:min(len(list), maxTerms)] {
		h := x.hasher.Hash(inner.GetExercise(), t)
		r.Kinds = append(r.Kinds, byte(t.Kind))
		r.Hashes = append(r.Hashes, h[:]...)
	}
	return r
}

// about gives the id of the alert that a hit is on, or of the request that an
// answer is to.
func about(a *karaulav1.Alert) []byte {
	text := a.GetHit().GetAlertId()
	if text == "" {
		text = a.GetAnswer().GetRequestId()
	}
	id, err := hex.DecodeString(strings.ReplaceAll(text, "-", ""))
	if err != nil || len(id) != 16 {
		return nil
	}
	return id
}

// whole reports whether a record has the form that [Index.Record] gives it.
func whole(r *karaulav1.IndexRecord) bool {
	return len(r.GetLedger()) == 32 && len(r.GetLeaf()) == 32 && len(r.GetAlertId()) == 16 &&
		len(r.GetKinds()) <= maxTerms && len(r.GetHashes()) == len(r.GetKinds())*len(Hash{})
}

// EntryOf gives a record as the index takes it.
func EntryOf(r *karaulav1.IndexRecord, place Place, eraseAfter int64) Entry {
	e := Entry{
		Place: place, Version: r.GetVersion(), Type: r.GetType(), Urgency: r.GetUrgency(), EraseAfter: eraseAfter,
		Withdrawn: r.GetLifecycle() == karaulav1.Lifecycle_LIFECYCLE_WITHDRAW,
		Terms:     make([]HashedTerm, len(r.GetKinds())),
	}
	copy(e.ID[:], r.GetAlertId())
	for i, k := range r.GetKinds() {
		e.Terms[i].Kind = searchkey.Kind(k)
		copy(e.Terms[i].Hash[:], r.GetHashes()[i*len(Hash{}):])
	}
	return e
}
