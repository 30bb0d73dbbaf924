package inbox

import (
	"testing"
	"time"

	"karaula/internal/border"
	"karaula/internal/testworld"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Versions that are judged side by side are held against each other, as if each had
// been judged when the one before was known.
func TestVersionsOfOneBatch(t *testing.T) {
	t.Parallel()
	const update = karaulav1.Lifecycle_LIFECYCLE_UPDATE
	say := func(seq uint64, version uint32, days int) (*item, *border.Verdict) {
		a := testworld.Alert(karaulav1.AlertType_ALERT_TYPE_VEHICLE)
		a.Version, a.Expires = version, testworld.Start.AddDate(0, 0, days).UnixMicro()
		if version > 1 {
			a.Lifecycle = update
		}
		in := &karaulav1.Inner{
			AlertId: make([]byte, 16), Version: version, SaidAt: testworld.Start.Add(time.Duration(seq)).UnixMicro(),
			Content: &karaulav1.Inner_Alert{Alert: a},
		}
		it := &item{placement: border.Placement{Position: border.Position{Epoch: 1, Seq: seq}}}
		return it, &border.Verdict{Class: karaulav1.VerdictClass_VERDICT_CLASS_ACCEPTED, Inner: in}
	}
	seen := batch{}
	for _, c := range []struct {
		seq     uint64
		version uint32
		days    int
		want    karaulav1.Code
	}{
		{1, 1, 30, 0},
		{2, 1, 30, karaulav1.Code_CODE_DUPLICATE_ALERT},
		{3, 2, 31, karaulav1.Code_CODE_RETENTION}, // is refused, so that the next is held against the first
		{4, 3, 31, karaulav1.Code_CODE_RETENTION},
		{5, 4, 29, 0},
		{6, 5, 30, karaulav1.Code_CODE_RETENTION},
	} {
		it, v := say(c.seq, c.version, c.days)
		seen.enter(it, v)
		if v.Code != c.want || (v.Inner == nil) != (c.want != 0) {
			t.Errorf("number %d, version %d for %d days: %v (%s), want %v", c.seq, c.version, c.days, v.Code, v.Detail, c.want)
		}
	}
}
