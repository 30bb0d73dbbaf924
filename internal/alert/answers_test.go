package alert_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	karaulav1 "karaula/proto/gen/karaula/v1"

	"karaula/internal/alert"
)

func contains(list, word string) bool { return slices.Contains(strings.Fields(list), word) }

// stage gives the stage of a word.
func stage(t *testing.T, word string) karaulav1.PatrolStage {
	t.Helper()
	n, ok := alert.Number(karaulav1.PatrolStage(0).Descriptor(), word)
	if !ok {
		t.Fatalf("%q is no stage", word)
	}
	return karaulav1.PatrolStage(n)
}

func TestPersonRules(t *testing.T) {
	t.Parallel()
	p := func(do func(p *karaulav1.Person)) func(a *karaulav1.Alert) {
		return func(a *karaulav1.Alert) { do(a.GetPerson()) }
	}
	run(t, "person", []breach{
		{"arrest without warrant", p(func(p *karaulav1.Person) { p.Warrant = nil }), "person", "person-warrant"},
		{
			"warrant of no day", p(func(p *karaulav1.Person) { p.Warrant.Date = "" }), "person.warrant.date", "string.pattern",
		},
		{"warrant of tomorrow", p(func(p *karaulav1.Person) {
			p.Warrant.Date = now.AddDate(0, 0, 2).Format(time.DateOnly)
		}), "person.warrant.date", "warrant-date"},
		{"arrest for nothing", func(a *karaulav1.Alert) { a.Offences = nil }, "offences", "person-arrest"},
		{"arrest of a witness", func(a *karaulav1.Alert) {
			a.DataSubjectCategories = []karaulav1.DataSubject{karaulav1.DataSubject_DATA_SUBJECT_WITNESS}
		}, "data_subject_categories", "person-arrest"},
		{"no surname", p(func(p *karaulav1.Person) { p.Identity.Surname = "" }), "person.identity.surname", "person-named"},
		{"no birth", p(func(p *karaulav1.Person) { p.Identity.BirthDate = "" }), "person.identity.birth_date", "person-named"},
		{"not born", p(func(p *karaulav1.Person) {
			p.Identity.BirthDate = "2027"
		}), "person.identity.birth_date", "birth-date"},
		{"13 years old", p(func(p *karaulav1.Person) {
			p.Identity.BirthDate = now.AddDate(-14, 0, 1).Format(time.DateOnly)
		}), "person.identity.birth_date", "person-age"},
		{"13 at most", p(func(p *karaulav1.Person) { p.Identity.BirthDate = "2013" }), "person.identity.birth_date", "person-age"},
		{"arrest by summons", func(a *karaulav1.Alert) {
			a.Actions = []karaulav1.Action{karaulav1.Action_ACTION_SUMMON}
		}, "actions", "person-actions"},
		{"two checks", func(a *karaulav1.Alert) {
			a.GetPerson().Reason = karaulav1.PersonReason_PERSON_REASON_CHECK
			a.Actions = []karaulav1.Action{karaulav1.Action_ACTION_DISCREET_CHECK, karaulav1.Action_ACTION_SPECIFIC_CHECK}
		}, "actions", "person-actions"},
		{"digit of no telephone", p(func(p *karaulav1.Person) {
			p.Imeis = []string{"490154203237518", "490154203237517"}
		}), "person.imeis[1]", "imei-check-digit"},
	})
	warn(t, "person", []breach{
		{"16 years old", p(func(p *karaulav1.Person) {
			p.Identity.BirthDate = "2010"
		}), "person.identity.birth_date", "person-child"},
		{"a month", p(func(p *karaulav1.Person) {
			p.Warrant.MaxPenaltyMonths = 1
		}), "person.warrant.max_penalty_months", "warrant-penalty"},
	})
	pass(t, "person", map[string]func(a *karaulav1.Alert){
		"14 years old": p(func(p *karaulav1.Person) {
			p.Identity.BirthDate = now.AddDate(-14, 0, 0).Format(time.DateOnly)
		}),
		"IMEI as networks send it": p(func(p *karaulav1.Person) { p.Imeis = []string{"490154203237510"} }),
		"missing child": func(a *karaulav1.Alert) {
			a.Actions = []karaulav1.Action{karaulav1.Action_ACTION_LOCATE}
			a.GetPerson().Reason, a.GetPerson().Identity.BirthDate = karaulav1.PersonReason_PERSON_REASON_MISSING, "2020"
		},
	})
}

func TestRequestRules(t *testing.T) {
	t.Parallel()
	r := func(do func(r *karaulav1.Request)) func(a *karaulav1.Alert) {
		return func(a *karaulav1.Alert) { do(a.GetRequest()) }
	}
	run(t, "request", []breach{
		{
			"two subjects in one",
			r(func(r *karaulav1.Request) { r.Subjects[0].FirearmSerial = "TEST" }), "request.subjects[0]", "message.oneof",
		},
		{"another kind", r(func(r *karaulav1.Request) {
			r.Kind = karaulav1.QuestionKind_QUESTION_KIND_FIREARM
		}), "request.subjects", "request-kind"},
		{"person of no status", r(func(r *karaulav1.Request) {
			r.Kind = karaulav1.QuestionKind_QUESTION_KIND_PERSON
		}), "request", "request-subject-status"},
		{"no reasons", r(func(r *karaulav1.Request) { r.Reasons = "" }), "request.reasons", "string.min-len"},
		{"no case", func(a *karaulav1.Alert) { a.CaseReference = "" }, "case_reference", "request-grounds"},
		{"no offence", func(a *karaulav1.Alert) { a.Offences = nil }, "offences", "request-grounds"},
	})
	pass(t, "request", map[string]func(a *karaulav1.Alert){"no offence, but missing": func(a *karaulav1.Alert) {
		a.Offences, a.GetRequest().SubjectStatus = nil, karaulav1.SubjectStatus_SUBJECT_STATUS_MISSING
	}})
	warn(t, "request", []breach{{
		"tomorrow",
		func(a *karaulav1.Alert) { a.ReplyDue = micros(now.AddDate(0, 0, 1)) }, "reply_due", "request-due",
	}})
}

func TestAnswerRules(t *testing.T) {
	t.Parallel()
	n := func(do func(n *karaulav1.Answer)) func(a *karaulav1.Alert) {
		return func(a *karaulav1.Alert) { do(a.GetAnswer()) }
	}
	run(t, "answer", []breach{
		{"refused without ground", n(func(n *karaulav1.Answer) {
			n.State = karaulav1.AnswerState_ANSWER_STATE_REFUSED
		}), "answer", "answer-ground"},
		{"deferred to no day", n(func(n *karaulav1.Answer) {
			n.State = karaulav1.AnswerState_ANSWER_STATE_DEFERRED
		}), "answer", "answer-new-due"},
		{"deferred to yesterday", n(func(n *karaulav1.Answer) {
			n.State, n.NewDue, n.Plates = karaulav1.AnswerState_ANSWER_STATE_DEFERRED, micros(now.AddDate(0, 0, -1)), nil
		}), "answer.new_due", "answer-new-due"},
		{"answered with nothing", n(func(n *karaulav1.Answer) { n.Text, n.Plates = "", nil }), "answer.text", "answer-empty"},
		{"nothing, and told", n(func(n *karaulav1.Answer) {
			n.State = karaulav1.AnswerState_ANSWER_STATE_NO_DATA
		}), "answer.state", "answer-tells"},
	})
}

func TestHitRules(t *testing.T) {
	t.Parallel()
	h := func(do func(h *karaulav1.Hit)) func(a *karaulav1.Alert) {
		return func(a *karaulav1.Alert) { do(a.GetHit()) }
	}
	run(t, "hit", []breach{
		{"not executed for no reason", h(func(h *karaulav1.Hit) {
			h.Measure = karaulav1.HitMeasure_HIT_MEASURE_NOT_EXECUTED
		}), "hit", "hit-not-executed"},
		{"confirmed by nobody", h(func(h *karaulav1.Hit) { h.ConfirmedBy = 0 }), "hit.confirmed_by", "enum.not-in"},
		{"seized, but false", h(func(h *karaulav1.Hit) { h.FalseHit = true }), "hit.measure", "hit-false"},
		{"seized as possible", h(func(h *karaulav1.Hit) {
			h.Quality = karaulav1.MatchQuality_MATCH_QUALITY_POSSIBLE
		}), "hit.quality", "hit-quality"},
		{"plate of none", h(func(h *karaulav1.Hit) { h.Plates = nil }), "hit.plates", "hit-plate"},
		{"more named than there", func(a *karaulav1.Alert) {
			a.DataSubjectCategories = []karaulav1.DataSubject{karaulav1.DataSubject_DATA_SUBJECT_OTHER}
			who := &karaulav1.InvolvedPerson{
				Role: karaulav1.PersonRole_PERSON_ROLE_COMPANION, Identity: &karaulav1.Identity{Surname: "TESTOVIC"},
			}
			a.GetHit().Persons = []*karaulav1.InvolvedPerson{who, who}
		}, "hit.occupants", "hit-occupants"},
		{"hit on itself", func(a *karaulav1.Alert) { a.Id = a.GetHit().GetAlertId() }, "hit.alert_id", "hit-itself"},
	})
	warn(t, "hit", []breach{
		{"name alone", h(func(h *karaulav1.Hit) {
			h.Basis = karaulav1.MatchBasis_MATCH_BASIS_NAME
		}), "hit.quality", "hit-name"},
		{"seized by nobody", h(func(h *karaulav1.Hit) { h.Custody = "" }), "hit.custody", "hit-custody"},
	})
	pass(t, "hit", map[string]func(a *karaulav1.Alert){"false hit": h(func(h *karaulav1.Hit) {
		h.FalseHit, h.Measure = true, karaulav1.HitMeasure_HIT_MEASURE_CHECKED
	})})
}
