package alert_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"karaula/internal/alert"
	"karaula/internal/problem"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// has reports whether findings hold one for this field and rule.
func has(fs alert.Findings, field, rule string, s alert.Severity) bool {
	return slices.ContainsFunc(fs, func(f alert.Finding) bool {
		return f.Field == field && f.Rule == rule && f.Severity == s
	})
}

// breach is one way to break an example alert.
type breach struct {
	name        string
	do          func(a *karaulav1.Alert)
	field, rule string
}

// run breaks the example of a name in every way, and looks for exactly the
// finding that should come of it.
func run(t *testing.T, base string, breaches []breach) {
	t.Helper()
	for _, b := range breaches {
		t.Run(base+": "+b.name, func(t *testing.T) {
			t.Parallel()
			a := example(t, base)
			if err := alert.Validate(a, now).Err(); err != nil {
				t.Fatalf("the example is broken already: %v", err)
			}
			b.do(a)
			fs := alert.Validate(a, now)
			if !has(fs, b.field, b.rule, alert.Error) {
				t.Errorf("no finding for %s [%s]; found %v", b.field, b.rule, fs)
			}
			if code := fs.Code(); code != karaulav1.Code_CODE_INVALID_CONTENT {
				t.Errorf("code is %v", code)
			}
			if err := fs.Err(); !problem.Is(err, problem.Invalid) {
				t.Errorf("error is %v", err)
			}
		})
	}
}

func micros(t time.Time) int64 { return t.UnixMicro() }

func TestCommonRules(t *testing.T) {
	t.Parallel()
	run(t, "vehicle", []breach{
		{
			"details of another type",
			func(a *karaulav1.Alert) { a.Type = karaulav1.AlertType_ALERT_TYPE_ROUTE }, "", "type-details",
		},
		{"no details", func(a *karaulav1.Alert) { a.Details = nil }, "", "type-details"},
		{
			"id of version 4",
			func(a *karaulav1.Alert) { a.Id = "01900000-0000-4000-8000-000000000000" }, "id", "string.pattern",
		},
		{
			"id in capitals",
			func(a *karaulav1.Alert) { a.Id = "0190000A-0000-7000-8000-00000000000A" }, "id", "string.pattern",
		},
		{"create of version 2", func(a *karaulav1.Alert) { a.Version = 2 }, "", "lifecycle-version"},
		{
			"update of version 1",
			func(a *karaulav1.Alert) { a.Lifecycle = karaulav1.Lifecycle_LIFECYCLE_UPDATE }, "", "lifecycle-version",
		},
		{
			"withdrawal with content",
			func(a *karaulav1.Alert) { a.Lifecycle = karaulav1.Lifecycle_LIFECYCLE_WITHDRAW }, "", "withdraw-bare",
		},
		{
			"withdrawal with details",
			func(a *karaulav1.Alert) { a.Lifecycle = karaulav1.Lifecycle_LIFECYCLE_WITHDRAW }, "", "type-details",
		},
		{
			"extension without assessment",
			func(a *karaulav1.Alert) { a.Version, a.Lifecycle = 2, karaulav1.Lifecycle_LIFECYCLE_EXTEND }, "", "assessment",
		},
		{"assessment of nothing", func(a *karaulav1.Alert) { a.Assessment = "Why" }, "", "assessment"},
		{
			"no such lifecycle",
			func(a *karaulav1.Alert) { a.Lifecycle = 99 }, "lifecycle", "enum.defined-only",
		},
		{"no authority", func(a *karaulav1.Alert) { a.Authority = "" }, "authority", "string.min-len"},
		{"no legal basis", func(a *karaulav1.Alert) { a.LegalBasis = nil }, "legal_basis", "repeated.min-items"},
		{"no purpose", func(a *karaulav1.Alert) { a.Purpose = 0 }, "purpose", "enum.not-in"},
		{
			"unknown offence",
			func(a *karaulav1.Alert) { a.Offences = []karaulav1.Offence{99} }, "offences[0]", "enum.defined-only",
		},
		{"no handling", func(a *karaulav1.Alert) { a.Handling = 0 }, "handling", "enum.not-in"},
		{"H3 without text", func(a *karaulav1.Alert) { a.Handling = karaulav1.Handling_HANDLING_H3 }, "", "handling-text"},
		{"text without H3", func(a *karaulav1.Alert) { a.HandlingText = "not to customs" }, "", "handling-text"},
		{
			"urgent without reason",
			func(a *karaulav1.Alert) { a.Urgency = karaulav1.Urgency_URGENCY_URGENT }, "", "urgency-reason",
		},
		{"no action", func(a *karaulav1.Alert) { a.Actions = nil }, "", "actions-of-type"},
		{"action of another type", func(a *karaulav1.Alert) {
			a.Actions = []karaulav1.Action{karaulav1.Action_ACTION_ARREST}
		}, "", "actions-of-type"},
		{"action twice", func(a *karaulav1.Alert) {
			a.Actions = []karaulav1.Action{karaulav1.Action_ACTION_SEIZE, karaulav1.Action_ACTION_SEIZE}
		}, "actions", "repeated.unique"},
		{
			"event in the future",
			func(a *karaulav1.Alert) { a.EventTime = micros(now.Add(time.Hour)) }, "event_time", "time-future",
		},
		{"negative time", func(a *karaulav1.Alert) { a.EventTime = -1 }, "event_time", "int64.gte"},
		{"expired", func(a *karaulav1.Alert) { a.Expires = micros(now) }, "expires", "expires-past"},
		{"expires before it is valid", func(a *karaulav1.Alert) {
			a.ValidFrom, a.Expires = micros(now.AddDate(0, 2, 0)), micros(now.AddDate(0, 1, 0))
		}, "", "expires-after"},
		{"kept too long", func(a *karaulav1.Alert) { a.Expires = micros(now.AddDate(10, 0, 1)) }, "expires", "expires-late"},
		{
			"valid in the far future",
			func(a *karaulav1.Alert) { a.ValidFrom = micros(now.AddDate(16, 0, 0)) }, "valid_from", "time-far",
		},
		{"review after the end", func(a *karaulav1.Alert) {
			a.Expires, a.ReviewDue = micros(now.AddDate(1, 0, 0)), micros(now.AddDate(2, 0, 0))
		}, "", "review-before"},
		{
			"review after any end",
			func(a *karaulav1.Alert) { a.ReviewDue = micros(now.AddDate(11, 0, 0)) }, "review_due", "review-late",
		},
		{
			"reply due before it is said",
			func(a *karaulav1.Alert) { a.ReplyDue = micros(now.Add(-time.Hour)) }, "reply_due", "reply-past",
		},
		{
			"location without anything",
			func(a *karaulav1.Alert) { a.Locations = []*karaulav1.Location{{}} }, "locations[0]", "location-named",
		},
		{
			"point and line",
			func(a *karaulav1.Alert) { a.Locations[0].Line = &karaulav1.Line{} }, "locations[0]", "message.oneof",
		},
		{
			"point without longitude",
			func(a *karaulav1.Alert) { a.Locations[0].Point.Lon = nil }, "locations[0].point.lon", "required",
		},
		{
			"point beyond the pole",
			func(a *karaulav1.Alert) { a.Locations[0].Point.Lat = new(90.1) },
			"locations[0].point.lat", "double.gte-lte",
		},
		{
			"no UN/LOCODE",
			func(a *karaulav1.Alert) { a.Locations[0].Unlocode = "AL TIA" }, "locations[0].unlocode", "string.pattern",
		},
		{"link to nothing", func(a *karaulav1.Alert) {
			a.Links = []*karaulav1.Link{{Relation: karaulav1.LinkRelation_LINK_RELATION_SAME_EVENT}}
		}, "links[0].alert_id", "string.uuid-empty"},
		{"short digest", func(a *karaulav1.Alert) {
			a.Attachments = []*karaulav1.Attachment{{Digest: make([]byte, 31), Media: "image/png", Size: 1}}
		}, "attachments[0].digest", "bytes.len"},
		{
			"language in words",
			func(a *karaulav1.Alert) { a.Texts[0].Language = "English" }, "texts[0].language", "string.pattern",
		},
		{"language twice", func(a *karaulav1.Alert) { a.Texts[1].Language = "en" }, "texts[1].language", "text-language"},
		{"no contact", func(a *karaulav1.Alert) { a.Contact = nil }, "contact", "required"},
		{
			"phone without country",
			func(a *karaulav1.Alert) { a.Contact.Phone = "069000000" }, "contact.phone", "string.pattern",
		},
		{
			"nobody's personal data",
			func(a *karaulav1.Alert) { a.DataSubjectCategories = nil }, "data_subject_categories", "data-subject",
		},
		{"control character", func(a *karaulav1.Alert) { a.Unit = "a\x1bb" }, "unit", "text"},
		{"line feed in one line", func(a *karaulav1.Alert) { a.Unit = "a\nb" }, "unit", "text"},
		{"bidirectional control", func(a *karaulav1.Alert) { a.Texts[0].Text = "a\u202eb" }, "texts[0].text", "text"},
		{
			"zero width",
			func(a *karaulav1.Alert) { a.GetVehicle().Owner.Surname = "TEST\u200bOVIC" }, "vehicle.owner.surname", "text",
		},
		{
			"not composed",
			func(a *karaulav1.Alert) { a.GetVehicle().Owner.Surname = "c\u030c" }, "vehicle.owner.surname", "text",
		},
		{
			"text too long",
			func(a *karaulav1.Alert) { a.Texts[0].Text = strings.Repeat("ë", 4001) }, "texts[0].text", "string.max-len",
		},
	})
}

func TestVehicleRules(t *testing.T) {
	t.Parallel()
	v := func(f func(v *karaulav1.Vehicle)) func(a *karaulav1.Alert) {
		return func(a *karaulav1.Alert) { f(a.GetVehicle()) }
	}
	run(t, "vehicle", []breach{
		{
			"nothing to know it by",
			v(func(v *karaulav1.Vehicle) { v.Vin, v.Plates, v.EngineNumber = "", nil, "" }), "vehicle", "vehicle-named",
		},
		{"VIN with O", v(func(v *karaulav1.Vehicle) { v.Vin = "ZZZTESTO1Z0000000" }), "vehicle.vin", "string.pattern"},
		{"VIN of 16", v(func(v *karaulav1.Vehicle) { v.Vin = "ZZZTEST01Z000000" }), "vehicle.vin", "string.pattern"},
		{
			"plate in small letters",
			v(func(v *karaulav1.Vehicle) { v.Plates[0].Number = "zz 000" }), "vehicle.plates[0].number", "string.pattern",
		},
		{
			"plate of no country",
			v(func(v *karaulav1.Vehicle) { v.Plates[0].Country = "" }), "vehicle.plates[0].country", "string.pattern",
		},
		{"false plates without plates", v(func(v *karaulav1.Vehicle) {
			v.Reason, v.Plates = karaulav1.VehicleReason_VEHICLE_REASON_FALSE_PLATES, nil
		}), "vehicle", "vehicle-false-plates"},
		{
			"theft that ends before it begins",
			v(func(v *karaulav1.Vehicle) { v.TheftUntil = v.GetTheftFrom() - 1 }), "vehicle", "vehicle-theft-interval",
		},
		{"year to come", v(func(v *karaulav1.Vehicle) { v.Year = 2028 }), "vehicle.year", "year"},
		{
			"no such day",
			v(func(v *karaulav1.Vehicle) { v.FirstRegistration = "2026-02-30" }), "vehicle.first_registration", "date",
		},
		{
			"container",
			v(func(v *karaulav1.Vehicle) { v.Containers = []string{"TESA3054383"} }), "vehicle.containers[0]", "string.pattern",
		},
		{"owner without a name", v(func(v *karaulav1.Vehicle) {
			v.Owner = &karaulav1.Identity{Phones: []string{"+355000000001"}}
		}), "vehicle.owner", "identity-named"},
		{
			"last seen nowhere",
			v(func(v *karaulav1.Vehicle) { v.LastSeen.Location = nil }), "vehicle.last_seen.location", "required",
		},
		{
			"last seen tomorrow",
			v(func(v *karaulav1.Vehicle) { v.LastSeen.Time = micros(now.Add(time.Hour)) }),
			"vehicle.last_seen.time", "time-future",
		},
	})
}

func TestVehicleWarnings(t *testing.T) {
	t.Parallel()
	a := example(t, "vehicle")
	v := a.GetVehicle()
	v.Vin, v.Containers, v.TheftFrom, v.TheftUntil = "1M8GDM9AXKP042789", []string{"CSQU3054384"}, 0, 0
	fs := alert.Validate(a, now)
	for field, rule := range map[string]string{
		"vehicle.vin": "vin-check-digit", "vehicle.containers[0]": "container-check-digit",
		"vehicle.theft_from": "theft-time",
	} {
		if !has(fs, field, rule, alert.Warning) {
			t.Errorf("no warning for %s; found %v", field, fs)
		}
	}
	if fs.Err() != nil || len(fs.Warnings()) != 3 {
		t.Errorf("found %v, want three warnings and no error", fs)
	}
	v.Vin, v.Containers = "1M8GDM9AXKP042788", []string{"CSQU3054383"}
	if fs := alert.Validate(a, now); len(fs) != 1 {
		t.Errorf("check digits that fit: found %v", fs)
	}
}

func TestRouteRules(t *testing.T) {
	t.Parallel()
	run(t, "route", []breach{
		{
			"no commodity",
			func(a *karaulav1.Alert) { a.GetRoute().Commodities = nil }, "route.commodities", "repeated.min-items",
		},
		{"goods without code", func(a *karaulav1.Alert) {
			a.GetRoute().Commodities[0] = &karaulav1.Commodity{Kind: karaulav1.CommodityKind_COMMODITY_KIND_GOODS}
		}, "route.commodities[0]", "commodity-hs-code"},
		{"cash without currency", func(a *karaulav1.Alert) {
			a.GetRoute().Commodities[0] = &karaulav1.Commodity{Kind: karaulav1.CommodityKind_COMMODITY_KIND_CASH}
		}, "route.commodities[0]", "commodity-currency"},
		{"no line", func(a *karaulav1.Alert) { a.GetRoute().Lines = nil }, "route.lines", "repeated.min-items"},
		{"line of one position", func(a *karaulav1.Alert) {
			l := a.GetRoute().GetLines()[0]
			l.Positions = l.GetPositions()[:1]
		}, "route.lines[0].positions", "repeated.min-items"},
		{"open ring", func(a *karaulav1.Alert) {
			r := a.GetLocations()[1].GetArea()
			r.Ring = r.GetRing()[:4]
		}, "locations[1].area", "ring-closed"},
		{
			"seen last before first",
			func(a *karaulav1.Alert) { a.GetRoute().LastSeen = a.GetRoute().GetFirstSeen() - 1 }, "route", "route-seen",
		},
		{"window that ends first", func(a *karaulav1.Alert) {
			w := a.GetRoute().GetWaypoints()[0]
			w.From, w.Until = micros(now), micros(now)-1
		}, "route.waypoints[0]", "waypoint-window"},
		{
			"rule of no recurrence",
			func(a *karaulav1.Alert) { a.GetRoute().Schedule = "every Thursday" }, "route.schedule", "string.pattern",
		},
		{"no confidence", func(a *karaulav1.Alert) { a.GetRoute().Confidence = nil }, "route.confidence", "required"},
		{
			"longer than a year",
			func(a *karaulav1.Alert) { a.Expires = micros(now.AddDate(1, 0, 1)) }, "expires", "expires-late",
		},
		{"special category", func(a *karaulav1.Alert) { a.SpecialCategory = true }, "special_category", "never-personal"},
		{"whose data", func(a *karaulav1.Alert) {
			a.DataSubjectCategories = []karaulav1.DataSubject{karaulav1.DataSubject_DATA_SUBJECT_SUSPECT}
		}, "data_subject_categories", "never-personal"},
		{"attachment", func(a *karaulav1.Alert) {
			a.Attachments = []*karaulav1.Attachment{{Digest: make([]byte, 32), Media: "image/png", Size: 1}}
		}, "attachments", "never-personal"},
	})
}

func TestTraffickingRules(t *testing.T) {
	t.Parallel()
	tr := func(f func(v *karaulav1.Trafficking)) func(a *karaulav1.Alert) {
		return func(a *karaulav1.Alert) { f(a.GetTrafficking()) }
	}
	run(t, "trafficking", []breach{
		{"no act", tr(func(v *karaulav1.Trafficking) { v.Acts = nil }), "trafficking.acts", "repeated.min-items"},
		{"no purpose", tr(func(v *karaulav1.Trafficking) { v.Purposes = nil }), "trafficking.purposes", "repeated.min-items"},
		{"no means and no child", tr(func(v *karaulav1.Trafficking) {
			v.Means, v.Victims[0].Child, v.Victims[0].AgeBand = nil, false, 0
		}), "trafficking", "trafficking-means"},
		{
			"no means and no victim",
			tr(func(v *karaulav1.Trafficking) { v.Means, v.Victims = nil, nil }), "trafficking", "trafficking-means",
		},
		{"child of 30", tr(func(v *karaulav1.Trafficking) {
			v.Victims[0].AgeBand = karaulav1.AgeBand_AGE_BAND_25_TO_39
		}), "trafficking.victims[0]", "victim-adult"},
		{
			"adult of 13",
			tr(func(v *karaulav1.Trafficking) { v.Victims[0].Child = false }), "trafficking.victims[0]", "victim-child",
		},
		{
			"child without guardian",
			tr(func(v *karaulav1.Trafficking) { v.Referral.GuardianNeeded = false }), "trafficking", "trafficking-guardian",
		},
		{"more names than victims", tr(func(v *karaulav1.Trafficking) {
			v.Victims[0].Count = 1
			v.Victims[0].Identities = []*karaulav1.Identity{{Surname: "TESTOVA"}, {Surname: "PRIMEROVA"}}
		}), "trafficking.victims[0]", "victim-identities"},
		{"actual, decided by nobody", tr(func(v *karaulav1.Trafficking) {
			v.Status = karaulav1.TraffickingStatus_TRAFFICKING_STATUS_ACTUAL
		}), "trafficking", "trafficking-decided-by"},
		{"no safety", tr(func(v *karaulav1.Trafficking) { v.Safety = nil }), "trafficking.safety", "required"},
	})
}

// TestChildRule: Palermo Protocol, Art. 3(c).
func TestChildRule(t *testing.T) {
	t.Parallel()
	a := example(t, "trafficking")
	a.GetTrafficking().Means = nil
	if err := alert.Validate(a, now).Err(); err != nil {
		t.Errorf("no means are needed where a victim is a child: %v", err)
	}
}

func TestPatrolRules(t *testing.T) {
	t.Parallel()
	p := func(f func(v *karaulav1.Patrol)) func(a *karaulav1.Alert) {
		return func(a *karaulav1.Alert) { f(a.GetPatrol()) }
	}
	run(t, "patrol", []breach{
		{"ends first", p(func(v *karaulav1.Patrol) { v.Ends = v.GetBegins() }), "patrol", "patrol-times"},
		{"one side", p(func(v *karaulav1.Patrol) { v.Sides = v.GetSides()[:1] }), "patrol.sides", "patrol-sides"},
		{"side twice", p(func(v *karaulav1.Patrol) { v.Sides[1].Party = "mk" }), "patrol", "patrol-parties"},
		{
			"no host",
			p(func(v *karaulav1.Patrol) { v.Sides[0].Role = karaulav1.PatrolRole_PATROL_ROLE_VISITOR }), "patrol", "patrol-host",
		},
		{
			"report of a proposal",
			p(func(v *karaulav1.Patrol) { v.Report = &karaulav1.PatrolReport{} }), "patrol", "patrol-report",
		},
		{
			"evaluated without report",
			p(func(v *karaulav1.Patrol) { v.Stage = karaulav1.PatrolStage_PATROL_STAGE_EVALUATED }), "patrol", "patrol-report",
		},
		{
			"deconfliction of nothing",
			p(func(v *karaulav1.Patrol) { v.Kind = karaulav1.PatrolKind_PATROL_KIND_DECONFLICTION }),
			"patrol", "patrol-keep-away",
		},
		{
			"no officers",
			p(func(v *karaulav1.Patrol) { v.Sides[0].Staff = nil }), "patrol.sides[0].staff", "repeated.min-items",
		},
		{
			"meeting after the end",
			p(func(v *karaulav1.Patrol) { v.Rendezvous[1].Time = v.GetEnds() + 1 }),
			"patrol.rendezvous[1].time", "patrol-rendezvous",
		},
		{"no area", p(func(v *karaulav1.Patrol) { v.Area = nil }), "patrol.area", "required"},
		{"kept too long", func(a *karaulav1.Alert) {
			a.Expires = micros(time.UnixMicro(a.GetPatrol().GetEnds()).AddDate(0, 0, 91))
		}, "expires", "expires-late"},
		{
			"service numbers of nobody",
			p(func(v *karaulav1.Patrol) { v.Sides[0].ServiceNumbers = []string{"TEST-0"} }),
			"data_subject_categories", "data-subject",
		},
	})
}

func TestNoAlertIsAFinding(t *testing.T) {
	t.Parallel()
	if alert.Validate(nil, now).Err() == nil || alert.Check(nil, alert.Limits{}, now).Err() == nil {
		t.Error("no alert passes")
	}
	if alert.Validate(&karaulav1.Alert{}, now).Err() == nil {
		t.Error("an empty alert passes")
	}
	if alert.PersonalData(nil) != nil || alert.Type(nil) != 0 || alert.UrgencyWord(0) != "" {
		t.Error("no alert has something in it")
	}
}

// TestReceiverAgrees: what the sender may say now, the receiver takes when it
// was said a moment later.
func TestReceiverAgrees(t *testing.T) {
	t.Parallel()
	for _, name := range exampleNames(t) {
		if err := alert.Validate(example(t, name), now.Add(time.Second)).Err(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
