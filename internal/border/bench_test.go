package border_test

import "testing"

// BenchmarkReceive places, advances and judges one alert: what a statement
// costs beside its storage.
func BenchmarkReceive(b *testing.B) {
	s := newScene(b, open)
	s.al.must(s.me.Say(heartbeat()))
	raw := s.me.Say(vehicle())
	before, view := s.al.led.Clone(), s.View("al")
	b.ReportAllocs()
	for b.Loop() {
		led := before.Clone()
		p := s.al.check.Place(raw, view, led, s.al)
		led.Advance(&p)
		if v := s.al.check.Judge(&p, view, before, s.al, s.Now); v.Code != 0 {
			b.Fatal(v.Detail)
		}
	}
}
