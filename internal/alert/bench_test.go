package alert_test

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"karaula/internal/alert"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// BenchmarkValidate is what each side pays for one full vehicle alert.
func BenchmarkValidate(b *testing.B) {
	a := example(b, "vehicle")
	alert.Validate(a, now) // compiles the rules
	b.ReportAllocs()
	for b.Loop() {
		alert.Validate(a, now)
	}
}

// BenchmarkCheck is what the clause's limits cost on top of it.
func BenchmarkCheck(b *testing.B) {
	a := example(b, "vehicle")
	limits := alert.Limits{Handling: karaulav1.Handling_HANDLING_H2, MaxSize: 1 << 20}
	b.ReportAllocs()
	for b.Loop() {
		alert.Check(a, limits, now)
	}
}

// BenchmarkMarshal is the floor to compare with: writing the same alert as
// protobuf and reading it back.
func BenchmarkMarshal(b *testing.B) {
	a := example(b, "vehicle")
	b.ReportAllocs()
	for b.Loop() {
		raw, err := proto.Marshal(a)
		if err != nil {
			b.Fatal(err)
		}
		if err := proto.Unmarshal(raw, &karaulav1.Alert{}); err != nil {
			b.Fatal(err)
		}
	}
}
