package nodes

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.yaml.in/yaml/v4"

	"karaula/cmd/karaula/internal/setup"
	"karaula/gateway"
	"karaula/internal/checkup"
	"karaula/internal/keyring"
	"karaula/internal/node"
	"karaula/internal/register"
)

const deployed = "../../../../deploy"

// names is a registry that only remembers what could be collected: the labels
// of every metric, by its name.
type names struct {
	t    *testing.T
	have map[string][]string
}

var described = regexp.MustCompile(`fqName: "([a-z_]+)".*variableLabels: \{([^}]*)\}`)

func (r *names) Register(c prometheus.Collector) error {
	out := make(chan *prometheus.Desc)
	go func() {
		c.Describe(out)
		close(out)
	}()
	for d := range out {
		m := described.FindStringSubmatch(d.String())
		if m == nil {
			r.t.Fatalf("a description is not understood: %s", d)
		}
		labels := strings.FieldsFunc(m[2], func(c rune) bool { return c == ',' || c == ' ' })
		r.have[m[1]] = append(labels, "instance")
	}
	return nil
}

func (r *names) MustRegister(list ...prometheus.Collector) {
	for _, c := range list {
		_ = r.Register(c) // never fails
	}
}

func (r *names) Unregister(prometheus.Collector) bool { return false }

// metricsOfANode gives the labels of every metric that a node has, by name.
func metricsOfANode(t *testing.T) map[string][]string {
	t.Helper()
	cfg := node.Default()
	cfg.Party, cfg.Name, cfg.Listen = "al", "Border police of al (invented)", "127.0.0.1:4222"
	made, err := setup.Make(setup.Options{Dir: filepath.Join(t.TempDir(), "al"), Config: cfg, Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	reg, err := register.Open(made.Layout.Register(), "al")
	if err != nil {
		t.Fatal(err)
	}
	keys, err := keyring.OpenLive(made.Layout.GatewayKeys(), nil)
	if err != nil {
		t.Fatal(err)
	}
	r := &names{t: t, have: map[string][]string{}}
	if _, err := gateway.New(gateway.Options{
		Layout: made.Layout, Config: cfg, Register: reg, Keys: keys, Metrics: r, Now: time.Now,
	}); err != nil {
		t.Fatal(err)
	}
	r.MustRegister(newNumbers(&Node{}))
	return r.have
}

// alarms is the file of Prometheus' rules, and no field more than Prometheus knows.
type alarms struct {
	Groups []struct {
		Name  string `yaml:"name"`
		Rules []struct {
			Alert       string            `yaml:"alert"`
			Expr        string            `yaml:"expr"`
			For         string            `yaml:"for"`
			Labels      map[string]string `yaml:"labels"`
			Annotations map[string]string `yaml:"annotations"`
		} `yaml:"rules"`
	} `yaml:"groups"`
}

func loadAlarms(t *testing.T) alarms {
	t.Helper()
	var a alarms
	d := yaml.NewDecoder(bytes.NewReader(read(t, filepath.Join(deployed, "prometheus", "karaula.rules.yml"))))
	d.KnownFields(true)
	if err := d.Decode(&a); err != nil {
		t.Fatal(err)
	}
	return a
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	body, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

var (
	metricName = regexp.MustCompile(`\b(karaula_[a-z_]+)(\{[^}]*\})?`)
	matcher    = regexp.MustCompile(`([a-z_]+)(=|=~|!=|!~)"([^"]*)"`)
	grouped    = regexp.MustCompile(`by \(([^)]*)\)`)
)

// fits says what is wrong with an expression: metrics, labels, checks and
// brackets that are none.
func fits(have map[string][]string, expr string) []string {
	var out, known []string
	uses := metricName.FindAllStringSubmatch(expr, -1)
	for _, use := range uses {
		name := use[1]
		base, bucket := strings.CutSuffix(name, "_bucket")
		labels, ok := have[base]
		if !ok {
			out = append(out, "there is no metric "+name)
			continue
		}
		if bucket {
			labels = append(slices.Clone(labels), "le")
		}
		known = append(known, labels...)
		for _, m := range matcher.FindAllStringSubmatch(use[2], -1) {
			if !slices.Contains(labels, m[1]) {
				out = append(out, name+" has no label "+m[1])
			}
			if m[1] == "check" {
				out = append(out, unknownChecks(m[3])...)
			}
		}
	}
	for _, m := range grouped.FindAllStringSubmatch(expr, -1) {
		for label := range strings.SplitSeq(m[1], ",") {
			if label = strings.TrimSpace(label); !slices.Contains(known, label) {
				out = append(out, "nothing has the label "+label)
			}
		}
	}
	for _, pair := range []string{"()", "{}", "[]"} {
		if strings.Count(expr, pair[:1]) != strings.Count(expr, pair[1:]) {
			out = append(out, "brackets "+pair+" do not close")
		}
	}
	return out
}

func unknownChecks(pattern string) []string {
	var out []string
	for id := range strings.SplitSeq(pattern, "|") {
		asked := regexp.MustCompile("^(?:" + id + ")$")
		if !slices.ContainsFunc(checkup.All(), func(k checkup.Kind) bool { return asked.MatchString(k.ID) }) {
			out = append(out, "there is no check "+id)
		}
	}
	return out
}

// Patterns of what is practised: labels of channels, and names of streams.
const (
	drillChannels = "x[.].*"
	drillStreams  = "(OUT|IN)X_.*"
)

// mistaken says which uses of metrics in an expression do not tell what is practised
// from what is meant. drill is set if all of them ask for what is practised.
func mistaken(have map[string][]string, expr string) (out []string, drill bool) {
	uses := metricName.FindAllStringSubmatch(expr, -1)
	drill = len(uses) > 0
	for _, use := range uses {
		matchers := map[string][]string{}
		for _, m := range matcher.FindAllStringSubmatch(use[2], -1) {
			matchers[m[1]] = m[2:]
		}
		label, pattern := "", drillChannels
		if check := matchers["check"]; check == nil {
			if slices.Contains(have[strings.TrimSuffix(use[1], "_bucket")], "channel") {
				label = "channel"
			}
		} else if strings.HasPrefix(check[1], "channel") {
			label = "about"
		} else if strings.HasPrefix(check[1], "stream") {
			label, pattern = "about", drillStreams
		}
		m := matchers[label]
		drill = drill && m != nil && m[0] == "=~"
		if label != "" && (m == nil || m[1] != pattern || m[0] != "=~" && m[0] != "!~") {
			out = append(out, use[0]+" does not tell an exercise by "+label)
		}
	}
	return out, drill
}

// An exercise wakes nobody, and has an alarm of its own.
func TestAlarmsTellExercisesApart(t *testing.T) {
	t.Parallel()
	have := metricsOfANode(t)
	drills := 0
	for _, g := range loadAlarms(t).Groups {
		for _, r := range g.Rules {
			faults, drill := mistaken(have, r.Expr)
			for _, fault := range faults {
				t.Errorf("%s: %s", r.Alert, fault)
			}
			if drill {
				drills++
				if r.Labels["severity"] == "page" || !strings.Contains(r.Annotations["summary"], "EXERCISE") {
					t.Errorf("%s is of exercises, wakes somebody or does not say so", r.Alert)
				}
			}
		}
	}
	if drills == 0 {
		t.Error("no alarm watches channels for exercises")
	}
	for _, expr := range []string{
		`karaula_channel_halted == 1`, `karaula_channel_halted{channel!~"x.*"} == 1`, `karaula_check_state{check="channel.open"} == 2`,
		`karaula_check_state{check="stream.room", about!~"x[.].*"} == 2`, `rate(karaula_said_to_receipted_seconds_bucket[5m]) > 1`,
	} {
		if faults, _ := mistaken(have, expr); len(faults) == 0 {
			t.Errorf("%s is taken for one that leaves exercises out", expr)
		}
	}
}

func TestAlarmsNameMetricsAndChecksThatExist(t *testing.T) {
	t.Parallel()
	have := metricsOfANode(t)
	page := string(read(t, "../../../../docs/alarms.md"))
	checks := map[string]bool{}
	for _, g := range loadAlarms(t).Groups {
		for _, r := range g.Rules {
			if r.Alert == "" || g.Name == "" || !slices.Contains([]string{"page", "ticket", "note"}, r.Labels["severity"]) {
				t.Errorf("%s in %s has no name or severity", r.Alert, g.Name)
			}
			if _, err := time.ParseDuration(strings.Replace(r.For, "1d", "24h", 1)); err != nil {
				t.Errorf("%s: for: %v", r.Alert, err)
			}
			for _, fault := range fits(have, r.Expr) {
				t.Errorf("%s: %s", r.Alert, fault)
			}
			for _, m := range regexp.MustCompile(`check=~?"([^"]*)"`).FindAllStringSubmatch(r.Expr, -1) {
				for id := range strings.SplitSeq(m[1], "|") {
					checks[id] = true
				}
			}
			if !strings.Contains(page, "\n### "+r.Alert+"\n") {
				t.Errorf("docs/alarms.md has no paragraph for %s", r.Alert)
			}
			if want := "docs/alarms.md#" + strings.ToLower(r.Alert); r.Annotations["runbook"] != want {
				t.Errorf("%s: runbook %q, want %q", r.Alert, r.Annotations["runbook"], want)
			}
		}
	}
	// These checks have a metric of their own, which an alarm watches, or only doctor makes them.
	for _, id := range []string{
		checkup.ChannelHalted, checkup.ChannelHeld, checkup.ChannelSilent, checkup.ChannelAside, checkup.Contested,
		checkup.LinkUp, checkup.LinkTrip, checkup.CardExpiry, checkup.KeyExpiry, checkup.TLSExpiry, checkup.APIExpiry,
		checkup.AgreementExpiry,
	} {
		checks[id] = true
	}
	for _, k := range checkup.All() {
		if !checks[k.ID] {
			t.Errorf("no alarm watches %s", k.ID)
		}
		if !strings.Contains(page, "| `"+k.ID+"` |") {
			t.Errorf("docs/alarms.md has no line for the check %s", k.ID)
		}
	}
}

func TestExpressionsThatDoNotFitAreFound(t *testing.T) {
	t.Parallel()
	have := metricsOfANode(t)
	for expr, want := range map[string]string{
		`karaula_linkup == 0`:                                    "no metric",
		`karaula_link_up{partner="me"} == 0`:                     "no label partner",
		`sum by (code) (rate(karaula_backlog_statements[5m]))`:   "label code",
		`karaula_check_state{check=~"disk.room|disk.full"} == 2`: "no check disk.full",
		`sum(rate(karaula_link_up[5m]) > 0`:                      "do not close",
	} {
		if got := strings.Join(fits(have, expr), "; "); !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", expr, got, want)
		}
	}
}

func TestTheDashboardNamesMetricsThatExist(t *testing.T) {
	t.Parallel()
	have := metricsOfANode(t)
	var board struct {
		Panels []struct {
			ID      int    `json:"id"`
			Title   string `json:"title"`
			Targets []struct {
				Expr string `json:"expr"`
			} `json:"targets"`
		} `json:"panels"`
	}
	if err := json.Unmarshal(read(t, filepath.Join(deployed, "grafana", "karaula.json")), &board); err != nil {
		t.Fatal(err)
	}
	shown := map[string]bool{}
	for _, p := range board.Panels {
		for _, target := range p.Targets {
			for _, fault := range fits(have, target.Expr) {
				t.Errorf("%s: %s", p.Title, fault)
			}
			for _, m := range metricName.FindAllStringSubmatch(target.Expr, -1) {
				shown[m[1]] = true
			}
		}
	}
	if len(board.Panels) < 10 || len(shown) < 15 {
		t.Errorf("%d panels show %d metrics", len(board.Panels), len(shown))
	}
}

// The page for who operates a node lists every metric, and no other.
func TestThePageListsEveryMetric(t *testing.T) {
	t.Parallel()
	have := metricsOfANode(t)
	listed := map[string]bool{}
	for _, m := range regexp.MustCompile("`(karaula_[a-z_]+)`").FindAllStringSubmatch(string(read(t, "../../../../docs/operating.md")), -1) {
		listed[m[1]] = true
		if have[m[1]] == nil {
			t.Errorf("docs/operating.md lists %s, which no node has", m[1])
		}
	}
	for name := range have {
		if !listed[name] {
			t.Errorf("docs/operating.md does not list %s", name)
		}
	}
}

// hardening is what every unit of ours must have.
var hardening = []string{
	"NoNewPrivileges=yes", "ProtectSystem=strict", "ProtectHome=yes", "PrivateTmp=yes", "PrivateDevices=yes",
	"CapabilityBoundingSet=", "MemoryDenyWriteExecute=yes", "SystemCallFilter=@system-service",
	"RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX", "UMask=0077", "User=karaula",
}

func TestUnitsAreHardened(t *testing.T) {
	t.Parallel()
	units, err := filepath.Glob(filepath.Join(deployed, "*", "*.service"))
	if err != nil || len(units) < 3 {
		t.Fatalf("units %v: %v", units, err)
	}
	for _, unit := range units {
		lines := strings.Split(string(read(t, unit)), "\n")
		for _, want := range hardening {
			if !slices.Contains(lines, want) {
				t.Errorf("%s lacks %s", filepath.Base(unit), want)
			}
		}
		// Officers are told apart by their user ids, which a user namespace makes one.
		if slices.Contains(lines, "PrivateUsers=yes") {
			t.Errorf("%s hides who talks to the node", filepath.Base(unit))
		}
	}
}

// Where the tools of Prometheus, systemd and nftables are installed, they judge.
func TestToolsTakeWhatIsDeployed(t *testing.T) {
	t.Parallel()
	try := func(tool string, args ...string) {
		path, err := exec.LookPath(tool)
		if err != nil {
			t.Logf("%s is not installed", tool)
			return
		}
		if out, err := exec.CommandContext(t.Context(), path, args...).CombinedOutput(); err != nil {
			t.Errorf("%s %s: %v\n%s", tool, strings.Join(args, " "), err, out)
		}
	}
	try("promtool", "check", "rules", filepath.Join(deployed, "prometheus", "karaula.rules.yml"))
	// 20 is an exposure of 2.0 of 10, which systemd calls OK.
	try("systemd-analyze", "security", "--offline=true", "--threshold=20", filepath.Join(deployed, "systemd", "karaula.service"))
}
