package node

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"karaula/internal/problem"
	"karaula/internal/signedtext/texttest"
)

// full gives a configuration in which no field has its zero value.
func full() *Config {
	return &Config{
		Party: "al", Name: "Policia e Shtetit – test", Listen: "0.0.0.0:4222",
		Advertise: []string{"al.example.org:4222", "192.0.2.1:4222"}, Metrics: "127.0.0.1:9222",
		ClockSkew: 90 * time.Second, Heartbeat: 30 * time.Minute, Silence: 3 * time.Hour, BackupHorizon: 48 * time.Hour,
		DeskRetention: 5 * 8766 * time.Hour, Holidays: []string{"2026-11-28", "2026-11-30"}, Replicas: 3,
		SocketMode: "0660",
		Officers: []Officer{
			{UID: 1000, ID: "desk-1", Role: RoleOfficer}, {UID: 1001, ID: "on", Role: RoleSupervisor},
		},
		Cluster: ClusterConfig{Server: "al-2", Servers: []ServerConfig{
			{Name: "al-1", Client: "10.1.0.1:4222", Route: "10.1.0.1:6222"},
			{Name: "al-2", Client: "al-2.example.org:4222", Route: "10.1.0.2:6222"},
			{Name: "al-3", Client: "10.1.0.3:4222", Route: "[fd00::3]:6222"},
		}},
		Pair:  PairConfig{Gateway: "al-b", Gateways: []string{"al-a", "al-b"}, Takeover: TakeoverManual, Lease: time.Minute},
		Store: StoreConfig{MaxBytes: 10 << 30, Quota: 1<<20 + 1},
		Log:   LogConfig{Level: "debug", Format: "json"},
	}
}

func TestTemplateIsReadBack(t *testing.T) {
	t.Parallel()
	least := Default()
	least.Party, least.Name, least.Listen = "me", `A \ B`, "127.0.0.1:4222"
	least.Advertise, least.Officers = []string{}, []Officer{}
	least.Holidays = []string{}
	least.Cluster.Servers, least.Pair.Gateways = []ServerConfig{}, []string{}
	least.Broker.URL = "tls://broker.example.org:4222"
	for name, c := range map[string]*Config{"full": full(), "least": least} {
		got, err := Parse(Template(c))
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, Template(c))
		}
		if diff := cmp.Diff(c, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestEveryFieldIsDocumented(t *testing.T) {
	t.Parallel()
	template := string(Template(full()))
	for _, f := range fields(reflect.ValueOf(*full()), 0) {
		if f.doc == "" || !strings.HasSuffix(f.doc, ".") {
			t.Errorf("%s has no documentation", f.name)
		}
		if f.name == "" || f.name != strings.ToLower(f.name) {
			t.Errorf("field %q has no lower-case YAML name", f.name)
		}
		if !strings.Contains(template, "\n"+strings.Repeat("  ", f.depth)+f.name+":") {
			t.Errorf("%s does not stand in the template", f.name)
		}
		first, _, _ := strings.Cut(f.doc, "\n")
		if !strings.Contains(template, "# "+first+"\n") {
			t.Errorf("%s is not explained in the template", f.name)
		}
	}
	for line := range strings.Lines(template) {
		if len(line) > 90 {
			t.Errorf("long line in the template: %s", line)
		}
	}
}

func TestReference(t *testing.T) {
	t.Parallel()
	texttest.Golden(t, "../../docs/configuration.md", Reference())
}

// base is the least that a configuration needs.
const base = "party: al\nname: Test\nlisten: 127.0.0.1:4222\n"

func TestDefaults(t *testing.T) {
	t.Parallel()
	got, err := Parse([]byte(base))
	if err != nil {
		t.Fatal(err)
	}
	want := &Config{
		Party: "al", Name: "Test", Listen: "127.0.0.1:4222", ClockSkew: 5 * time.Minute, Heartbeat: time.Hour, Silence: 2 * time.Hour,
		BackupHorizon: 720 * time.Hour, DeskRetention: DeskRetention, Replicas: 1, SocketMode: "0600",
		Pair:  PairConfig{Takeover: "automatic", Lease: 5 * time.Second},
		Store: StoreConfig{MaxBytes: 32 << 30, Quota: 1 << 30}, Log: LogConfig{Level: "info", Format: "text"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"127.0.0.1:4222"}, got.Addresses()); diff != "" {
		t.Error(diff)
	}
	got.Advertise = []string{"a.example.org:1"}
	if diff := cmp.Diff([]string{"a.example.org:1"}, got.Addresses()); diff != "" {
		t.Error(diff)
	}
}

// oneServer is a cluster of one server with such a route.
func oneServer(route string) string {
	return "cluster:\n  server: a\n  servers: [{name: a, client: \"h:1\", route: \"" + route + "\"}]\n"
}

func TestRefused(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, yaml, want string }{
		{"servers without a cluster", base + "cluster:\n  servers: [{name: a, client: \"h:1\", route: \"10.0.0.1:2\"}]\n", "cluster.server"},
		{"a pair without a cluster", base + "pair:\n  gateway: a\n  gateways: [a, b]\n", "a pair needs a cluster"},
		{"a pair of one", base + "pair:\n  gateway: a\n  gateways: [a, a]\n", "not two names"},
		{"too few servers", base + "replicas: 3\n" + oneServer("10.0.0.1:2"), "not 3 or 5"},
		{"a route on all addresses", base + "replicas: 3\n" + oneServer("0.0.0.0:2"), "one address of the private network"},
		{"unknown field", base + "trust: all\n", "line 4: field trust not found"},
		{"unknown inner field", base + "store:\n  shards: 2\n", "line 5: field shards not found"},
		{
			"unknown officer field",
			base + "officers:\n  - {uid: 1, id: a, role: officer, name: x}\n", "line 5: field name not found",
		},
		{"field twice", base + "party: me\n", "line 4"},
		{"empty", "", "not valid YAML: no documents in stream"},
		{"only comments", "# nothing\n", "not valid YAML: no documents in stream"},
		{"a list", "- a\n", "line 1: cannot"},
		{"no YAML", "party: [\n", "not valid YAML"},
		{"two documents", base + "---\n" + base, "not valid YAML"},
		{"anchor", base + "metrics: &a 127.0.0.1:1\n", "line 4: anchors and aliases are not allowed"},
		{"merge", base + "log:\n  <<: {level: info}\n", "line 5: merge keys are not allowed"},
		{"tag", base + "replicas: !!int \"1\"\n", "line 4: tags are not allowed"},
		{"wrong type", base + "replicas: many\n", "line 4: cannot"},
		{"party", strings.Replace(base, "party: al", "party: AL", 1), "line 1: party: not a party code"},
		{"name", strings.Replace(base, "Test", `"a\u202Eb"`, 1), "line 2: name: not a name"},
		{"name with quote", strings.Replace(base, "Test", `'a"b'`, 1), "line 2: name: not a name"},
		{"listen name", strings.Replace(base, "127.0.0.1:4222", "example.org:4222", 1), "line 3: listen"},
		{"listen no port", strings.Replace(base, "127.0.0.1:4222", "127.0.0.1", 1), "line 3: listen"},
		{"listen port 0", strings.Replace(base, "127.0.0.1:4222", "127.0.0.1:0", 1), "line 3: listen"},
		{"advertise", base + "advertise:\n  - a.example.org:1\n  - nowhere\n", "line 6: advertise.1: not host:port"},
		{"interface", base + "api:\n  listen: karaula.example.org:7443\n", "line 5: api.listen: not an address"},
		{"interface for partners", base + "api:\n  listen: 127.0.0.1:4222\n", "line 5: api.listen: the same as"},
		{"certificate without key", base + "api:\n  certificate: a.crt\n", "line 4: api: certificate and key"},
		{"metrics", base + "metrics: 9222\n", "line 4: metrics"},
		{"clock skew", base + "clock-skew: 2h\n", "line 4: clock-skew: not between 1s and 1h"},
		{"clock skew without unit", base + "clock-skew: 300\n", "line 4: cannot"},
		{"heartbeat", base + "heartbeat: 0s\n", "line 4: heartbeat: not between 1s and 1h"},
		{"backup horizon", base + "backup-horizon: -1s\n", "line 4: backup-horizon: not between 0s and 8760h"},
		{"a holiday that is no date", base + "holidays:\n  - 2026-11-28\n  - 28.11.2026\n", "line 6: holidays.1: not a date"},
		{"a holiday that there is not", base + "holidays: [\"2026-02-30\"]\n", "line 4: holidays.0: not a date"},
		{"a holiday twice", base + "holidays: [2026-11-28, 2026-11-28]\n", "line 4: holidays.1: 2026-11-28 stands twice"},
		{"replicas", base + "replicas: 2\n", "line 4: replicas: not 1, 3 or 5"},
		{"socket mode", base + "socket-mode: \"0777\"\n", "line 4: socket-mode"},
		{"language", base + "language: sr\n", "line 4: language"},
		{
			"role",
			base + "officers:\n  - {uid: 1, id: a, role: boss}\n", "line 5: officers.0: role is not one of officer, supervisor",
		},
		{"uid", base + "officers:\n  - {uid: -1, id: a, role: admin}\n", "line 5: officers.0: uid is not a user id"},
		{"no uid", base + "officers:\n  - {id: a, role: admin}\n", "line 5: officers.0: uid is missing"},
		{
			"uid twice",
			base + "officers:\n  - {uid: 1, id: a, role: admin}\n  - {uid: 1, id: b, role: admin}\n",
			"line 6: officers.1: uid 1 stands twice",
		},
		{
			"id twice",
			base + "officers:\n  - {uid: 1, id: a, role: admin}\n  - {uid: 2, id: a, role: admin}\n",
			"line 6: officers.1: id a stands twice",
		},
		{"id", base + "officers:\n  - {uid: 1, id: \"a b\", role: admin}\n", "line 5: officers.0: id is not"},
		{"url scheme", base + "broker:\n  url: nats://a.example.org:4222\n", "line 5: broker.url"},
		{"url with a password", base + "broker:\n  url: tls://me:secret@a.example.org:4222\n", "line 5: broker.url"},
		{"size", base + "store:\n  quota: 1GB\n", `line 5: "1GB" is not a size`},
		{"size of a list", base + "store:\n  quota: [1]\n", "line 5: not a size"},
		{"store too small", base + "store:\n  max-bytes: 1MiB\n", "line 5: store.max-bytes: below 64MiB"},
		{"quota above store", base + "store:\n  quota: 64GiB\n", "line 5: store.quota: not between"},
		{"log level", base + "log: {level: loud}\n", "line 4: log.level"},
		{"log format", base + "log: {format: xml}\n", "line 4: log.format"},
		{"too large", base + "#" + strings.Repeat("x", MaxConfig), "above the limit of 65536 bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := Parse([]byte(tt.yaml))
			if !problem.Is(err, problem.Invalid) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want kind invalid with %q", err, tt.want)
			}
			if err != nil && strings.ContainsAny(err.Error(), "\n\u202e") {
				t.Errorf("the error is not one clean line: %q", err)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Error("the error repeats a secret")
			}
		})
	}
}

func TestEverythingAtOnce(t *testing.T) {
	t.Parallel()
	_, err := Parse([]byte("replicas: 2\nparty: X\nlisten: nowhere\nheartbeat: 2h\n"))
	want := "name: not a name of 1 to 200 bytes, in visible characters without double quotes; " +
		"line 1: replicas: not 1, 3 or 5; line 2: party: not a party code; " +
		"line 3: listen: not an address and port like 0.0.0.0:4222; line 4: heartbeat: not between 1s and 1h"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	if problem.HintOf(err) == "" {
		t.Error("no hint")
	}
	_, err = Parse([]byte(base + "a: 1\nb: 2\n"))
	for _, want := range []string{"line 4: field a not found", "line 5: field b not found"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("two unknown fields: %v", err)
		}
	}
}

func TestLoad(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := Load(dir); !problem.Is(err, problem.NotFound) || !strings.Contains(problem.HintOf(err), "karaula init") {
		t.Errorf("no node: %v", err)
	}
	path := filepath.Join(dir, "node.yaml")
	if err := os.WriteFile(path, Template(full()), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(full(), c); diff != "" {
		t.Error(diff)
	}
	if err := os.WriteFile(path, []byte("x: 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = Load(dir)
	if !problem.Is(err, problem.Invalid) || !strings.Contains(err.Error(), path) || problem.HintOf(err) == "" {
		t.Errorf("bad file: %v", err)
	}
}

func TestSize(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Size{
		"0": 0, "1": 1, "1024": 1 << 10, "1KiB": 1 << 10, "3 MiB": 3 << 20, "2GiB": 2 << 30, "4TiB": 4 << 40,
	} {
		got, err := ParseSize(text)
		if err != nil || got != want {
			t.Errorf("%q: %d, %v", text, got, err)
		}
		if again, err := ParseSize(got.String()); err != nil || again != got {
			t.Errorf("%q written as %q: %d, %v", text, got, again, err)
		}
	}
	for _, bad := range []string{"", "x", "-1", "1.5GiB", "1GB", "9999999TiB", "GiB"} {
		if got, err := ParseSize(bad); err == nil {
			t.Errorf("%q read as %d", bad, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(base))
	f.Add(Template(full()))
	f.Add([]byte("a: &a [*a]\n"))
	f.Fuzz(func(t *testing.T, body []byte) {
		c, err := Parse(body)
		if err != nil {
			return
		}
		again, err := Parse(Template(c))
		if err != nil {
			t.Fatalf("the template of an accepted configuration is refused: %v", err)
		}
		if c.Party != again.Party || c.Listen != again.Listen || c.Name != again.Name ||
			len(c.Officers) != len(again.Officers) {
			t.Fatal("the template says something else")
		}
	})
}
