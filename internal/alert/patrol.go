package alert

import (
	"fmt"
	"slices"
	"time"

	karaulav1 "karaula/proto/gen/karaula/v1"
)

// patrolFindings gives what the schema cannot state about the plan of a patrol.
func patrolFindings(a *karaulav1.Alert, p *karaulav1.Patrol, now time.Time) Findings {
	out := sideFindings(p)
	begins, ends := time.UnixMicro(p.GetBegins()), time.UnixMicro(p.GetEnds())
	for i, r := range p.GetRendezvous() {
		if t := time.UnixMicro(r.GetTime()); t.Before(begins) || t.After(ends) {
			out = append(out, fault(fmt.Sprintf("patrol.rendezvous[%d].time", i), "patrol-rendezvous",
				"must lie between begins and ends"))
		}
	}
	if a.GetLifecycle() == karaulav1.Lifecycle_LIFECYCLE_CREATE && p.GetStage() >= karaulav1.PatrolStage_PATROL_STAGE_CLOSED {
		out = append(out, fault("patrol.stage", "patrol-first", "a first version is a plan: it is not closed or evaluated yet"))
	}
	switch p.GetStage() { //nolint:exhaustive // the others may be said at any time
	case karaulav1.PatrolStage_PATROL_STAGE_PROPOSED, karaulav1.PatrolStage_PATROL_STAGE_ACCEPTED,
		karaulav1.PatrolStage_PATROL_STAGE_AMENDED, karaulav1.PatrolStage_PATROL_STAGE_ACTIVE:
		if ends.Before(now) {
			out = append(out, warning("patrol.ends", "patrol-over", "the patrol has ended, but its stage does not say so"))
		}
	case karaulav1.PatrolStage_PATROL_STAGE_EVALUATED:
		if now.Before(begins) {
			out = append(out, fault("patrol.stage", "patrol-early", "is evaluated before the patrol begins"))
		}
	}
	return out
}

// sideFindings holds the sides of a patrol against each other.
func sideFindings(p *karaulav1.Patrol) Findings {
	var out Findings
	if len(p.GetSides()) < 2 && p.GetKind() != karaulav1.PatrolKind_PATROL_KIND_DECONFLICTION {
		out = append(out, fault("patrol.sides", "patrol-sides", "needs two sides or more, but for a deconfliction notice"))
	}
	for i, s := range p.GetSides() {
		field := fmt.Sprintf("patrol.sides[%d]", i)
		if len(s.GetPowers()) > 0 && len(p.GetPowersBasis()) == 0 {
			out = append(out, fault(field+".powers", "patrol-powers", "need their articles in powers_basis"))
		}
		if s.GetRole() == karaulav1.PatrolRole_PATROL_ROLE_VISITOR && s.GetDepthLimitM() == 0 {
			out = append(out, warning(field+".depth_limit_m", "patrol-depth", "should say how far a visitor may go"))
		}
	}
	return out
}

// nextStages are the stages that may follow a stage of a patrol; each may follow
// itself. A plan may be closed at any time, and is evaluated only once closed.
var nextStages = map[karaulav1.PatrolStage][]karaulav1.PatrolStage{
	karaulav1.PatrolStage_PATROL_STAGE_PROPOSED: {
		karaulav1.PatrolStage_PATROL_STAGE_ACCEPTED, karaulav1.PatrolStage_PATROL_STAGE_AMENDED,
		karaulav1.PatrolStage_PATROL_STAGE_CLOSED,
	},
	karaulav1.PatrolStage_PATROL_STAGE_ACCEPTED: {
		karaulav1.PatrolStage_PATROL_STAGE_AMENDED, karaulav1.PatrolStage_PATROL_STAGE_ACTIVE,
		karaulav1.PatrolStage_PATROL_STAGE_CLOSED,
	},
	karaulav1.PatrolStage_PATROL_STAGE_AMENDED: {
		karaulav1.PatrolStage_PATROL_STAGE_ACCEPTED, karaulav1.PatrolStage_PATROL_STAGE_ACTIVE,
		karaulav1.PatrolStage_PATROL_STAGE_CLOSED,
	},
	karaulav1.PatrolStage_PATROL_STAGE_ACTIVE: {
		karaulav1.PatrolStage_PATROL_STAGE_AMENDED, karaulav1.PatrolStage_PATROL_STAGE_CLOSED,
	},
	karaulav1.PatrolStage_PATROL_STAGE_CLOSED: {karaulav1.PatrolStage_PATROL_STAGE_EVALUATED},
}

// stageFollows reports whether a patrol may come from one stage to the next;
// zero is not known.
func stageFollows(next, before karaulav1.PatrolStage) bool {
	return next == before || next == 0 || before == 0 || slices.Contains(nextStages[before], next)
}
