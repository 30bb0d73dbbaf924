package table_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"karaula/internal/table"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// alertsOf gives the alerts of a file that has no bad rows.
func alertsOf(t *testing.T, m *table.Map, body []byte) (alerts []*karaulav1.Alert, bad int) {
	t.Helper()
	r, err := m.NewReader(bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for {
		row, fault, err := r.Next()
		if errors.Is(err, io.EOF) {
			return alerts, bad
		}
		if err != nil {
			t.Fatal(err)
		}
		if fault == nil {
			var a *karaulav1.Alert
			if a, fault = r.Alert(row); fault == nil {
				alerts = append(alerts, a)
			}
		}
		if fault != nil {
			bad++
		}
	}
}

func parse(t *testing.T, text string) *table.Map {
	t.Helper()
	m, err := table.ParseMap([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestThereAndBack: what a register has exported, read and written again by the same
// map, reads as the same alerts.
func TestThereAndBack(t *testing.T) {
	t.Parallel()
	const dir = "../../deploy/examples/import/"
	for _, c := range []struct{ file, mapFile string }{
		{"vehicles.csv", "vehicles.map.yaml"}, {"documents.ndjson", "documents.map.yaml"},
	} {
		text, err := os.ReadFile(dir + c.mapFile)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		body, err2 := os.ReadFile(dir + c.file)
		if err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
		m := parse(t, string(text))
		before, _ := alertsOf(t, m, body)
		if len(before) == 0 {
			t.Fatalf("%s: no rows", c.file)
		}
		var out bytes.Buffer
		w, err := m.NewWriter(&out, []string{"karaula_handling"}, true)
		if err != nil {
			t.Fatal(err)
		}
		for i, a := range before {
			whole, err := w.Write(a, "key-"+strings.Repeat("x", i+1), []string{"H1"})
			if err != nil || !whole {
				t.Errorf("%s: alert %d is not wholly written: %v", c.file, i, err)
			}
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		after, bad := alertsOf(t, m, out.Bytes())
		if bad != 0 || len(after) != len(before) {
			t.Fatalf("%s: %d rows, %d bad, want %d:\n%s", c.file, len(after), bad, len(before), out.Bytes())
		}
		for i := range after {
			if !proto.Equal(after[i], before[i]) {
				t.Errorf("%s: alert %d\n%v\nwas\n%v", c.file, i, after[i], before[i])
			}
		}
	}
}

// TestWhatCannotBeWritten: a value without a column or a code, or outside of the
// encoding, makes a row that is not whole; and a spreadsheet calculates nothing.
func TestWhatCannotBeWritten(t *testing.T) {
	t.Parallel()
	const one, two = "  case_reference: {column: C}\n", "  vehicle.make: {column: M}\n"
	const head = "register: r\nencoding: windows-1250\nkey: [N]\nfields:\n"
	number := func(plate string) *karaulav1.Alert {
		return &karaulav1.Alert{
			Type: karaulav1.AlertType_ALERT_TYPE_VEHICLE, Lifecycle: karaulav1.Lifecycle_LIFECYCLE_CREATE,
			Urgency: karaulav1.Urgency_URGENCY_ROUTINE, CaseReference: plate,
			Details: &karaulav1.Alert_Vehicle{Vehicle: &karaulav1.Vehicle{Make: "Primer"}},
		}
	}
	for name, c := range map[string]struct {
		fields string
		guard  bool
		of     string // case reference
		whole  bool
		want   string
	}{
		"all":       {one + two, true, "TEST-1", true, "N,C,M,x\nid,TEST-1,Primer,+\n"},
		"no column": {one, true, "TEST-1", false, "N,C,x\nid,TEST-1,+\n"},
		"no code":   {"  case_reference: {column: C, values: {a: TEST-2}}\n" + two, true, "TEST-1", false, "N,C,M,x\nid,,Primer,+\n"},
		"a code": {
			"  case_reference: {column: C, values: {b: TEST-1, a: TEST-1}}\n" + two, true, "TEST-1", true,
			"N,C,M,x\nid,a,Primer,+\n",
		},
		"outside the encoding": {one + two, true, "Ж1", false, "N,C,M,x\nid,?1,Primer,+\n"},
		"a formula":            {one + two, true, "=1+1", true, "N,C,M,x\nid,'=1+1,Primer,+\n"},
		"a formula, plain":     {one + two, false, "=1+1", true, "N,C,M,x\nid,=1+1,Primer,+\n"},
	} {
		var out bytes.Buffer
		w, err := parse(t, head+c.fields).NewWriter(&out, []string{"x"}, c.guard)
		if err != nil {
			t.Fatal(err)
		}
		whole, err := w.Write(number(c.of), "id", []string{"+"})
		if err != nil || whole != c.whole || w.Flush() != nil {
			t.Errorf("%s: whole %v, %v", name, whole, err)
		}
		want := c.want
		if c.guard {
			want = strings.Replace(want, ",+\n", ",'+\n", 1)
		}
		if out.String() != want {
			t.Errorf("%s: %q, want %q", name, out.String(), want)
		}
	}
	titled := parse(t, "register: r\nheader: false\nkey: [N]\nfields:\n  case_reference: {column: \"1\"}\n")
	if _, err := titled.NewWriter(io.Discard, nil, true); err == nil {
		t.Error("a column with a title is written into a file without a header")
	}
}
