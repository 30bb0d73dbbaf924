package examples_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"karaula/deploy/examples"
	"karaula/internal/agreement"
	"karaula/internal/signedtext"
	"karaula/internal/terms"
)

var update = flag.Bool("update", false, "write testdata/matrix.txt anew")

// parties makes the keys of the six parties: fixed, and no secret.
func parties(t testing.TB) []agreement.Party {
	t.Helper()
	var out []agreement.Party
	for _, code := range []string{"al", "ba", "xk", "me", "mk", "rs"} {
		seed := sha256.Sum256([]byte("karaula example root of " + code))
		public := ed25519.NewKeyFromSeed(seed[:]).Public().(ed25519.PublicKey)
		root, err := signedtext.VKey(code, public)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, agreement.Party{Code: code, Root: root, Next: sha256.Sum256(seed[:])})
	}
	return out
}

// filled fills a template for the years 2026 and 2027; it must have no findings.
func filled(t testing.TB, id string, template []byte) *agreement.Agreement {
	t.Helper()
	from, until := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2027, 12, 31, 0, 0, 0, 0, time.UTC)
	text, err := agreement.Fill(template, parties(t), from, until)
	if err != nil {
		t.Fatalf("%s: %v", id, err)
	}
	a, findings := agreement.Lint(text)
	for _, f := range findings {
		t.Errorf("%s: %v", id, f)
	}
	if a == nil || a.ID != id || a.Channels[0].ID != id || len(a.Channels) != 1 {
		t.Fatalf("%s: the text is about something else", id)
	}
	return a
}

const centre = "vehicle route trafficking document firearm migration patrol request answer hit"

const neighbours = "vehicle person trafficking document firearm migration patrol request answer hit"

// table is the example set of the project's notes on who cooperates with whom:
// parties, types, personal data, ceiling.
var table = map[string]struct{ parties, types, personal, handling string }{
	"t01-plav":      {"al me xk", centre, "yes", "H2"},
	"t02-trebinje":  {"ba me rs", centre, "yes", "H2"},
	"b01-al-me":     {"al me", neighbours, "yes", "H3"},
	"b02-al-xk":     {"al xk", neighbours, "yes", "H3"},
	"b03-al-mk":     {"al mk", "vehicle document migration patrol request answer hit", "yes", "H2"},
	"b04-mk-xk":     {"mk xk", "vehicle document migration patrol request answer hit", "yes", "H2"},
	"b05-mk-rs":     {"mk rs", "vehicle route document migration patrol request answer hit", "yes", "H2"},
	"b06-me-rs":     {"me rs", "vehicle migration patrol request answer hit", "yes", "H2"},
	"b07-ba-me":     {"ba me", "vehicle migration patrol request answer hit", "yes", "H2"},
	"b08-ba-rs":     {"ba rs", "vehicle migration patrol request answer hit", "yes", "H2"},
	"b09-me-xk":     {"me xk", "vehicle migration patrol hit", "no", "H1"},
	"m01-pccsee5":   {"al ba me mk rs", "vehicle document firearm request answer hit", "yes", "H1"},
	"m02-wb6":       {"al ba xk me mk rs", "route migration", "no", "H0"},
	"f01-rs-xk-ibm": {"rs xk", "migration", "no", "H0"},
}

func TestTemplatesSayWhatTheTableSays(t *testing.T) {
	t.Parallel()
	all := examples.Agreements()
	maps.Copy(all, examples.Inactive())
	if len(all) != len(table) {
		t.Fatalf("%d templates, %d in the table", len(all), len(table))
	}
	for id, want := range table {
		a := filled(t, id, all[id])
		if got := strings.Join(a.Codes(), " "); got != want.parties {
			t.Errorf("%s: parties %s", id, got)
		}
		var types []string
		for _, s := range a.Channels[0].Says {
			if got := strings.Join(s.Parties, " "); got != want.parties || terms.HandlingWord(s.Handling) != want.handling {
				t.Errorf("%s clause %d: %s up to %s", id, s.Clause, got, terms.HandlingWord(s.Handling))
			}
			for _, typ := range s.Types {
				types = append(types, terms.TypeWord(typ))
				if personal := want.personal == "yes" && !terms.NeverPersonal(typ); s.Personal != personal {
					t.Errorf("%s clause %d: personal data %v", id, s.Clause, s.Personal)
				}
			}
		}
		wanted := strings.Fields(want.types)
		slices.Sort(types)
		slices.Sort(wanted)
		if d := cmp.Diff(wanted, types); d != "" {
			t.Errorf("%s: types (-want +got):\n%s", id, d)
		}
	}
}

// TestTemplatesSayWhatTheyAre: nobody shall take an example for a treaty, and
// Kosovo* never stands without its footnote.
func TestTemplatesSayWhatTheyAre(t *testing.T) {
	t.Parallel()
	for id := range table {
		template, ok := examples.Agreement(id)
		if !ok {
			t.Fatalf("no template %s", id)
		}
		head, articles, _ := strings.Cut(string(template), "\n---\n")
		joined := strings.Join(strings.Fields(articles), " ")
		if !strings.Contains(head, `basis "Illustrative, drawn from public reports, not a legal text"`) ||
			!strings.Contains(joined, "ILLUSTRATIVE, DRAWN FROM PUBLIC REPORTS, NOT A LEGAL TEXT") {
			t.Errorf("%s does not say that it is illustrative", id)
		}
		kosovo := strings.Count(string(template), "Kosovo") - strings.Count(joined, "ICJ Opinion on the Kosovo declaration")
		if kosovo != strings.Count(string(template), "Kosovo*") {
			t.Errorf("%s writes Kosovo without its asterisk", id)
		}
		if kosovo > 0 && !strings.Contains(joined, terms.KosovoFootnote) {
			t.Errorf("%s lacks the footnote", id)
		}
	}
	if _, ok := examples.Agreement("b99"); ok {
		t.Error("a template that does not exist")
	}
}

// TestMatrix compares who may tell whom what with the golden file, and names
// the pairs that are absent on purpose.
func TestMatrix(t *testing.T) {
	t.Parallel()
	active := examples.Agreements()
	var texts []*agreement.Agreement
	for _, id := range slices.Sorted(maps.Keys(active)) {
		texts = append(texts, filled(t, id, active[id]))
	}
	var b strings.Builder
	for _, r := range agreement.Matrix(texts...) {
		fmt.Fprintf(&b, "%s > %s %s: %s\n", r.From, r.To, terms.TypeWord(r.Type), strings.Join(r.Refs(), "; "))
		pair := []string{r.From, r.To}
		slices.Sort(pair)
		if p := strings.Join(pair, "-"); p == "ba-xk" || p == "rs-xk" {
			for _, g := range r.Grants {
				if g.Agreement != "m02-wb6" || g.Personal {
					t.Errorf("%s tells %s %s by %s", r.From, r.To, terms.TypeWord(r.Type), g.Ref)
				}
			}
		}
	}
	const golden = "testdata/matrix.txt"
	if *update {
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), b.String()); d != "" {
		t.Errorf("matrix (-want +got), go test ./deploy/examples -update writes it:\n%s", d)
	}
}

// TestAlerts: every example alert is named after an alert type, or after one
// and a word more; what is in them is the alert package's to test.
func TestAlerts(t *testing.T) {
	t.Parallel()
	if text, ok := examples.Alert("vehicle"); !ok || len(text) == 0 {
		t.Error("no example of a vehicle")
	}
	for name := range examples.Alerts() {
		word, _, _ := strings.Cut(name, "-")
		if _, ok := terms.ParseType(word); !ok {
			t.Errorf("%s is named after no alert type", name)
		}
	}
	if _, ok := examples.Alert("ufo"); ok {
		t.Error("an example that does not exist")
	}
}
