package alert_test

import (
	"strings"
	"testing"

	"karaula/internal/alert"
	"karaula/internal/problem"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

func TestParseTakesTextAsItStands(t *testing.T) {
	t.Parallel()
	// What YAML 1.1 would turn into a truth value, an octal or a date stays text.
	as, err := alert.ParseBytes([]byte(`
vehicle:
  plates:
    - {number: 0123, country: NO}
    - {number: 1e5, country: "NO"}
  first_registration: 2019-05-04
  engine_number: 0x1F
  make: on
`), "a.yaml")
	if err != nil {
		t.Fatal(err)
	}
	v := as[0].GetVehicle()
	for _, c := range []struct{ got, want string }{
		{v.GetPlates()[0].GetNumber(), "0123"},
		{v.GetPlates()[0].GetCountry(), "NO"},
		{v.GetPlates()[1].GetNumber(), "1e5"},
		{v.GetFirstRegistration(), "2019-05-04"},
		{v.GetEngineNumber(), "0x1F"},
		{v.GetMake(), "on"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

func TestParseReadsTimes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{
		"1970-01-01T00:00:00.000001Z": 1,
		"2026-11-23T22:00:00+01:00":   1795467600_000000,
		"2026-11-23T21:00:00.25Z":     1795467600_250000,
	} {
		as, err := alert.ParseBytes([]byte("event_time: "+text), "a.yaml")
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := as[0].GetEventTime(); got != want {
			t.Errorf("%s is %d, want %d", text, got, want)
		}
	}
}

func TestParseFillsInWhatFollows(t *testing.T) {
	t.Parallel()
	as, err := alert.ParseBytes([]byte("vehicle: {}\n---\nversion: 2\nurgency: urgent\nroute: {}\n"), "a.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []struct {
		typ karaulav1.AlertType
		lc  karaulav1.Lifecycle
		urg karaulav1.Urgency
	}{
		{karaulav1.AlertType_ALERT_TYPE_VEHICLE, karaulav1.Lifecycle_LIFECYCLE_CREATE, karaulav1.Urgency_URGENCY_ROUTINE},
		{karaulav1.AlertType_ALERT_TYPE_ROUTE, karaulav1.Lifecycle_LIFECYCLE_UPDATE, karaulav1.Urgency_URGENCY_URGENT},
	} {
		if as[i].GetType() != want.typ || as[i].GetLifecycle() != want.lc || as[i].GetUrgency() != want.urg {
			t.Errorf("alert %d is %v, %v, %v", i, as[i].GetType(), as[i].GetLifecycle(), as[i].GetUrgency())
		}
	}
}

func TestParseCountsAlerts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, text string
		want       int
	}{
		{"one.yaml", "unit: a", 1},
		{"documents.yaml", "unit: a\n---\nunit: b\n---\n", 2},
		{"list.yaml", "- unit: a\n- unit: b\n- unit: c\n", 3},
		{"lists.yaml", "- unit: a\n---\n- unit: b\n- unit: c\n", 3},
		{"one.json", `{"unit":"a"}`, 1},
		{"list.json", `[{"unit":"a"},{"unit":"b"}]`, 2},
		{"lines.ndjson", "{\"unit\":\"a\"}\n{\"unit\":\"b\"}\n", 2},
		{"-", `{"unit":"a"}{"unit":"b"}`, 2},
		{"-", "\n [{\"unit\":\"a\"}]", 1},
		{"-", "unit: a", 1},
		{"bom.yaml", "\uFEFFunit: a", 1},
		{"most.yaml", strings.Repeat("- unit: a\n", alert.MaxAlerts), alert.MaxAlerts},
	} {
		as, err := alert.Parse(strings.NewReader(c.text), c.name)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if len(as) != c.want {
			t.Errorf("%s holds %d alerts, want %d", c.name, len(as), c.want)
		}
	}
}

func TestParseSaysWhereAndWhat(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, file, text, want string }{
		{
			"unknown field",
			"a.yaml", "unit: a\nvehicle:\n  wheels: 4\n", "line 3: document 1: vehicle.wheels: there is no such field",
		},
		{
			"another spelling",
			"a.yaml", "case-reference: x\n", "case-reference: there is no such field; it is written case_reference",
		},
		{"recipients", "a.yaml", "recipients: [me]\n", "recipients follow from the agreement"},
		{"second document", "a.yaml", "unit: a\n---\nunits: b\n", "line 3: document 2: units"},
		{"in a list", "a.yaml", "- unit: a\n- unit: a\n  units: b\n", "line 3: document 1, alert 2: units"},
		{
			"list item",
			"a.yaml", "vehicle:\n  plates:\n    - country: AL\n    - colour: red\n",
			"line 4: document 1: vehicle.plates[1].colour",
		},
		{"key twice", "a.yaml", "unit: a\nunit: b\n", "line 2: unit: stands twice, first in line 1"},
		{"key twice in JSON", "a.json", "{\"unit\":\"a\",\n\"unit\":\"b\"}", "line 2: unit: stands twice, first in line 1"},
		{"two types", "a.yaml", "vehicle: {}\nroute: {}\n", "route: stands beside vehicle"},
		{"word", "a.yaml", "urgency: high\n", "urgency: must be one of routine, urgent, immediate"},
		{"word in capitals", "a.yaml", "urgency: ROUTINE\n", "must be one of"},
		{"name of the schema", "a.yaml", "urgency: URGENCY_ROUTINE\n", "must be one of"},
		{"number of the schema", "a.yaml", "urgency: 1\n", "must be one of"},
		{"zero word", "a.yaml", "urgency: unspecified\n", "must be one of"},
		{"handling in small letters", "a.yaml", "handling: h1\n", "must be one of H0, H1, H2, H3"},
		{"no value", "a.yaml", "unit:\n", "unit: has no value; leave the field out"},
		{"null", "a.json", `{"unit":null}`, "has no value"},
		{"null in a list", "a.yaml", "legal_basis: [~]\n", "legal_basis[0]: has no value"},
		{"list for a value", "a.yaml", "unit: [a]\n", "is a list, it must be one value"},
		{"value for a list", "a.yaml", "legal_basis: a\n", "is a text, it must be a list"},
		{"value for a group", "a.yaml", "vehicle: a\n", "is a text, it must be a group of fields"},
		{"top is a text", "a.yaml", "hello\n", "is a text, it must be a group of fields"},
		{"negative", "a.yaml", "version: -1\n", "must be a whole number"},
		{"octal", "a.yaml", "version: 010\n", "must be a whole number"},
		{"fraction", "a.json", `{"version":1.0}`, "must be a whole number"},
		{"too large", "a.yaml", "version: 4294967296\n", "must be a whole number"},
		{"quoted number", "a.yaml", "version: \"1\"\n", "must be a number without quotes"},
		{"number for a text", "a.json", `{"unit":1}`, "is a number, it must be a text in quotes"},
		{"truth for a text", "a.json", `{"unit":true}`, "is true or false, it must be a text in quotes"},
		{"yes for true", "a.yaml", "special_category: yes\n", "must be true or false"},
		{"infinite", "a.yaml", "locations: [{point: {lat: .inf}}]\n", "lat: must be a number like 42.3"},
		{"overflow", "a.yaml", "locations: [{point: {lat: 1e999}}]\n", "lat: must be a number like 42.3"},
		{"time without zone", "a.yaml", "event_time: 2026-11-23T21:00:00\n", "must be a time like"},
		{"date for a time", "a.yaml", "event_time: 2026-11-23\n", "must be a time like"},
		{"time in nanoseconds", "a.yaml", "event_time: 2026-11-23T21:00:00.0000001Z\n", "must be a time like"},
		{"comma in a time", "a.yaml", "event_time: 2026-11-23T21:00:00,5Z\n", "must be a time like"},
		{"no such day", "a.yaml", "event_time: 2026-02-30T21:00:00Z\n", "must be a time like"},
		{"number for a time", "a.json", `{"event_time":1}`, "is a number, it must be a text in quotes"},
		{"time before 1970", "a.yaml", "event_time: 1969-12-31T23:59:59Z\n", "must be after 1970"},
		{"digest", "a.yaml", "attachments: [{digest: AB}]\n", "must be hexadecimal digits in lower case"},
		{"anchor", "a.yaml", "unit: &a b\n", "anchors and aliases are not taken"},
		{"alias", "a.yaml", "unit: &a b\nauthority: *a\n", "anchors and aliases are not taken"},
		{"tag", "a.yaml", "unit: !!str b\n", "tags are not taken"},
		{"merge key", "a.yaml", "<<: {unit: b}\n", "there is no such field"},
		{"odd key", "a.yaml", "? [a]\n: b\n", "a field's name must be a word"},
		{"key with a control character", "a.yaml", "\"a\\x1b\": b\n", `"a\x1b": there is no such field`},
		{"empty", "a.yaml", "# nothing\n", "holds no alert"},
		{"empty JSON", "a.json", "", "holds no alert"},
		{"empty list", "a.json", "[]", "holds no alert"},
		{"not YAML", "a.yaml", "unit: [a\n", "not YAML that can be read"},
		{"not JSON", "a.json", "{\"unit\":\"a\",\n}", "not JSON that can be read, near line"},
		{"cut off", "a.json", `{"unit":"a"`, "not JSON that can be read"},
		{"YAML called JSON", "a.json", "unit: a", "not JSON that can be read"},
		{"not UTF-8", "a.yaml", "unit: \xff\n", "not UTF-8"},
		{"too many", "a.yaml", strings.Repeat("- unit: a\n", alert.MaxAlerts+1), "more than 1000 alerts"},
		{"too large", "a.yaml", strings.Repeat("#", alert.MaxFile+1), "larger than 4194304 bytes"},
		{"too deep", "a.yaml", strings.Repeat("[", 100), "not YAML that can be read"},
		{"too deep in JSON", "a.json", strings.Repeat("[", 100), "nested too deep"},
		{"too many values", "a.json", "[" + strings.Repeat("[0,0,0,0,0,0,0,0,0],", 25000) + "0]", "more than 200000 values"},
		{"too many lines", "a.yaml", strings.Repeat("\n", 200001), "more lines and commas"},
		{"too many fields", "a.json", "{" + manyKeys(101) + "}", "more than 100 fields in one group"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := alert.ParseBytes([]byte(c.text), c.file)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
			if !problem.Is(err, problem.Invalid) || !strings.Contains(err.Error(), "nothing was sent") {
				t.Errorf("%v is %v", err, problem.KindOf(err))
			}
		})
	}
}

// manyKeys gives n members of a JSON object.
func manyKeys(n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(`"k` + strings.Repeat("x", i) + `":1`)
	}
	return b.String()
}

func TestParseCollectsMistakes(t *testing.T) {
	t.Parallel()
	_, err := alert.ParseBytes([]byte(strings.Repeat("- {a: b, c: d}\n", 15)), "a.yaml")
	if err == nil || strings.Count(err.Error(), "there is no such field") != 20 ||
		!strings.Contains(err.Error(), "and 10 more") {
		t.Errorf("got %v, want 20 mistakes and 10 more", err)
	}
}

// TestErrorsShowNoValue: what stands in a field may be somebody's name.
func TestErrorsShowNoValue(t *testing.T) {
	t.Parallel()
	const secret = "TESTOVICH"
	for _, text := range []string{
		"urgency: " + secret, "version: " + secret, "event_time: " + secret, "special_category: " + secret,
		"attachments: [{digest: " + secret + "}]", "vehicle: " + secret, "locations: [{point: {lat: " + secret + "}}]",
		"legal_basis: " + secret, secret,
	} {
		_, err := alert.ParseBytes([]byte(text), "a.yaml")
		if err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%q: got %v", text, err)
		}
	}
}
