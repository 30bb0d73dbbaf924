package alert

import (
	"math"
	"time"

	karaulav1 "karaula/proto/gen/karaula/v1"
)

// known looks at messages that stand in many places, wherever they stand.
func (w *looker) known(m any) {
	switch v := m.(type) {
	case *karaulav1.Plate:
		w.plate(v)
	case *karaulav1.Identity:
		if b := v.GetBirthDate(); after(b, w.now) {
			w.faultAt("birth_date", "birth-date", "lies in the future")
		}
	case *karaulav1.Subject:
		w.found = append(w.found, vinFindings(w.field("vin"), v.GetVin())...)
	case *karaulav1.Location:
		code, sub := v.GetUnlocode(), v.GetSubdivision()
		if len(code) == 5 && len(sub) > 2 && code[:2] != sub[:2] {
			w.warnAt("unlocode", "location-country", "is of another country than subdivision")
		}
	case *karaulav1.Area:
		w.ring(v.GetRing())
	}
}

// field gives the path of a field inside the message that is looked at.
func (w *looker) field(name string) string { return string(w.path) + "." + name }

func (w *looker) faultAt(field, rule, text string) {
	w.found = append(w.found, fault(w.field(field), rule, text))
}

func (w *looker) warnAt(field, rule, text string) {
	w.found = append(w.found, warning(w.field(field), rule, text))
}

// after reports whether a date, or the whole of a part of one, lies after the
// day that follows now: days begin earlier in the east.
func after(date string, now time.Time) bool {
	t, ok := dateStart(date)
	return ok && t.After(now.AddDate(0, 0, 1))
}

// dateStart gives the first moment of a date or of a part of one.
func dateStart(date string) (time.Time, bool) {
	const layout = "2006-01-02"
	if len(date) < 4 || len(date) > len(layout) {
		return time.Time{}, false
	}
	t, err := time.Parse(layout[:len(date)], date)
	return t, err == nil
}

// ring holds a closed ring against RFC 7946, 3.1.6: it has a surface, and its
// sides do not cross each other, or inside and outside could not be told.
func (w *looker) ring(ring []*karaulav1.Position) {
	if len(ring) < 4 {
		return // the schema says so
	}
	var twice float64
	for i := range len(ring) - 1 {
		twice += cross(ring[0], ring[i], ring[i+1])
	}
	const none = 1e-12 // square degrees: less than a hand's breadth
	if math.Abs(twice) < none {
		w.faultAt("ring", "ring-flat", "has no surface (RFC 7946, 3.1.6)")
		return
	}
	for i := range len(ring) - 1 {
		for j := i + 2; j < len(ring)-1; j++ {
			if crossing(ring[i], ring[i+1], ring[j], ring[j+1]) {
				w.faultAt("ring", "ring-crosses", "crosses itself (RFC 7946, 3.1.6)")
				return
			}
		}
	}
}

// cross gives twice the signed surface of a triangle, in square degrees.
func cross(a, b, c *karaulav1.Position) float64 {
	return (b.GetLon()-a.GetLon())*(c.GetLat()-a.GetLat()) - (b.GetLat()-a.GetLat())*(c.GetLon()-a.GetLon())
}

// crossing reports whether two sides cut each other; to touch is not to cut.
func crossing(a, b, c, d *karaulav1.Position) bool {
	return cross(a, b, c)*cross(a, b, d) < 0 && cross(c, d, a)*cross(c, d, b) < 0
}
