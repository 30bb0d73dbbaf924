package strict

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"karaula/internal/wire"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// FuzzJSON: what is taken says the same when it is written again, and no error
// shows what was sent.
func FuzzJSON(f *testing.F) {
	for _, s := range []string{
		`{}`, `{"questions":[{"tag":"1","plate":{"number":"AA 000 TT","country":"AL"}}],"purpose":"PURPOSE_PREVENTION"}`,
		`{"channel":"b01-al-me","alerts":[{"id":"x"}],"dryRun":true}`, `[[[[`, `{"a":"\"[{"}`, "\xff", `{"reason":"\ud800"}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, m := range []proto.Message{&karaulav1.LookUpRequest{}, &karaulav1.SendRequest{}} {
			err := jsonCodec{"json"}.Unmarshal(raw, m)
			if err != nil {
				if text := string(raw); len(text) > 8 && strings.Contains(err.Error(), text) {
					t.Errorf("the error shows the request: %s", err)
				}
				continue
			}
			again, err := protojson.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			back := m.ProtoReflect().New().Interface()
			if err := (jsonCodec{"json"}).Unmarshal(again, back); err != nil || !proto.Equal(m, back) {
				t.Errorf("does not come back: %v", err)
			}
		}
	})
}

func TestBoundsOfJSON(t *testing.T) {
	t.Parallel()
	list := func(n int) []byte { return []byte("[" + strings.TrimSuffix(strings.Repeat("0,", n), ",") + "]") }
	if err := bounded(list(wire.MaxElements)); err != nil {
		t.Error(err)
	}
	if bounded(list(wire.MaxElements+1)) == nil {
		t.Error("one element too many was taken")
	}
	if err := bounded([]byte(`{"text":"` + strings.Repeat(`,[\"`, wire.MaxElements) + `"}`)); err != nil {
		t.Errorf("signs within a text were counted: %v", err)
	}
	deep := func(n int) []byte { return []byte(strings.Repeat("[", n) + strings.Repeat("]", n)) }
	if err := bounded(deep(2 * wire.MaxDepth)); err != nil {
		t.Error(err)
	}
	if bounded(deep(2*wire.MaxDepth+1)) == nil {
		t.Error("one level too deep was taken")
	}
}
