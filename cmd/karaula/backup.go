package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"filippo.io/age"
	"github.com/spf13/cobra"

	"karaula/internal/backup"
	"karaula/internal/node"
	"karaula/internal/problem"
)

// backupResult says what a backup holds.
type backupResult struct {
	File      string             `json:"file"`
	Party     string             `json:"party"`
	Digest    string             `json:"digest"` // of the manifest, "sha256:…"; restore shows it again
	MadeAt    time.Time          `json:"made_at"`
	DestroyBy time.Time          `json:"destroy_by"` // by the backup-horizon that partners are told
	Files     int                `json:"files"`      // in it
	Ledgers   []node.KnownLedger `json:"ledgers"`    // how far the own ledgers had gone
}

func (r backupResult) page(p *page) {
	p.fields(
		field{"backup", r.File},
		field{"party", r.Party},
		field{"digest", r.Digest},
		field{"made", r.MadeAt.Format(time.RFC3339)},
		field{"destroy by", r.DestroyBy.Format(time.RFC3339)},
		field{"files", fmt.Sprint(r.Files)},
	)
	p.blank()
	ledgerTable(p, r.Ledgers)
}

// ledgerTable shows how far own ledgers have gone.
func ledgerTable(p *page, ledgers []node.KnownLedger) {
	rows := make([][]string, 0, len(ledgers))
	for _, l := range ledgers {
		rows = append(rows, []string{l.Channel, fmt.Sprint(l.Epoch), fmt.Sprint(l.Size)})
	}
	p.table([]string{"channel", "epoch", "said"}, rows)
}

func newBackup(a *app) *cobra.Command {
	var dir, out string
	var recipients []string
	c := &cobra.Command{
		Use:   "backup --dir DIR --out FILE --recipient AGE-RECIPIENT",
		Short: "pack what a node cannot be made again without, encrypted",
		Long: `Packs configuration, own card, register and keys of a node into one new file,
encrypted with age to one or more post-quantum recipients. The node may run, and
no key is opened: keys that are sealed with a passphrase stay sealed in it, too.
Root keys, signing journals and streams are never in it.

The backup tells until when it must be destroyed: old keys in it open what has
been erased since, and partners were told how long that can last.`,
		Example: `  age-keygen -pq -o /media/safe/backup.identity
  karaula backup --dir al --out al.backup --recipient age1pq1...`,
		Args: positional(),
	}
	dirFlag(c, &dir)
	f := c.Flags()
	f.StringVar(&out, "out", "", "file to write; must not exist, and not lie in the node's folder")
	f.StringSliceVar(&recipients, "recipient", nil, "post-quantum age recipient, age1pq1…; may be repeated")
	required(c, "out", "recipient")
	c.RunE = func(*cobra.Command, []string) error {
		if (node.Layout{Dir: dir}).Inside(out) {
			return problem.New(problem.Invalid, "the backup must not lie inside the node's folder; none was made").
				WithHint("name a file on another medium with --out")
		}
		to := make([]age.Recipient, 0, len(recipients))
		for _, text := range recipients {
			r, err := backup.ParseRecipient(text)
			if err != nil {
				return err
			}
			to = append(to, r)
		}
		b, err := backup.Collect(dir, a.now())
		if err != nil {
			return err
		}
		digest, err := b.Manifest.Digest()
		if err != nil {
			return err
		}
		if err := b.WriteFile(out, to...); err != nil {
			return err
		}
		m := b.Manifest
		return a.show(backupResult{out, m.Party, digest, m.MadeAt, m.DestroyBy, len(m.Files), m.Ledgers})
	}
	return c
}

// restoreResult says what was restored.
type restoreResult struct {
	Dir         string             `json:"dir"`
	Party       string             `json:"party"`
	Name        string             `json:"name"`
	Fingerprint string             `json:"fingerprint"` // of the root key, as the card in the backup says
	Card        uint64             `json:"card"`        // serial
	Digest      string             `json:"digest"`      // of the manifest, as backup has shown it
	MadeAt      time.Time          `json:"made_at"`
	Ledgers     []node.KnownLedger `json:"ledgers"` // how far the own ledgers had gone at least
}

func (r restoreResult) page(p *page) {
	p.fields(
		field{"restored", r.Dir},
		field{"party", r.Party + "  " + r.Name},
		field{"fingerprint", r.Fingerprint},
		field{"card", fmt.Sprint(r.Card)},
		field{"digest", r.Digest},
		field{"made", r.MadeAt.Format(time.RFC3339)},
	)
	p.blank()
	ledgerTable(p, r.Ledgers)
	p.blank()
	p.line("Next:")
	p.line("  compare fingerprint and digest with what was noted when the backup was made")
	p.line("  make sure that the old node never runs again")
	p.line("  karaula run --dir %s", r.Dir)
}

func newRestore(a *app) *cobra.Command {
	var dir, identity, digest string
	c := &cobra.Command{
		Use:   "restore FILE --dir NEWDIR --identity FILE",
		Short: "make a node's folder from a backup",
		Long: `Makes a new folder from a backup, all of which is decrypted and checked before
anything is written. The node then runs under its old keys, fetches again what
partners have said, and says nothing on channels on which it had spoken before
its own history is repaired from what the partners hold.

Encryption hides a backup; it does not prove who made it. Compare the fingerprint
and the digest, or give the digest with --digest.`,
		Example: `  karaula restore al.backup --dir /srv/karaula/al --identity /media/safe/backup.identity`,
		Args:    positional("FILE"),
	}
	f := c.Flags()
	f.StringVar(&dir, "dir", "", "the folder to make; must not exist")
	f.StringVar(&identity, "identity", "", "file with the age identity that opens the backup")
	f.StringVar(&digest, "digest", "", "what backup printed; another backup is refused")
	_ = c.MarkFlagDirname("dir")
	required(c, "dir", "identity")
	c.RunE = func(_ *cobra.Command, args []string) error { return a.restore(args[0], dir, identity, digest) }
	return c
}

// restore opens and checks a backup, and makes the folder.
func (a *app) restore(path, dir, identity, digest string) error {
	ids, err := backup.Identities(identity)
	if err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return problem.Wrap(problem.NotFound, err, "the backup cannot be read; nothing was restored")
	}
	defer f.Close() //nolint:errcheck // only read
	b, err := backup.Open(f, ids...)
	if err != nil {
		return err
	}
	m := b.Manifest
	found, err := m.Digest()
	if err != nil {
		return err
	}
	if digest != "" && digest != found {
		return problem.New(problem.Verification, "the backup's digest is %s, not %s; nothing was restored", found, digest)
	}
	c, err := b.Card()
	if err != nil {
		return err
	}
	if err := b.Restore(dir, a.now()); err != nil {
		return err
	}
	if a.now().After(m.DestroyBy) {
		a.note("this backup should have been destroyed by %s", m.DestroyBy.Format(time.RFC3339))
		a.hint("destroy it now; partners were told that nothing erased could be opened after that")
	}
	if _, err := a.open(dir); err != nil { // says what in the register is damaged
		return err
	}
	return a.show(restoreResult{
		filepath.Clean(dir), m.Party, c.Name, c.Fingerprint(), c.Serial, found, m.MadeAt, m.Ledgers,
	})
}
