package main

import (
	"time"

	"github.com/spf13/cobra"

	"karaula/internal/agreement"
	"karaula/internal/keyring"
	"karaula/internal/node"
	"karaula/internal/problem"
	"karaula/internal/register"
	"karaula/internal/terms"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// dirFlag adds the required flag --dir.
func dirFlag(c *cobra.Command, dir *string) {
	c.Flags().StringVar(dir, "dir", "", "the node's folder")
	_ = c.MarkFlagDirname("dir")
	required(c, "dir")
}

// passphraseFlag adds --passphrase-file; the function gives what the flag says,
// nil if it is not given.
func passphraseFlag(c *cobra.Command, of string) func() keyring.Passphrase {
	path := c.Flags().String("passphrase-file", "", "file whose first line is the passphrase of "+of)
	return func() keyring.Passphrase {
		if *path == "" {
			return nil
		}
		return keyring.PassphraseFile(*path)
	}
}

// rootFlags adds --root-key and --root-passphrase-file to a command that has
// --passphrase-file, which opens the root key too if it has no passphrase of its own.
func rootFlags(c *cobra.Command, path *string, other func() keyring.Passphrase) func() keyring.Passphrase {
	c.Flags().StringVar(path, "root-key", "", "file of the root key (default DIR.root, beside the folder)")
	file := c.Flags().String("root-passphrase-file", "", "file whose first line is the passphrase of the root key alone")
	return func() keyring.Passphrase {
		if *file == "" {
			return other()
		}
		return keyring.PassphraseFile(*file)
	}
}

// typesFlag adds --type, which may be repeated or hold several words.
func typesFlag(c *cobra.Command, words *[]string, about string) {
	c.Flags().StringSliceVar(words, "type", nil, about)
	types := cobra.FixedCompletions(terms.TypeWords(), cobra.ShellCompDirectiveNoFileComp)
	_ = c.RegisterFlagCompletionFunc("type", types)
}

// parseTypes reads words for alert types, each once.
func parseTypes(c *cobra.Command, words []string) ([]karaulav1.AlertType, error) {
	var out []karaulav1.AlertType
	seen := map[karaulav1.AlertType]bool{}
	for _, w := range words {
		typ, ok := terms.ParseType(w)
		if !ok {
			return nil, errUsage(c, "%q is not a type; there are %s", w, list(terms.TypeWords()))
		}
		if !seen[typ] {
			seen[typ] = true
			out = append(out, typ)
		}
	}
	return out, nil
}

// moment reads a time as agreements write it; empty is now.
func (a *app) moment(c *cobra.Command, text string) (time.Time, error) {
	if text == "" {
		return a.now(), nil
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}, errUsage(c, "%q is not a time like %s", text, agreement.FormatTime(a.now().Truncate(time.Second)))
	}
	return t, nil
}

// place is an opened node folder: what commands that do not run the node need.
type place struct {
	node.Layout
	*node.Config
	reg *register.Register
}

// open opens the folder of a node and says what in its register is damaged.
func (a *app) open(dir string) (*place, error) {
	cfg, err := node.Load(dir)
	if err != nil {
		return nil, err
	}
	l := node.Layout{Dir: dir}
	reg, err := register.Open(l.Register(), cfg.Party)
	if err != nil {
		return nil, err
	}
	reg.SetClock(a.now)
	for _, d := range reg.View().Damaged() {
		a.note("%s in the register was left out: %s", d.Path, d.Err)
	}
	return &place{Layout: l, Config: cfg, reg: reg}, nil
}

// notFound makes the error about something that the register does not hold.
func notFound(what, name, dir string) error {
	return problem.New(problem.NotFound, "there is no %s %q", what, name).WithHint("karaula %s list --dir %s", what, dir)
}
