package checkup_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"karaula/internal/access"
	"karaula/internal/checkup"
	"karaula/internal/keyring"
	"karaula/internal/node"
	"karaula/internal/testworld"
)

// place makes a node's folder on a disk, as init leaves it.
func place(t *testing.T) checkup.Place {
	t.Helper()
	cfg := node.Default()
	cfg.Party, cfg.Listen = "al", "192.0.2.1:4222"
	l := node.Layout{Dir: filepath.Join(t.TempDir(), "al")}
	if err := l.Make(); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{l.GatewayKeys(), l.BrokerKeys()} {
		if err := os.WriteFile(path, []byte("-----BEGIN AGE ENCRYPTED FILE-----\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return checkup.Place{Layout: l, Config: cfg, Now: time.Now, UID: os.Getuid()}
}

// states gives the states of the checks of an id.
func states(list []checkup.Check, id string) string {
	var out []string
	for _, c := range list {
		if c.ID == id {
			out = append(out, string(c.State))
		}
	}
	return strings.Join(out, " ")
}

func TestWhatIsWrongWithAFolder(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		id, want string
		spoil    func(t *testing.T, p *checkup.Place)
	}{
		"as init leaves it": {checkup.FilesOwner, "ok", func(*testing.T, *checkup.Place) {}},
		"keys that others read": {checkup.FilesOwner, "fail", func(t *testing.T, p *checkup.Place) {
			t.Helper()
			must(t, os.Chmod(p.Layout.GatewayKeys(), 0o640))
		}},
		"a folder that others enter": {checkup.FilesOwner, "fail", func(t *testing.T, p *checkup.Place) {
			t.Helper()
			must(t, os.Chmod(p.Layout.Dir, 0o711))
		}},
		"another user": {checkup.FilesOwner, "fail fail fail fail fail", func(_ *testing.T, p *checkup.Place) { p.UID++ }},
		"a link instead of keys": {checkup.FilesOwner, "warn", func(t *testing.T, p *checkup.Place) {
			t.Helper()
			must(t, os.Rename(p.Layout.BrokerKeys(), p.Layout.BrokerKeys()+".there"))
			must(t, os.Symlink(p.Layout.BrokerKeys()+".there", p.Layout.BrokerKeys()))
		}},
		"sealed keys": {checkup.FilesSealed, "ok ok", func(*testing.T, *checkup.Place) {}},
		"keys without a passphrase": {checkup.FilesSealed, "warn ok", func(t *testing.T, p *checkup.Place) {
			t.Helper()
			must(t, os.WriteFile(p.Layout.GatewayKeys(), []byte("karaula: gateway keys v1\n"), 0o600))
		}},
		"no root key": {checkup.RootAway, "ok", func(*testing.T, *checkup.Place) {}},
		"a root key beside it": {checkup.RootAway, "warn", func(t *testing.T, p *checkup.Place) {
			t.Helper()
			must(t, os.WriteFile(p.Layout.NextRootKey(), nil, 0o600))
		}},
		"a root key in it": {checkup.RootAway, "fail", func(t *testing.T, p *checkup.Place) {
			t.Helper()
			must(t, os.WriteFile(filepath.Join(p.Layout.Dir, "al.root"), nil, 0o600))
		}},
		"a disk that is written": {checkup.DiskSync, "ok", func(*testing.T, *checkup.Place) {}},
		"no place for a journal": {checkup.DiskSync, "fail", func(t *testing.T, p *checkup.Place) {
			t.Helper()
			must(t, os.RemoveAll(p.Layout.Journals()))
		}},
		"a store larger than the disk": {checkup.DiskRoom, "warn", func(_ *testing.T, p *checkup.Place) {
			p.Config.Store.MaxBytes = 1 << 60
		}},
		"an address":        {checkup.PortAdvertise, "ok", func(*testing.T, *checkup.Place) {}},
		"every address":     {checkup.PortAdvertise, "fail", func(_ *testing.T, p *checkup.Place) { p.Config.Listen = "0.0.0.0:4222" }},
		"this machine only": {checkup.PortAdvertise, "warn", func(_ *testing.T, p *checkup.Place) { p.Config.Listen = "[::1]:4222" }},
		"metrics for all":   {checkup.PortMetrics, "warn", func(_ *testing.T, p *checkup.Place) { p.Config.Metrics = ":9222" }},
		"metrics for loopback": {checkup.PortMetrics, "ok", func(_ *testing.T, p *checkup.Place) {
			p.Config.Metrics = "127.0.0.1:9222"
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := place(t)
			c.spoil(t, &p)
			list := p.Checks(t.Context())
			if got := states(list, c.id); got != c.want {
				t.Errorf("%s is %q, want %q: %+v", c.id, got, c.want, list)
			}
			for _, x := range list {
				if x.State != checkup.OK && x.State != checkup.Skipped && x.Hint == "" {
					t.Errorf("%s says nothing that mends it", x.ID)
				}
			}
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// The checks leave nothing behind.
func TestChecksLeaveNothing(t *testing.T) {
	t.Parallel()
	p := place(t)
	p.Checks(t.Context())
	if list, err := os.ReadDir(p.Layout.Journals()); err != nil || len(list) > 0 {
		t.Errorf("left behind: %v, %v", list, err)
	}
}

func TestIDsAreOnceAndQuestions(t *testing.T) {
	t.Parallel()
	var ids []string
	for _, k := range checkup.All() {
		ids = append(ids, k.ID)
		if !strings.HasSuffix(k.Asks, "?") {
			t.Errorf("%s asks %q", k.ID, k.Asks)
		}
	}
	slices.Sort(ids)
	if n := len(slices.Compact(ids)); n != len(checkup.All()) {
		t.Error("an id comes twice")
	}
}

// The certificates of the interface and of its clients warn before they end, and
// no client's name comes with that.
func TestCertificatesOfTheInterfaceEnd(t *testing.T) {
	t.Parallel()
	p := place(t)
	now := time.Now()
	if got := states(p.Checks(t.Context()), checkup.APIExpiry); got != "skipped" {
		t.Errorf("without an interface: %s", got)
	}
	p.Config.API.Listen = "192.0.2.1:7443"
	if got := states(p.Checks(t.Context()), checkup.APIExpiry); got != "fail" {
		t.Errorf("without a certificate: %s", got)
	}
	must(t, p.Layout.MakeAPI())
	server, err := keyring.NewInterface("al", []string{"karaula.example"}, now, now.AddDate(0, 0, 20))
	must(t, err)
	must(t, keyring.SavePEM(p.Layout.APICertificate(), p.Layout.APIKey(), server, nil))
	for name, days := range map[string]int{"a.invented": 100, "b.invented": 20, "c.invented": 2} {
		cert, err := keyring.NewClient(name, now, now.AddDate(0, 0, days))
		must(t, err)
		must(t, access.Add(p.Layout.APIClients(), access.Client{
			Name: name, Role: node.RoleSystem, Fingerprint: keyring.Fingerprint(cert.Leaf), Until: cert.Leaf.NotAfter.Unix(),
		}))
	}
	list := p.Checks(t.Context())
	if got := states(list, checkup.APIExpiry); got != "warn ok warn fail" {
		t.Errorf("states: %s", got)
	}
	for _, c := range list {
		if strings.Contains(c.About+c.Text+c.Hint, "invented") {
			t.Errorf("a client is named: %+v", c)
		}
	}
	if got := p.APIEnds(); len(got) != 4 || got[0].About != "server" {
		t.Errorf("ends: %+v", got)
	}
	must(t, os.WriteFile(filepath.Join(p.Layout.APIClients(), "d.json"), []byte("{}"), 0o600))
	if got := states(p.Checks(t.Context()), checkup.APIExpiry); got != "warn ok warn fail warn" {
		t.Errorf("with a damaged file: %s", got)
	}
}

// Keys of links that were made two years ago warn, each by itself.
func TestLinkKeysAge(t *testing.T) {
	t.Parallel()
	w := testworld.New(t, "al", "me")
	v := w.View("al")
	if got := states(checkup.LinkKeys(v, w.Now), checkup.TLSAge); got != "ok ok" {
		t.Errorf("young: %s", got)
	}
	list := checkup.LinkKeys(v, w.Now.Add(checkup.TLSOld))
	if got := states(list, checkup.TLSAge); got != "warn warn" || !strings.Contains(list[0].Hint, "karaula key renew") {
		t.Errorf("old: %s %+v", got, list)
	}
}

// A root that counts for long warns, and so does a change that waits.
func TestRootsAge(t *testing.T) {
	t.Parallel()
	w := testworld.New(t, "al", "me")
	w.Agree(w.Text("b01-al-me", []string{"al", "me"}))
	v := w.View("al")
	if got := states(checkup.Roots(v, w.Now), checkup.RootAge); got != "ok ok" {
		t.Errorf("young: %s", got)
	}
	if got := states(checkup.Roots(v, w.Now.Add(checkup.RootOld)), checkup.RootAge); got != "warn" { // the agreement with me has ended by then
		t.Errorf("old: %s", got)
	}
}
