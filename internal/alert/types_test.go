package alert_test

import (
	"testing"
	"time"

	"karaula/internal/alert"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// warn changes the example of a name in every way, and looks for the warning
// that should come of it, and for no error.
func warn(t *testing.T, base string, cases []breach) {
	t.Helper()
	for _, b := range cases {
		t.Run(base+": "+b.name, func(t *testing.T) {
			t.Parallel()
			a := example(t, base)
			if has(alert.Validate(a, now), b.field, b.rule, alert.Warning) {
				t.Fatal("the example is warned of already")
			}
			b.do(a)
			if fs := alert.Validate(a, now); fs.Err() != nil || !has(fs, b.field, b.rule, alert.Warning) {
				t.Errorf("no warning for %s [%s], or an error; found %v", b.field, b.rule, fs)
			}
		})
	}
}

// pass changes the example of a name in every way, and looks for no error.
func pass(t *testing.T, base string, cases map[string]func(a *karaulav1.Alert)) {
	t.Helper()
	for name, do := range cases {
		t.Run(base+": "+name, func(t *testing.T) {
			t.Parallel()
			a := example(t, base)
			do(a)
			if err := alert.Validate(a, now).Err(); err != nil {
				t.Error(err)
			}
		})
	}
}

func positions(latLon ...float64) (out []*karaulav1.Position) {
	for i := 0; i < len(latLon); i += 2 {
		out = append(out, &karaulav1.Position{Lat: &latLon[i], Lon: &latLon[i+1]})
	}
	return out
}

func TestPlaces(t *testing.T) {
	t.Parallel()
	ring := func(latLon ...float64) func(a *karaulav1.Alert) {
		return func(a *karaulav1.Alert) { a.GetLocations()[1].GetArea().Ring = positions(latLon...) }
	}
	run(t, "route", []breach{
		{"surface of nothing", ring(42, 19, 42, 20, 42, 21, 42, 19), "locations[1].area.ring", "ring-flat"},
		{"one place four times", ring(42, 19, 42, 19, 42, 19, 42, 19), "locations[1].area.ring", "ring-flat"},
		{"bow", ring(42, 19, 43, 21, 43, 19, 42, 20, 42, 19), "locations[1].area.ring", "ring-crosses"},
	})
	pass(t, "route", map[string]func(a *karaulav1.Alert){
		"triangle":  ring(42, 19, 43, 20, 42, 20, 42, 19),
		"clockwise": ring(42, 19, 43, 19, 43, 20, 42, 20, 42, 19),
		"concave":   ring(42, 19, 43, 19, 42.5, 19.5, 43, 20, 42, 20, 42, 19),
	})
	warn(t, "vehicle", []breach{{
		"another country's harbour",
		func(a *karaulav1.Alert) { a.Locations[0].Unlocode = "MEBAR" }, "locations[0].unlocode", "location-country",
	}})
}

func TestPlateForms(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		country, number, sign string
		rule                  string
	}{
		{country: "AL", number: "ZZ 000 ZZ", sign: "AL"},
		{country: "AL", number: "Z00-Z-000", rule: "plate-form"},
		{country: "BA", number: "Z00-Z-000", sign: "BIH"},
		{country: "BA", number: "000-Z-000"},
		{country: "BA", number: "ZZ 000 ZZ", rule: "plate-form"},
		{country: "XK", number: "01-000-ZZ", sign: "RKS"},
		{country: "XK", number: "000-KS-000", sign: "KS"},
		{country: "XK", number: "08-000-ZZ", rule: "plate-form"},
		{country: "MK", number: "ZZ 0000 ZZ", sign: "NMK"},
		{country: "MK", number: "ZZ-000-ZZ", sign: "MK"},
		{country: "MK", number: "ZZ 00 ZZ", rule: "plate-form"},
		{country: "ME", number: "ZZ ZZ000", sign: "MNE"},
		{country: "ME", number: "ZZ 000 ZZ", rule: "plate-form"},
		{country: "RS", number: "ZZ 000-ZZ", sign: "SRB"},
		{country: "RS", number: "ŠŽ 0000-ЋЋ", sign: "SRB"},
		{country: "RS", number: "Z 000", rule: "plate-form"},
		{country: "RS", number: "ZZ 000-ZZ", sign: "RKS", rule: "plate-sign"},
		{country: "ZZ", number: "0", sign: "ZZZ"},
	} {
		a := example(t, "vehicle-urgent")
		a.GetVehicle().Plates = []*karaulav1.Plate{{Number: c.number, Country: c.country, SignAsPrinted: c.sign}}
		fs := alert.Validate(a, now)
		if c.rule == "" && len(fs) != 0 || c.rule != "" && (len(fs) != 1 || fs[0].Rule != c.rule) || fs.Err() != nil {
			t.Errorf("%s %s %s: found %v, want %q", c.country, c.number, c.sign, fs, c.rule)
		}
	}
	run(t, "hit", []breach{{
		"plate of nothing",
		func(a *karaulav1.Alert) { a.GetHit().Plates[0].Number = "Ⅷ" }, "hit.plates[0].number", "string.pattern",
	}})
}

func TestVehicleReasons(t *testing.T) {
	t.Parallel()
	discreet := func(a *karaulav1.Alert) {
		a.GetVehicle().Reason = karaulav1.VehicleReason_VEHICLE_REASON_DISCREET_CHECK
	}
	run(t, "vehicle", []breach{{"discreet stop", discreet, "actions", "vehicle-discreet"}})
	pass(t, "vehicle", map[string]func(a *karaulav1.Alert){"discreet report": func(a *karaulav1.Alert) {
		discreet(a)
		a.Actions = []karaulav1.Action{karaulav1.Action_ACTION_DISCREET_REPORT}
	}})
	warn(t, "vehicle", []breach{{
		"registered before it was built",
		func(a *karaulav1.Alert) { a.GetVehicle().FirstRegistration = "2015" }, "vehicle.first_registration", "vehicle-dates",
	}})
}

func TestTraffickingSubjects(t *testing.T) {
	t.Parallel()
	run(t, "trafficking", []breach{
		{"victims who are none", func(a *karaulav1.Alert) {
			a.DataSubjectCategories = []karaulav1.DataSubject{karaulav1.DataSubject_DATA_SUBJECT_SUSPECT}
		}, "data_subject_categories", "trafficking-subjects"},
		{"prevented by nobody's decision", func(a *karaulav1.Alert) {
			a.Actions, a.CaseReference = append(a.Actions, karaulav1.Action_ACTION_PREVENT_TRAVEL), ""
		}, "case_reference", "prevent-travel"},
	})
	warn(t, "trafficking", []breach{
		{
			"not apart", func(a *karaulav1.Alert) { a.GetTrafficking().Safety.Separate = false },
			"trafficking.safety.separate", "trafficking-separate",
		},
		{"industry of no labour", func(a *karaulav1.Alert) {
			a.GetTrafficking().Purposes = []karaulav1.TraffickingPurpose{
				karaulav1.TraffickingPurpose_TRAFFICKING_PURPOSE_ORGAN_REMOVAL,
			}
		}, "trafficking.industry", "trafficking-industry"},
	})
}

func TestFirearmRules(t *testing.T) {
	t.Parallel()
	f := func(do func(f *karaulav1.Firearm)) func(a *karaulav1.Alert) {
		return func(a *karaulav1.Alert) { do(a.GetFirearm()) }
	}
	run(t, "firearm", []breach{
		{"no serial", f(func(f *karaulav1.Firearm) { f.Serial = "" }), "firearm", "firearm-serial"},
		{"serial of nothing", f(func(f *karaulav1.Firearm) { f.Serial = "--" }), "firearm.serial", "serial"},
		{"barrel with a silencer", f(func(f *karaulav1.Firearm) {
			f.Kind, f.Silencer = karaulav1.FirearmKind_FIREARM_KIND_BARREL, true
		}), "firearm.kind", "firearm-part"},
		{"stolen before it was made", f(func(f *karaulav1.Firearm) { f.Year = 2027 }), "firearm.incident_time", "firearm-dates"},
		{"made in the future", f(func(f *karaulav1.Firearm) { f.Year = 2028 }), "firearm.year", "year"},
		{"traced by nobody", func(a *karaulav1.Alert) {
			a.Actions = []karaulav1.Action{karaulav1.Action_ACTION_TRACE}
		}, "firearm.trace_to", "firearm-trace"},
		{"asked, but for nothing", f(func(f *karaulav1.Firearm) { f.TraceTo = "AL" }), "actions", "firearm-trace"},
		{"seized twice", f(func(f *karaulav1.Firearm) {
			f.Status = karaulav1.FirearmStatus_FIREARM_STATUS_RECOVERED
		}), "actions", "firearm-recovered"},
	})
	warn(t, "firearm", []breach{
		{"defaced", f(func(f *karaulav1.Firearm) { f.SerialDefaced = true }), "firearm.serial", "serial-defaced"},
		{"nothing to know it by", f(func(f *karaulav1.Firearm) {
			f.Serial, f.SerialDefaced, f.Marks = "", true, nil
		}), "firearm.marks", "firearm-unknowable"},
		{"stolen some time", f(func(f *karaulav1.Firearm) { f.IncidentTime = 0 }), "firearm.incident_time", "firearm-loss"},
	})
	pass(t, "firearm", map[string]func(a *karaulav1.Alert){
		"part":    f(func(f *karaulav1.Firearm) { f.Kind = karaulav1.FirearmKind_FIREARM_KIND_SLIDE }),
		"defaced": f(func(f *karaulav1.Firearm) { f.Serial, f.SerialDefaced = "", true }),
		"traced": func(a *karaulav1.Alert) {
			a.Actions, a.GetFirearm().TraceTo = []karaulav1.Action{karaulav1.Action_ACTION_TRACE}, "AL"
		},
	})
}

func TestMigrationRules(t *testing.T) {
	t.Parallel()
	m := func(do func(m *karaulav1.Migration)) func(a *karaulav1.Alert) {
		return func(a *karaulav1.Alert) { do(a.GetMigration()) }
	}
	run(t, "migration", []breach{
		{"more people than all", m(func(m *karaulav1.Migration) { m.Counts.Men = 99 }), "migration.counts", "counts-parts"},
		{"alone, but no children", m(func(m *karaulav1.Migration) {
			m.Counts.Unaccompanied = 3
		}), "migration.counts", "counts-unaccompanied"},
		{"nationalities of more than all", m(func(m *karaulav1.Migration) {
			m.Counts.ByNationality = []*karaulav1.NationalityCount{{Country: "XX", Count: 8}, {Country: "ZZ", Count: 7}}
		}), "migration.counts.by_nationality", "counts-nationalities"},
		{"one nationality twice", m(func(m *karaulav1.Migration) {
			m.Counts.ByNationality = []*karaulav1.NationalityCount{{Country: "XX", Count: 2}, {Country: "XX", Count: 3}}
		}), "migration.counts.by_nationality[1].country", "counts-nationality-twice"},
		{"distress of nobody", m(func(m *karaulav1.Migration) {
			m.Counts = &karaulav1.MigrationCounts{}
		}), "migration.counts.total", "counts-total"},
		{"nothing done", m(func(m *karaulav1.Migration) {
			m.ResponseTaken, m.ResponsePlanned = "", ""
		}), "migration.response_taken", "migration-response"},
		{"nowhere", func(a *karaulav1.Alert) { a.Locations = nil }, "locations", "migration-place"},
		{"at no time", func(a *karaulav1.Alert) { a.EventTime = 0 }, "event_time", "migration-time"},
		{"crossing into the same country", m(func(m *karaulav1.Migration) {
			m.Event, m.ToCountry = karaulav1.MigrationEvent_MIGRATION_EVENT_DETECTED_CROSSING, m.GetFromCountry()
		}), "migration.to_country", "migration-direction"},
		{"holder of a name", func(a *karaulav1.Alert) {
			a.Attachments = []*karaulav1.Attachment{{Digest: make([]byte, 32), Media: "image/png", Size: 1}}
		}, "attachments", "never-personal"},
	})
	warn(t, "migration", []breach{
		{"some not counted", m(func(m *karaulav1.Migration) { m.Counts.Men = 8 }), "migration.counts", "counts-open"},
	})
	a := example(t, "migration")
	for age, late := range map[time.Duration]bool{24 * time.Hour: false, 24*time.Hour + time.Second: true} {
		a.EventTime = micros(now.Add(-age))
		if has(alert.Validate(a, now), "event_time", "migration-late", alert.Warning) != late {
			t.Errorf("told after %s: late is not %v", age, late)
		}
	}
}

func TestPatrolStages(t *testing.T) {
	t.Parallel()
	p := func(do func(p *karaulav1.Patrol)) func(a *karaulav1.Alert) {
		return func(a *karaulav1.Alert) { do(a.GetPatrol()) }
	}
	run(t, "patrol", []breach{
		{"powers of no article", p(func(p *karaulav1.Patrol) { p.PowersBasis = nil }), "patrol.sides[1].powers", "patrol-powers"},
		{"closed from the beginning", p(func(p *karaulav1.Patrol) {
			p.Stage = karaulav1.PatrolStage_PATROL_STAGE_CLOSED
		}), "patrol.stage", "patrol-first"},
		{"evaluated before it begins", func(a *karaulav1.Alert) {
			a.Version, a.Lifecycle = 2, karaulav1.Lifecycle_LIFECYCLE_UPDATE
			a.GetPatrol().Stage = karaulav1.PatrolStage_PATROL_STAGE_EVALUATED
			a.GetPatrol().Report = &karaulav1.PatrolReport{}
		}, "patrol.stage", "patrol-early"},
	})
	warn(t, "patrol", []breach{{
		"visitor without a limit",
		p(func(p *karaulav1.Patrol) { p.Sides[1].DepthLimitM = 0 }), "patrol.sides[1].depth_limit_m", "patrol-depth",
	}})
	words := []string{"proposed", "accepted", "amended", "active", "closed", "evaluated"}
	want := map[string]string{ // from, to what beside itself
		"proposed": "accepted amended closed", "accepted": "amended active closed", "amended": "accepted active closed",
		"active": "amended closed", "closed": "evaluated", "evaluated": "",
	}
	for _, from := range words {
		for _, to := range words {
			before, next := example(t, "patrol"), example(t, "patrol")
			before.GetPatrol().Stage, next.GetPatrol().Stage = stage(t, from), stage(t, to)
			may := from == to || contains(want[from], to)
			if why := wrong(next, before); (why == "") != may {
				t.Errorf("from %s to %s: %q, want allowed %v", from, to, why, may)
			}
		}
	}
}
