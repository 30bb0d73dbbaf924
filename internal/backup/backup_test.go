package backup

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/google/go-cmp/cmp"

	"karaula/internal/journal"
	"karaula/internal/ledger"
	"karaula/internal/node"
	"karaula/internal/problem"
	"karaula/internal/subject"
	"karaula/internal/testworld"
)

var made = time.Date(2026, 5, 2, 12, 0, 0, 0, time.UTC)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// secrets are in the folder and must not be in a backup.
const secrets = "INVENTED-SECRET"

// folder makes what a backup needs of a node's folder, and what it must leave out.
func folder(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "al")
	must(t, node.Layout{Dir: dir}.Make())
	cfg := node.Default()
	cfg.Party, cfg.Name, cfg.Listen = "al", "Invented police", "127.0.0.1:7422"
	for name, body := range map[string]string{
		"node.yaml":                          string(node.Template(cfg)),
		"al.card":                            string(testworld.New(t, "al").Parties["al"].Card.Signed),
		"gateway/keys":                       "invented gateway keys",
		"broker/keys":                        "invented broker keys",
		"register/parties/al/1.card":         "a card",
		"register/agreements/b01/1-6f3c.txt": "an agreement",
		"register/tombstones/b00":            "",
		"register/lock":                      secrets,
		"register/generation":                secrets,
		"register/parties/al/.new-123":       secrets,
		"al.root":                            secrets,
		"gateway/root":                       secrets,
		"gateway/index":                      secrets,
		"broker/jetstream/1.blk":             secrets,
		"broker/nats.conf":                   secrets,
	} {
		path := filepath.Join(dir, filepath.FromSlash(name))
		must(t, os.MkdirAll(filepath.Dir(path), 0o700))
		must(t, os.WriteFile(path, []byte(body), 0o600))
	}
	return dir
}

func identity(t testing.TB) *age.HybridIdentity {
	t.Helper()
	id, err := age.GenerateHybridIdentity()
	must(t, err)
	return id
}

// collect makes a backup of a folder.
func collect(t testing.TB) *Archive {
	t.Helper()
	a, err := Collect(folder(t), made)
	must(t, err)
	return a
}

// sealed encrypts a backup.
func sealed(t testing.TB, a *Archive, id *age.HybridIdentity) []byte {
	t.Helper()
	var out bytes.Buffer
	must(t, a.write(&out, id.Recipient()))
	return out.Bytes()
}

func TestWhatIsInABackupAndWhatIsNot(t *testing.T) {
	t.Parallel()
	a := collect(t)
	var names []string
	for _, f := range a.Manifest.Files {
		names = append(names, f.Path)
	}
	want := []string{
		"al.card", "broker/keys", "gateway/keys", "node.yaml",
		"register/agreements/b01/1-6f3c.txt", "register/parties/al/1.card", "register/tombstones/b00",
	}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Error(diff)
	}
	var plain bytes.Buffer
	must(t, a.pack(&plain))
	if strings.Contains(plain.String(), secrets) {
		t.Error("the backup holds what it must not")
	}
	if got := a.Manifest.DestroyBy; !got.Equal(made.Add(30 * 24 * time.Hour)) {
		t.Errorf("to be destroyed by %s", got)
	}
}

func TestABackupIsRestored(t *testing.T) {
	t.Parallel()
	a, id := collect(t), identity(t)
	path := filepath.Join(t.TempDir(), "al.backup")
	must(t, a.WriteFile(path, id.Recipient()))
	if err := a.WriteFile(path, id.Recipient()); !problem.Is(err, problem.Conflict) {
		t.Errorf("a backup was overwritten: %v", err)
	}
	info, err := os.Stat(path)
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the backup has mode %o", info.Mode())
	}
	raw, err := os.ReadFile(path)
	must(t, err)
	b, err := Open(bytes.NewReader(raw), id)
	must(t, err)
	if diff := cmp.Diff(a.Manifest, b.Manifest); diff != "" {
		t.Error(diff)
	}
	dir := filepath.Join(t.TempDir(), "new")
	must(t, b.Restore(dir, made.Add(time.Hour)))
	for _, f := range a.Manifest.Files {
		body, err := os.ReadFile(filepath.Join(dir, f.Path))
		must(t, err)
		if !bytes.Equal(body, a.bodies[f.Path]) {
			t.Errorf("%s is another one", f.Path)
		}
	}
	l := node.Layout{Dir: dir}
	for path, mode := range map[string]os.FileMode{dir: 0o700, l.GatewayKeys(): 0o600, l.BrokerKeys(): 0o600, l.Restored(): 0o600} {
		info, err := os.Stat(path)
		must(t, err)
		if info.Mode().Perm() != mode {
			t.Errorf("%s has mode %o", path, info.Mode().Perm())
		}
	}
	mark, err := l.LoadRestored()
	must(t, err)
	if mark == nil || !mark.BackupMadeAt.Equal(made) {
		t.Errorf("the folder does not know that it was restored: %v", mark)
	}
	if err := b.Restore(dir, made); !problem.Is(err, problem.Conflict) {
		t.Errorf("restored over a folder: %v", err)
	}
	must(t, os.WriteFile(l.Restored(), []byte("{}"), 0o600))
	if _, err := l.LoadRestored(); !problem.Is(err, problem.Verification) {
		t.Errorf("a damaged mark was taken: %v", err)
	}
}

// What journals and an earlier restoration say is kept, the later of the two.
func TestABackupKnowsHowFarLedgersWent(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	l := node.Layout{Dir: dir}
	ids := []ledger.ID{{1}, {2}, {3}}
	must(t, os.WriteFile(l.Restored(), []byte(`{"backup_made_at":"2026-04-01T00:00:00Z","ledgers":[
		{"channel":"b01","ledger":"`+ids[0].String()+`","epoch":1,"size":9},
		{"channel":"b02","ledger":"`+ids[1].String()+`","epoch":1,"size":9}]}`), 0o600))
	open := func(channel string, id ledger.ID, epoch uint64) *journal.Journal {
		j, err := journal.Open(l.Journal(subject.Actual(channel)), journal.State{Ledger: id, Channel: channel, Epoch: epoch, Tree: new(ledger.Tree)})
		must(t, err)
		return j
	}
	open("b01", ids[0], 1)                  // stays open: the gateway writes while a backup is made
	must(t, open("b02", ids[1], 2).Close()) // a new epoch
	must(t, open("b03", ids[2], 1).Close())
	a, err := Collect(dir, made)
	must(t, err)
	want := []node.KnownLedger{
		{Channel: "b01", Ledger: ids[0].String(), Epoch: 1, Size: 9},
		{Channel: "b02", Ledger: ids[1].String(), Epoch: 2},
		{Channel: "b03", Ledger: ids[2].String(), Epoch: 1},
	}
	if diff := cmp.Diff(want, a.Manifest.Ledgers); diff != "" {
		t.Error(diff)
	}
	must(t, os.WriteFile(l.Journal(subject.Actual("b03")), []byte("damaged"), 0o600))
	if _, err := Collect(dir, made); !problem.Is(err, problem.Verification) {
		t.Errorf("a damaged journal was passed over: %v", err)
	}
}

func TestNoBackupIsMade(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil func(t *testing.T, l node.Layout)
		kind  problem.Kind
	}{
		"partners were told that there are none": {func(t *testing.T, l node.Layout) {
			t.Helper()
			cfg := node.Default()
			cfg.Party, cfg.Name, cfg.Listen, cfg.BackupHorizon = "al", "Invented police", "127.0.0.1:7422", 0
			must(t, os.WriteFile(l.Config(), node.Template(cfg), 0o600))
		}, problem.Conflict},
		"no keys": {func(t *testing.T, l node.Layout) { t.Helper(); must(t, os.Remove(l.GatewayKeys())) }, problem.NotFound},
		"keys that are a link": {func(t *testing.T, l node.Layout) {
			t.Helper()
			must(t, os.Remove(l.BrokerKeys()))
			must(t, os.Symlink(l.GatewayKeys(), l.BrokerKeys()))
		}, problem.Failed},
		"a file too large": {func(t *testing.T, l node.Layout) {
			t.Helper()
			must(t, os.Truncate(l.BrokerKeys(), MaxFile+1))
		}, problem.Failed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := folder(t)
			c.spoil(t, node.Layout{Dir: dir})
			if _, err := Collect(dir, made); problem.KindOf(err) != c.kind {
				t.Errorf("kind %v, not %v: %v", problem.KindOf(err), c.kind, err)
			}
		})
	}
}

func TestOnlyPostQuantumRecipients(t *testing.T) {
	t.Parallel()
	classic, err := age.GenerateX25519Identity()
	must(t, err)
	for _, text := range []string{classic.Recipient().String(), "", "age1pq1", "ssh-ed25519 AAAA"} {
		if _, err := ParseRecipient(text); !problem.Is(err, problem.Invalid) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := ParseRecipient(identity(t).Recipient().String()); err != nil {
		t.Error(err)
	}
}
