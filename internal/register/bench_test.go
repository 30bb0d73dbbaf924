package register

import (
	"strings"
	"testing"
)

// BenchmarkDecide is what a gateway pays per alert to ask the register: a
// fresh view and one decision, beside 14 agreements.
func BenchmarkDecide(b *testing.B) {
	r := node(b, "al", "me", "xk")
	for id := range strings.FieldsSeq("b01 b02 b03 b04 b05 b06 b07 b08 b09 t01 t02 m01 m02 f01") {
		add(b, r, signAll(b, draft(b, id, "al,me,xk", someTypes)))
	}
	for b.Loop() {
		if d := r.View().Decide("al", "t01", vehicle, start); !d.Allowed {
			b.Fatal(d.Reason)
		}
	}
}
