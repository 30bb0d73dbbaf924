package inbox

import (
	"encoding/base64"
	"testing"

	"github.com/nats-io/nats.go"
)

// FuzzEdgeOf wants any header of the own stream to be read without a panic, and
// to give at most what the largest right edge has.
func FuzzEdgeOf(f *testing.F) {
	f.Add("")
	f.Add(base64.StdEncoding.EncodeToString(make([]byte, 32)))
	f.Add(base64.StdEncoding.EncodeToString(make([]byte, 33)))
	f.Add(base64.StdEncoding.EncodeToString(make([]byte, 65*32)))
	f.Add("====")
	f.Fuzz(func(t *testing.T, text string) {
		edge := edgeOf(nats.Header{edgeName: {text}})
		if len(edge) > 64 {
			t.Errorf("%d hashes", len(edge))
		}
		var all []byte
		for _, h := range edge {
			all = append(all, h[:]...)
		}
		if len(edge) > 0 && base64.StdEncoding.EncodeToString(all) != text && len(text) <= base64.StdEncoding.EncodedLen(64*32) {
			again, err := base64.StdEncoding.DecodeString(text)
			if err != nil || string(again) != string(all) {
				t.Error("an edge that nobody wrote")
			}
		}
	})
}
