package alert_test

import (
	"fmt"
	"math"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/testing/protocmp"
	"pgregory.net/rapid"

	"karaula/internal/alert"
	"karaula/internal/wire"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// draw fills a message at random with what files can hold.
func draw(t *rapid.T, m protoreflect.Message, depth int) {
	fs := m.Descriptor().Fields()
	for i := range fs.Len() {
		fd := fs.Get(i)
		if fd.ContainingOneof() != nil && !fd.ContainingOneof().IsSynthetic() || rapid.IntRange(0, 3).Draw(t, "skip") > 0 {
			continue
		}
		switch {
		case fd.Kind() == protoreflect.MessageKind && depth == 0:
		case fd.IsList():
			l := m.Mutable(fd).List()
			for range rapid.IntRange(1, 3).Draw(t, "length") {
				if fd.Kind() == protoreflect.MessageKind {
					draw(t, l.AppendMutable().Message(), depth-1)
				} else {
					l.Append(drawValue(t, fd))
				}
			}
		case fd.Kind() == protoreflect.MessageKind:
			draw(t, m.Mutable(fd).Message(), depth-1)
		default:
			m.Set(fd, drawValue(t, fd))
		}
	}
}

// awkward are texts that a YAML or JSON reader could take for something else.
var awkward = []string{
	"", " ", "no", "NO", "~", "null", "true", "0123", "1e5", ".inf", "2026-11-23", "2026-11-23T21:00:00Z",
	"- a", "a: b", "a #b",
	"#", "@", "`", "%", "!a", "&a", "*a", "{", "[a", "'", "\"",
	"a\nb", "a\n\nb", "\na", "a\n", " a", "a ", "a\n  b\n c", "---", "...",
	"=", "<<", "a,b", "a\\b", "ë ç č đ ж љ", "\t", "|", ">", "? a", ":", "a\u0085b", "a\u2028b", "\u00a0", "0x1F",
	"1_000", "1:30",
}

func drawValue(t *rapid.T, fd protoreflect.FieldDescriptor) protoreflect.Value {
	switch fd.Kind() { //nolint:exhaustive // the schema has no others
	case protoreflect.StringKind:
		if rapid.Bool().Draw(t, "awkward") {
			return protoreflect.ValueOfString(rapid.SampledFrom(awkward).Draw(t, "text"))
		}
		return protoreflect.ValueOfString(rapid.StringN(0, 40, -1).Draw(t, "text"))
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes(rapid.SliceOfN(rapid.Byte(), 1, 32).Draw(t, "bytes"))
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(true)
	case protoreflect.EnumKind:
		n := rapid.IntRange(1, fd.Enum().Values().Len()-1).Draw(t, "value")
		return protoreflect.ValueOfEnum(fd.Enum().Values().Get(n).Number())
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(rapid.Float64Range(-180, 180).Draw(t, "degrees"))
	case protoreflect.Int64Kind:
		return protoreflect.ValueOfInt64(rapid.Int64Range(1, 253402300799_999999).Draw(t, "time"))
	case protoreflect.Uint64Kind:
		return protoreflect.ValueOfUint64(rapid.Uint64Min(1).Draw(t, "number"))
	default:
		return protoreflect.ValueOfUint32(rapid.Uint32Min(1).Draw(t, "number"))
	}
}

// TestEveryAlertComesBack: whatever an alert says, its written forms say the
// same, and its bytes are in strict wire form.
func TestEveryAlertComesBack(t *testing.T) {
	t.Parallel()
	details := (&karaulav1.Alert{}).ProtoReflect().Descriptor().Oneofs().ByName("details").Fields()
	rapid.Check(t, func(rt *rapid.T) {
		a := &karaulav1.Alert{}
		draw(rt, a.ProtoReflect(), 3)
		fd := details.Get(rapid.IntRange(0, details.Len()-1).Draw(rt, "type"))
		draw(rt, a.ProtoReflect().Mutable(fd).Message(), 3)
		alert.Complete(a)
		for name, marshal := range map[string]func(*karaulav1.Alert) ([]byte, error){
			"a.yaml": alert.MarshalYAML, "a.json": alert.MarshalJSON,
		} {
			text, err := marshal(a)
			if err != nil {
				rt.Fatalf("%s: %v", name, err)
			}
			back, err := alert.ParseBytes(text, name)
			if err != nil {
				rt.Fatalf("%s does not come back: %v\n%s", name, err, text)
			}
			if !proto.Equal(a, back[0]) {
				rt.Fatalf("%s comes back changed:\n%s\n%v\n%v", name, text, a, back[0])
			}
		}
		if _, err := wire.Marshal(a, 1<<20); err != nil {
			rt.Fatalf("not in strict wire form: %v", err)
		}
	})
}

func TestMarshalRefusesWhatHasNoForm(t *testing.T) {
	t.Parallel()
	for name, a := range map[string]*karaulav1.Alert{
		"unknown word": {Urgency: 99},
		"no time":      {EventTime: -1},
		"far time":     {EventTime: math.MaxInt64},
		"no number":    {Locations: []*karaulav1.Location{{Point: &karaulav1.Position{Lat: new(math.NaN())}}}},
	} {
		if _, err := alert.MarshalYAML(a); err == nil {
			t.Errorf("%s: YAML", name)
		}
		if _, err := alert.MarshalJSON(a); err == nil {
			t.Errorf("%s: JSON", name)
		}
	}
}

// TestYAMLReadsWell shows the form that officers see.
func TestYAMLReadsWell(t *testing.T) {
	t.Parallel()
	text, err := alert.MarshalYAML(&karaulav1.Alert{
		Type: karaulav1.AlertType_ALERT_TYPE_VEHICLE, Handling: karaulav1.Handling_HANDLING_H1, EventTime: now.UnixMicro(),
		Authority: "no", ActionText: "first\nsecond",
		Evaluation: &karaulav1.Evaluation{Source: 1, Information: 4},
		Locations:  []*karaulav1.Location{{Point: &karaulav1.Position{Lat: new(42.0), Lon: new(-0.5)}}},
		Details: &karaulav1.Alert_Vehicle{Vehicle: &karaulav1.Vehicle{
			Reason:  karaulav1.VehicleReason_VEHICLE_REASON_USED_IN_CRIME,
			Colours: []karaulav1.Colour{karaulav1.Colour_COLOUR_RED},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := `type: vehicle
authority: "no"
handling: H1
evaluation: {source: A, information: 4}
action_text: |-
  first
  second
event_time: 2026-11-23T21:00:00Z
locations:
- point: {lat: 42, lon: -0.5}
vehicle:
  reason: used-in-crime
  colours: [red]
`
	if string(text) != want {
		t.Errorf("got\n%s\nwant\n%s", text, want)
	}
}

// seeds gives the example files to a fuzzer.
func seeds(f *testing.F, add func(yaml []byte, a *karaulav1.Alert)) {
	f.Helper()
	for _, name := range exampleNames(f) {
		data, err := os.ReadFile(examples + "/" + name + ".yaml")
		if err != nil {
			f.Fatal(err)
		}
		add(data, example(f, name))
	}
}

func FuzzParse(f *testing.F) {
	seeds(f, func(yaml []byte, a *karaulav1.Alert) {
		f.Add(yaml, false)
		text, err := alert.MarshalJSON(a)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text, true)
	})
	for _, s := range awkward {
		f.Add([]byte("unit: "+s), false)
	}
	f.Fuzz(func(t *testing.T, data []byte, isJSON bool) {
		name := "a.yaml"
		if isJSON {
			name = "a.json"
		}
		as, err := alert.ParseBytes(data, name)
		if err != nil {
			if !strings.Contains(err.Error(), "nothing was sent") {
				t.Fatalf("an error that does not say what was not done: %v", err)
			}
			return
		}
		for _, a := range as {
			roundTrip(t, a)
			alert.Validate(a, now)
		}
	})
}

func FuzzValidate(f *testing.F) {
	seeds(f, func(_ []byte, a *karaulav1.Alert) {
		raw, err := proto.Marshal(a)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	})
	f.Fuzz(func(t *testing.T, raw []byte) {
		a := &karaulav1.Alert{}
		if err := wire.Unmarshal(raw, a, 1<<20); err != nil {
			return
		}
		fs := alert.Validate(a, now)
		fs = append(fs, alert.Check(a, alert.Limits{}, now)...)
		for _, f := range fs {
			if f.Rule == "schema" {
				t.Fatal("the rules of the schema could not be judged")
			}
		}
		alert.Expiry(a, now)
		if alert.Validate(a, now).Err() == nil {
			roundTrip(t, a)
		}
	})
}

// TestExplainedYAMLIsTheSameWithComments: the terms are added to lines, and
// change nothing else; what is shown can still be sent.
func TestExplainedYAMLIsTheSameWithComments(t *testing.T) {
	t.Parallel()
	a := &karaulav1.Alert{
		Type: karaulav1.AlertType_ALERT_TYPE_VEHICLE, Handling: karaulav1.Handling_HANDLING_H1, ActionText: "stolen # stolen\nstolen",
		Actions:    []karaulav1.Action{karaulav1.Action_ACTION_SEIZE, karaulav1.Action_ACTION_STOP_AND_REPORT},
		Evaluation: &karaulav1.Evaluation{Source: 1, Information: 4},
		Details: &karaulav1.Alert_Vehicle{Vehicle: &karaulav1.Vehicle{
			Reason: karaulav1.VehicleReason_VEHICLE_REASON_STOLEN,
			Plates: []*karaulav1.Plate{{Number: "stolen", Status: karaulav1.PlateStatus_PLATE_STATUS_LOST}, {Number: "ZZ 1"}},
		}},
	}
	alert.Complete(a)
	plain, err := alert.MarshalYAML(a)
	if err != nil {
		t.Fatal(err)
	}
	told, err := alert.ExplainYAML(a, func(e protoreflect.EnumDescriptor, n protoreflect.EnumNumber) string {
		if e.Name() == "Handling" {
			return "" // no term: the word alone
		}
		return fmt.Sprintf("ж%d", n)
	})
	if err != nil {
		t.Fatal(err)
	}
	if bare := regexp.MustCompile(` # ж.*`).ReplaceAllString(string(told), ""); bare != string(plain) {
		t.Errorf("without comments it differs:\n%s\n%s", bare, plain)
	}
	for _, want := range []string{"\nactions: [seize, stop-and-report] # ж1; ж2\n", "reason: stolen # ж1\n", "\nhandling: H1\n"} {
		if !strings.Contains(string(told), want) {
			t.Errorf("%q is not in:\n%s", want, told)
		}
	}
	back, err := alert.ParseBytes(told, "a.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(a, back[0], protocmp.Transform()); diff != "" {
		t.Errorf("comes back changed:\n%s", diff)
	}
}
