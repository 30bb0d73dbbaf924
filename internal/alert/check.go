package alert

import (
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"karaula/internal/terms"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Limits are what a clause of an agreement allows.
type Limits struct {
	// Personal is whether personal data may be said.
	Personal bool
	// Handling is the highest handling code; the zero value admits none.
	Handling karaulav1.Handling
	// Retain is the longest that content may be kept from when it is said; zero: no limit.
	Retain time.Duration
	// Origin is the party that says it: only the issuing state speaks of a document.
	Origin string
	// MaxSize is the largest alert in bytes of protobuf; zero: no limit.
	MaxSize int64
}

// Check says which limits of its clause the alert exceeds. now is when it is
// said. Every error carries the code of the refusal. Where the clause forbids
// personal data, a warning names the free text that nobody has judged.
func Check(a *karaulav1.Alert, limits Limits, now time.Time) Findings {
	if a == nil {
		return Findings{fault("", "alert", "there is no alert")}
	}
	out := issuerFindings(a.GetDocument(), limits.Origin)
	over := func(code karaulav1.Code, field, text string) {
		out = append(out, Finding{Field: field, Rule: terms.CodeWord(code), Text: text, Severity: Error, Code: code})
	}
	if !limits.Personal {
		w := &looker{now: now}
		w.message(a.ProtoReflect())
		for _, field := range w.personal {
			over(karaulav1.Code_CODE_PERSONAL_DATA, field, holds(field)+", which the clause forbids")
		}
		if len(w.free) > 0 {
			out = append(out, warning("", "free-text",
				"free text is not checked for personal data: "+strings.Join(w.free, ", ")))
		}
	}
	if a.GetHandling() > limits.Handling {
		over(karaulav1.Code_CODE_HANDLING, "handling", fmt.Sprintf("is %s, the clause admits up to %s",
			word(a.GetHandling().Descriptor(), a.GetHandling().Number()), ceiling(limits.Handling)))
	}
	if e := a.GetExpires(); e != 0 && limits.Retain > 0 && time.UnixMicro(e).After(now.Add(limits.Retain)) {
		over(karaulav1.Code_CODE_RETENTION, "expires",
			fmt.Sprintf("is later than the clause admits: %s after it is said", days(limits.Retain)))
	}
	out = append(out, outlived(a, limits.Retain, now)...)
	if size := int64(proto.Size(a)); limits.MaxSize > 0 && size > limits.MaxSize {
		over(karaulav1.Code_CODE_TOO_LARGE, "",
			fmt.Sprintf("the alert has %d bytes, the agreement admits %d", size, limits.MaxSize))
	}
	return out
}

// outlived warns of what is planned for after the clause has ended the alert.
func outlived(a *karaulav1.Alert, retain time.Duration, now time.Time) Findings {
	end := now.Add(retain)
	if retain <= 0 || a.GetExpires() != 0 {
		return nil
	}
	var out Findings
	late := func(field string, at int64) {
		if at != 0 && time.UnixMicro(at).After(end) {
			out = append(out, warning(field, "outlives",
				fmt.Sprintf("lies after the clause ends the alert: its content is erased on %s", end.UTC().Format(time.DateOnly))))
		}
	}
	late("review_due", a.GetReviewDue())
	late("patrol.ends", a.GetPatrol().GetEnds())
	return out
}

func ceiling(h karaulav1.Handling) string {
	if w := word(h.Descriptor(), h.Number()); w != "" {
		return w
	}
	return "none"
}

// days shows a duration in days where it has any.
func days(d time.Duration) string {
	if n := d / (24 * time.Hour); n > 0 {
		return fmt.Sprintf("%d days", n)
	}
	return d.String()
}
