package broker

import (
	"bytes"
	"crypto/tls"
	"flag"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"

	"karaula/internal/problem"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

var update = flag.Bool("update", false, "write the golden file anew")

// fixedUser is a public user nkey that is the same in every run.
func fixedUser(t testing.TB, n byte) string {
	t.Helper()
	user, err := nkeys.FromRawSeed(nkeys.PrefixByteUser, bytes.Repeat([]byte{n}, 32))
	if err != nil {
		t.Fatal(err)
	}
	public, err := user.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return public
}

// examplePlan is the node of al in a three-party example: a bilateral channel,
// a trilateral one in which xk is suspended, and a closed one.
func examplePlan(t testing.TB) Plan {
	t.Helper()
	return Plan{
		Party: "al", ServerName: "al", Listen: "192.0.2.1:4222", StoreDir: "/srv/karaula/al/broker/jetstream",
		TLS: TLSFiles{
			Cert: "/srv/karaula/al/broker/tls.crt", Key: "/srv/karaula/al/broker/tls.key",
			CA: "/srv/karaula/al/broker/partners.pem",
		},
		MaxStore: 64 << 30, Replicas: 1,
		Own: Users{
			Gateway: []string{fixedUser(t, 1)}, Keeper: []string{fixedUser(t, 2)},
			Audit: []string{fixedUser(t, 3)}, Ops: []string{fixedUser(t, 4)}, Pins: [][32]byte{{1}},
		},
		Peers: []Peer{
			{Code: "xk", Ref: "card 2 of xk", NATSKeys: []string{fixedUser(t, 7)}, Pins: [][32]byte{{4}}},
			{Code: "me", Ref: "card 5 of me", NATSKeys: []string{fixedUser(t, 5), fixedUser(t, 6)}, Pins: [][32]byte{{2}, {3}}},
		},
		Channels: []Channel{
			{
				ID: "t01-al-me-xk", Ref: "t01-al-me-xk v2, in force; suspended by xk", Mode: karaulav1.Mode_MODE_ACTUAL,
				Say:      []Say{{"route", "t01-al-me-xk clause 1 (Art. 3)"}, {"receipt", "every party answers"}},
				Partners: []PartnerOf{{Code: "xk"}, {Code: "me", Fetch: true}}, In: []string{"xk", "me"},
			},
			{
				ID: "b01-al-me", Ref: "b01-al-me v1, in force", Mode: karaulav1.Mode_MODE_ACTUAL,
				Say: []Say{
					{"vehicle", "b01-al-me clause 2 (Art. 5)"},
					{"patrol", "b01-al-me clause 3 (Art. 6)"},
					{"receipt", "every party answers"},
				},
				Partners: []PartnerOf{{Code: "me", Fetch: true}}, In: []string{"me"},
			},
			{
				ID: "b00-al-me", Ref: "b00-al-me v1, closed", Mode: karaulav1.Mode_MODE_ACTUAL,
				Partners: []PartnerOf{{Code: "me", Closed: true}}, In: []string{"me"},
			},
		},
	}
}

func TestCompileGolden(t *testing.T) {
	t.Parallel()
	got, err := Compile(examplePlan(t))
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join("testdata", "al.conf")
	if *update {
		if err := os.WriteFile(name, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("the text changed; run go test ./broker -run Golden -update if it should (-want +got):\n%s", diff)
	}
}

func TestCompileDoesNotDependOnOrder(t *testing.T) {
	t.Parallel()
	want, err := Compile(examplePlan(t))
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		p := examplePlan(t)
		random.Shuffle(len(p.Peers), func(i, j int) { p.Peers[i], p.Peers[j] = p.Peers[j], p.Peers[i] })
		random.Shuffle(len(p.Channels), func(i, j int) { p.Channels[i], p.Channels[j] = p.Channels[j], p.Channels[i] })
		for _, ch := range p.Channels {
			random.Shuffle(len(ch.Say), func(i, j int) { ch.Say[i], ch.Say[j] = ch.Say[j], ch.Say[i] })
			random.Shuffle(len(ch.Partners), func(i, j int) { ch.Partners[i], ch.Partners[j] = ch.Partners[j], ch.Partners[i] })
		}
		got, err := Compile(p)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(want, got) {
			t.Fatal("the same rights in another order make another text")
		}
	}
}

func TestStockServerAcceptsTheText(t *testing.T) {
	t.Parallel()
	stock := filepath.Join(t.TempDir(), "nats-server")
	build := exec.Command("go", "build", "-o", stock, "github.com/nats-io/nats-server/v2")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("the stock server does not build: %v\n%s", err, out)
	}
	s := newSite(t)
	s.plan.Peers = append(s.plan.Peers, newPerson(t, "no").peer("no")) // "no" and "on" are booleans when not quoted
	s.plan.Channels = append(s.plan.Channels, Channel{ID: "on", Partners: []PartnerOf{{Code: "no", Fetch: true}}})
	if _, err := Prepare(s.plan, s.conf); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(stock, "-t", "-c", s.conf).CombinedOutput(); err != nil {
		t.Errorf("nats-server -t -c: %v\n%s", err, out)
	}
	if err := os.WriteFile(s.conf, []byte("accounts { broken: 1 }"), 0o600); err != nil {
		t.Fatal(err)
	}
	if exec.Command(stock, "-t", "-c", s.conf).Run() == nil {
		t.Error("nats-server -t accepts anything, so it shows nothing")
	}
}

func TestServerReadsWhatWasMeant(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.plan.StoreDir = filepath.Join(s.dir, "with space, #hash and {brace}")
	if _, err := Prepare(s.plan, s.conf); err != nil {
		t.Fatal(err)
	}
	opts, err := server.ProcessConfigFile(s.conf)
	if err != nil {
		t.Fatal(err)
	}
	if opts.StoreDir != s.plan.StoreDir {
		t.Errorf("store folder is %q, want %q", opts.StoreDir, s.plan.StoreDir)
	}
	if !opts.SyncAlways || opts.JetStreamDomain != "al" || !opts.FeatureFlags["js_ack_fc_v2"] {
		t.Error("sync_interval, domain or feature flag did not arrive")
	}
	if tc := opts.TLSConfig; tc.ClientAuth != tls.RequireAndVerifyClientCert || tc.MinVersion != tls.VersionTLS13 ||
		!opts.TLSHandshakeFirst || opts.TLSHandshakeFirstFallback != 0 || len(opts.TLSPinnedCerts) != 4 {
		t.Error("TLS is not as strict as it should be")
	}
	if opts.Websocket.Port != 0 || opts.MQTT.Port != 0 || opts.LeafNode.Port != 0 || opts.Gateway.Port != 0 ||
		opts.Cluster.Port != 0 || opts.HTTPPort != 0 || opts.HTTPSPort != 0 || opts.NoAuthUser != "" || opts.AllowNonTLS {
		t.Error("a second way in is open")
	}
}

func TestCompileRefusesWhatCouldBreakOut(t *testing.T) {
	t.Parallel()
	evil := []string{
		"", "AL", "al\"", "al}", "al\n", "al # x", "al*", "al.>", "a b", "al;", "ал", "al-me\" }", "$SYS",
		strings.Repeat("a", 99),
	}
	for what, set := range map[string]func(*Plan, string){
		"party":       func(p *Plan, s string) { p.Party = s },
		"server name": func(p *Plan, s string) { p.ServerName = s + "\"" },
		"peer":        func(p *Plan, s string) { p.Peers[0].Code = s },
		"nkey":        func(p *Plan, s string) { p.Peers[0].NATSKeys[0] = s },
		"own nkey":    func(p *Plan, s string) { p.Own.Ops[0] = s },
		"channel":     func(p *Plan, s string) { p.Channels[0].ID = s },
		"token":       func(p *Plan, s string) { p.Channels[0].Say[0].Token = s },
		"partner":     func(p *Plan, s string) { p.Channels[0].Partners[0].Code = s },
		"origin":      func(p *Plan, s string) { p.Channels[0].In[0] = s },
		"listen":      func(p *Plan, s string) { p.Listen = s },
		"listen port": func(p *Plan, s string) { p.Listen = "127.0.0.1:42" + s + "x" },
		"listen host": func(p *Plan, s string) { p.Listen = s + "\":4222" },
		"store":       func(p *Plan, s string) { p.StoreDir = s + "\"\n" },
		"certificate": func(p *Plan, s string) { p.TLS.Cert = s + "\\" },
		"bundle":      func(p *Plan, s string) { p.TLS.CA = s + "$x" },
	} {
		for _, s := range evil {
			p := examplePlan(t)
			set(&p, s)
			if _, err := Compile(p); !problem.Is(err, problem.Invalid) {
				t.Errorf("%s %q: Compile gives %v, want a refusal", what, s, err)
			}
		}
	}
}

func TestCompileRefusesContradictions(t *testing.T) {
	t.Parallel()
	for what, set := range map[string]func(*Plan){
		"self as peer":           func(p *Plan) { p.Peers[0].Code = "al" },
		"peer twice":             func(p *Plan) { p.Peers[0].Code = p.Peers[1].Code },
		"one nkey for two":       func(p *Plan) { p.Peers[0].NATSKeys[0] = p.Own.Gateway[0] },
		"channel twice":          func(p *Plan) { p.Channels[0].ID = p.Channels[1].ID },
		"self as partner":        func(p *Plan) { p.Channels[0].Partners[0].Code = "al" },
		"self as origin":         func(p *Plan) { p.Channels[0].In[0] = "al" },
		"fetch without a link":   func(p *Plan) { p.Peers = p.Peers[:1] },
		"fetch a closed channel": func(p *Plan) { p.Channels[2].Partners[0].Fetch = true },
		"two replicas":           func(p *Plan) { p.Replicas = 2 },
		"no store":               func(p *Plan) { p.MaxStore = 0 },
		"negative quota":         func(p *Plan) { p.Channels[0].Quota = -1 },
	} {
		p := examplePlan(t)
		set(&p)
		if _, err := Compile(p); !problem.Is(err, problem.Invalid) {
			t.Errorf("%s: Compile gives %v, want a refusal", what, err)
		}
	}
}

func TestCommentsCannotLeaveTheirLine(t *testing.T) {
	t.Parallel()
	p := examplePlan(t)
	evil := "x\naccounts { EVIL { users: [{user: a, password: a}] } }\r\u2028\x00 y"
	p.Channels[0].Ref, p.Channels[0].Say[0].Ref, p.Peers[0].Ref = evil, evil, evil
	got, err := Compile(p)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(got)) {
		if before, _, ok := strings.Cut(line, "EVIL"); ok && !strings.Contains(before, "#") {
			t.Errorf("a comment became configuration: %s", line)
		}
	}
	if bytes.ContainsAny(got, "\r\x00\u2028") {
		t.Error("control characters went into the text")
	}
}
