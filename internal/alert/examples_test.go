package alert_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	"karaula/internal/alert"
	"karaula/internal/terms"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// now is when the tests say their alerts.
var now = time.Date(2026, 11, 23, 21, 0, 0, 0, time.UTC)

const examples = "../../deploy/examples/alerts"

// example reads one example alert.
func example(t testing.TB, name string) *karaulav1.Alert {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(examples, name+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	as, err := alert.ParseBytes(data, name+".yaml")
	if err != nil {
		t.Fatal(err)
	}
	if len(as) != 1 {
		t.Fatalf("%s holds %d alerts, want one", name, len(as))
	}
	return as[0]
}

// exampleNames lists the example alerts.
func exampleNames(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(examples, "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples in %s: %v", examples, err)
	}
	names := make([]string, 0, len(files))
	for _, f := range files {
		names = append(names, strings.TrimSuffix(filepath.Base(f), ".yaml"))
	}
	return names
}

// TestExamplesKeepTheRules: every example is named after its type, says that it
// is invented, breaks no rule now or years from now, and comes back from both
// of its written forms.
func TestExamplesKeepTheRules(t *testing.T) {
	t.Parallel()
	for _, name := range exampleNames(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := example(t, name)
			if typ := terms.TypeWord(a.GetType()); name != typ && !strings.HasPrefix(name, typ+"-") {
				t.Errorf("it is a %s", typ)
			}
			data, err := os.ReadFile(filepath.Join(examples, name+".yaml"))
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(string(data), "# Invented: ") {
				t.Error("it does not say that it is invented")
			}
			for _, at := range []time.Time{now, now.AddDate(8, 0, 0)} {
				for _, f := range alert.Validate(a, at) {
					if f.Severity == alert.Error || f.Rule != "vin-check-digit" && f.Rule != "migration-late" {
						t.Errorf("in %d: %s: %s", at.Year(), f.Severity, f)
					}
				}
			}
			roundTrip(t, a)
		})
	}
}

// TestEveryTypeHasAnExample, named after the type.
func TestEveryTypeHasAnExample(t *testing.T) {
	t.Parallel()
	for _, typ := range terms.Types() {
		if got := example(t, terms.TypeWord(typ)).GetType(); got != typ {
			t.Errorf("the example for %s is a %s", terms.TypeWord(typ), terms.TypeWord(got))
		}
	}
}

// roundTrip checks that an alert comes back from YAML and JSON as it was.
func roundTrip(t testing.TB, a *karaulav1.Alert) {
	t.Helper()
	for name, marshal := range map[string]func(*karaulav1.Alert) ([]byte, error){
		"a.yaml": alert.MarshalYAML, "a.json": alert.MarshalJSON,
	} {
		text, err := marshal(a)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		back, err := alert.ParseBytes(text, name)
		if err != nil {
			t.Errorf("%s does not come back: %v\n%s", name, err, text)
			continue
		}
		if diff := cmp.Diff(a, back[0], protocmp.Transform()); diff != "" {
			t.Errorf("%s comes back changed:\n%s\n%s", name, diff, text)
		}
	}
}
