package alert_test

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"karaula/internal/alert"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// wrong says what is wrong with an alert as the next version of another one.
func wrong(next, before *karaulav1.Alert) string {
	_, why := alert.Continues(next, alert.PastOf(before, now), now)
	return why
}

func TestWithdrawAndExtend(t *testing.T) {
	t.Parallel()
	for _, name := range exampleNames(t) {
		a := example(t, name)
		a.Version = 1
		alert.Complete(a)
		gone := alert.Withdraw(a, alert.Expiry(a, now), "The case is closed.")
		if err := alert.Validate(gone, now).Err(); err != nil {
			t.Errorf("%s: a withdrawal: %v", name, err)
		}
		if len(alert.PersonalData(gone)) > 0 {
			t.Errorf("%s: a withdrawal holds personal data", name)
		}
		if wrong(gone, a) != "" || wrong(a, gone) == "" {
			t.Errorf("%s: a withdrawal is the last version", name)
		}
		until := alert.Expiry(a, now).Add(time.Hour)
		more := alert.Extend(a, until, "Still needed.")
		if wrong(more, a) != "" {
			t.Errorf("%s: an extension does not continue it", name)
		}
		update := proto.CloneOf(more)
		update.Lifecycle, update.Assessment = karaulav1.Lifecycle_LIFECYCLE_UPDATE, ""
		if wrong(update, a) == "" {
			t.Errorf("%s: an update keeps it longer", name)
		}
	}
}

func TestActFault(t *testing.T) {
	t.Parallel()
	other := []byte{0, 0, 0, 0, 0, 0, 0x70, 0, 0x80, 0, 0, 0, 0, 0, 0, 1}
	const law = karaulav1.Ground_GROUND_NATIONAL_LAW
	const same = karaulav1.LinkRelation_LINK_RELATION_SAME_PERSON
	const check = karaulav1.Purpose_PURPOSE_DETECTION
	consent := func(change func(*karaulav1.Act)) *karaulav1.Act {
		x := &karaulav1.Act{
			Deed: karaulav1.Deed_DEED_CONSENT, Onward: "b02-me-rs", Party: "me", Readers: []string{"mk", "rs"},
			Purpose: check, Until: 1, Commitment: make([]byte, 32),
		}
		change(x)
		return x
	}
	good := []*karaulav1.Act{
		{Deed: karaulav1.Deed_DEED_SEEN},
		{Deed: karaulav1.Deed_DEED_ACTED, Remark: "Seized.\nDriver let go."},
		{Deed: karaulav1.Deed_DEED_NOT_EXECUTED, Ground: law},
		{Deed: karaulav1.Deed_DEED_FLAG, Ground: karaulav1.Ground_GROUND_OTHER, Remark: "Invented"},
		{Deed: karaulav1.Deed_DEED_UNFLAG},
		{Deed: karaulav1.Deed_DEED_LINK, Other: other, Relation: same},
		{Deed: karaulav1.Deed_DEED_UNLINK, Other: other},
		{Deed: karaulav1.Deed_DEED_ERROR, Remark: "The plate is another one."},
		{Deed: karaulav1.Deed_DEED_CONSENT_REQUEST, Onward: "b02-me-rs", Readers: []string{"rs"}, Purpose: check},
		consent(func(*karaulav1.Act) {}),
		{Deed: karaulav1.Deed_DEED_NO_CONSENT, Onward: "b02-me-rs", Party: "me"},
	}
	for _, x := range good {
		if why := alert.ActFault(x); why != "" {
			t.Errorf("%v: %s", x, why)
		}
	}
	bad := []*karaulav1.Act{
		nil,
		{},
		{Deed: 99},
		{Deed: karaulav1.Deed_DEED_FLAG},
		{Deed: karaulav1.Deed_DEED_FLAG, Ground: 99},
		{Deed: karaulav1.Deed_DEED_SEEN, Ground: law},
		{Deed: karaulav1.Deed_DEED_FLAG, Ground: karaulav1.Ground_GROUND_OTHER},
		{Deed: karaulav1.Deed_DEED_LINK, Other: other},
		{Deed: karaulav1.Deed_DEED_LINK, Other: other[:15], Relation: same},
		{Deed: karaulav1.Deed_DEED_LINK, Other: make([]byte, 16), Relation: same},
		{Deed: karaulav1.Deed_DEED_SEEN, Other: other},
		{Deed: karaulav1.Deed_DEED_LINK, Other: other, Relation: 99},
		{Deed: karaulav1.Deed_DEED_UNLINK, Other: other, Relation: same},
		{Deed: karaulav1.Deed_DEED_ERROR},
		{Deed: karaulav1.Deed_DEED_CONSENT},
		{Deed: karaulav1.Deed_DEED_SEEN, Onward: "b02-me-rs"},
		{Deed: karaulav1.Deed_DEED_CONSENT_REQUEST, Onward: "b02-me-rs"},
		{Deed: karaulav1.Deed_DEED_NO_CONSENT, Onward: "b02-me-rs"},
		{Deed: karaulav1.Deed_DEED_SEEN, Party: "me"},
		consent(func(x *karaulav1.Act) { x.Onward = strings.Repeat("b", 33) }),
		consent(func(x *karaulav1.Act) { x.Party = "ME" }),
		consent(func(x *karaulav1.Act) { x.Readers = []string{"rs", "mk"} }),
		consent(func(x *karaulav1.Act) { x.Readers = []string{"rs", "rs"} }),
		consent(func(x *karaulav1.Act) { x.Purpose = 99 }),
		consent(func(x *karaulav1.Act) { x.Until = -1 }),
		consent(func(x *karaulav1.Act) { x.Commitment = x.Commitment[1:] }),
		{Deed: karaulav1.Deed_DEED_ACTED, Remark: strings.Repeat("ë", 2001)},
		{Deed: karaulav1.Deed_DEED_ACTED, Remark: "a\u202eb"},
		{Deed: karaulav1.Deed_DEED_ACTED, Remark: "a\tb"},
	}
	for _, x := range bad {
		if alert.ActFault(x) == "" {
			t.Errorf("nothing is wrong with %v", x)
		}
	}
	if len(good) != len(karaulav1.Deed_name)-1 {
		t.Errorf("%d deeds are tried, there are %d", len(good), len(karaulav1.Deed_name)-1)
	}
}
