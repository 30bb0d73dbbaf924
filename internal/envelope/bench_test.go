package envelope_test

import (
	"testing"

	"karaula/internal/envelope"
)

// BenchmarkParse is what reading one envelope costs, sealed part and its digest
// included, before any signature is verified.
func BenchmarkParse(b *testing.B) {
	raw := act(b).build(b)
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := envelope.Parse(raw); err != nil {
			b.Fatal(err)
		}
	}
}
