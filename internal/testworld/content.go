package testworld

import (
	"golang.org/x/mod/sumdb/note"

	"karaula/internal/agreement"
	"karaula/internal/notice"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Alert gives an invented alert of type vehicle, route or trafficking that
// nothing is wrong with, without personal data. A [Voice] fills in its id.
func Alert(typ karaulav1.AlertType) *karaulav1.Alert {
	a := &karaulav1.Alert{
		Version: 1, Lifecycle: karaulav1.Lifecycle_LIFECYCLE_CREATE, Type: typ,
		Authority: "Invented authority", LegalBasis: []string{"Invented law, Art. 1"},
		Purpose: karaulav1.Purpose_PURPOSE_DETECTION, Handling: karaulav1.Handling_HANDLING_H1,
		Urgency: karaulav1.Urgency_URGENCY_ROUTINE, Contact: &karaulav1.Contact{Point: "Invented duty desk"},
	}
	switch typ { //nolint:exhaustive // three are enough
	case karaulav1.AlertType_ALERT_TYPE_VEHICLE:
		a.Actions = []karaulav1.Action{karaulav1.Action_ACTION_STOP_AND_REPORT}
		a.Details = &karaulav1.Alert_Vehicle{Vehicle: &karaulav1.Vehicle{
			Reason: karaulav1.VehicleReason_VEHICLE_REASON_STOLEN,
			Plates: []*karaulav1.Plate{{Number: "ZZ 000 ZZ", Country: "ZZ"}},
		}}
	case karaulav1.AlertType_ALERT_TYPE_ROUTE:
		a.Details = &karaulav1.Alert_Route{Route: &karaulav1.Route{
			Confidence:  &karaulav1.Confidence{Reliability: 2},
			Commodities: []*karaulav1.Commodity{{Kind: karaulav1.CommodityKind_COMMODITY_KIND_TOBACCO}},
			Lines:       []*karaulav1.Line{{Positions: []*karaulav1.Position{position(42, 19.5), position(42.5, 19.6)}}},
		}}
	case karaulav1.AlertType_ALERT_TYPE_TRAFFICKING:
		a.Actions = []karaulav1.Action{karaulav1.Action_ACTION_IDENTIFY_AND_PROTECT}
		a.Details = &karaulav1.Alert_Trafficking{Trafficking: &karaulav1.Trafficking{
			Acts:     []karaulav1.TraffickingAct{1},
			Means:    []karaulav1.TraffickingMeans{1},
			Purposes: []karaulav1.TraffickingPurpose{1},
			Status:   karaulav1.TraffickingStatus_TRAFFICKING_STATUS_POSSIBLE,
			Safety:   &karaulav1.Safety{DoNotConfront: true},
		}}
	}
	return a
}

func position(lat, lon float64) *karaulav1.Position {
	return &karaulav1.Position{Lat: &lat, Lon: &lon}
}

// Notice gives a party's signed notice about a text, by its notice key.
func (w *World) Notice(code string, a *agreement.Agreement, act notice.Act) []byte {
	w.T.Helper()
	return w.notice(code, a, act, w.Parties[code].Gateway.Notice)
}

// RootNotice gives a party's signed notice about a text, by its root.
func (w *World) RootNotice(code string, a *agreement.Agreement, act notice.Act) []byte {
	w.T.Helper()
	return w.notice(code, a, act, w.Parties[code].Root.Signer)
}

func (w *World) notice(code string, a *agreement.Agreement, act notice.Act, by note.Signer) []byte {
	w.T.Helper()
	n := notice.Notice{
		Party: code, Serial: w.View(code).NextNoticeSerial(code), Agreement: a.ID, Digest: a.Digest, Act: act,
		Effective: w.Now, Reason: "invented for a test",
	}
	return ok(notice.Issue(n, by))(w.T)
}
