package main

import (
	"path/filepath"

	"github.com/spf13/cobra"

	"karaula/cmd/karaula/internal/setup"
	"karaula/internal/node"
)

// initResult says what init made.
type initResult struct {
	Party       string   `json:"party"`
	Name        string   `json:"name"`
	Dir         string   `json:"dir"`
	Fingerprint string   `json:"fingerprint"` // of the root key
	Card        string   `json:"card"`        // file to give to partners
	RootKey     string   `json:"root_key"`    // file
	NextRootKey string   `json:"next_root_key"`
	Listen      string   `json:"listen"`
	Addresses   []string `json:"addresses"` // as the card tells partners
	Sealed      bool     `json:"sealed"`    // the online keys are sealed with a passphrase
	Files       []file   `json:"files"`
}

// file is one file and what it is for.
type file struct {
	Path string `json:"path"`
	Use  string `json:"use"`
}

func (r initResult) page(p *page) {
	p.fields(
		field{"party", r.Party + "  " + r.Name},
		field{"fingerprint", r.Fingerprint},
		field{"listen", r.Listen},
		field{"addresses", list(r.Addresses)},
	)
	p.blank()
	rows := make([][]string, 0, len(r.Files))
	for _, f := range r.Files {
		rows = append(rows, []string{f.Path, f.Use})
	}
	p.table([]string{"file", "what it is"}, rows)
	p.blank()
	p.line("Next:")
	p.line("  move %s and %s to media that stay offline, in two places", r.RootKey, r.NextRootKey)
	p.line("  give %s to the partners, and compare fingerprints by telephone", r.Card)
	p.line("  karaula party add CARD --dir %s", r.Dir)
}

func newInit(a *app) *cobra.Command {
	cfg := node.Default()
	o := setup.Options{Config: cfg}
	c := &cobra.Command{
		Use:   "init --party CODE --name NAME --dir DIR",
		Short: "make a party's root keys and the folder of its node",
		Long: `Makes the root key and the next root key of a party (two files outside the
folder), and the folder of its node: online keys, configuration, and the card
that partners need, signed by the root for a year. Nothing is ever overwritten;
if anything fails, nothing is left behind.`,
		Example: `  karaula init --party al --name "Border police of AL" --dir al
  karaula init --party me --name "Border police of ME" --dir /srv/karaula/me \
      --listen 0.0.0.0:7422 --advertise karaula.example.org:7422 \
      --root-key /media/safe/me.root --passphrase-file /run/secrets/karaula`,
		Args: positional(),
	}
	f := c.Flags()
	f.StringVar(&cfg.Party, "party", "", "the party's code, like al")
	f.StringVar(&cfg.Name, "name", "", "name of the authority, for people")
	f.StringVar(&cfg.Listen, "listen", setup.DefaultListen, "address and port of the one public listener")
	f.StringSliceVar(&cfg.Advertise, "advertise", nil, "host:port that partners are told (default: the listen address)")
	f.StringVar(&o.Contact, "contact", "", "how to reach the authority's duty desk; no person's name")
	f.StringVar(&cfg.Metrics, "metrics", "", "address and port of /metrics and /healthz (default: not served)")
	f.BoolVar(&o.RootInside, "demo", false, "allow the root key inside the folder")
	_ = f.MarkHidden("demo")
	dirFlag(c, &o.Dir)
	required(c, "party", "name")
	pass := passphraseFlag(c, "the keys, which are sealed with it")
	rootPass := rootFlags(c, &o.RootKey, pass)
	c.RunE = func(*cobra.Command, []string) error {
		o.Passphrase, o.RootPassphrase, o.Now = pass(), rootPass(), a.now()
		return a.initNode(o)
	}
	return c
}

// initNode makes a node and says what was made and what is to be thought of.
func (a *app) initNode(o setup.Options) error {
	if err := setup.CheckParty(o.Config.Party); err != nil {
		return err
	}
	o.Config.Officers = setup.Operator()
	made, err := setup.Make(o)
	if err != nil {
		return err
	}
	if o.Passphrase == nil || o.RootPassphrase == nil {
		a.note("keys are not sealed with a passphrase: whoever can read the files can speak and read as %s", o.Config.Party)
		a.hint("for real use make the node with --passphrase-file FILE")
	}
	if setup.Loopback(o.Config.Addresses()) {
		a.note("partners on other machines cannot reach %s", list(o.Config.Addresses()))
		a.hint("set listen and advertise in %s, then karaula card issue --dir %s", made.Layout.Config(), o.Dir)
	}
	return a.show(describe(made, o))
}

func describe(m *setup.Made, o setup.Options) initResult {
	l := m.Layout
	r := initResult{
		Party: m.Card.Party, Name: m.Card.Name, Dir: l.Dir, Fingerprint: m.Card.Fingerprint(),
		Card: l.Card(m.Card.Party), RootKey: m.RootKey, NextRootKey: m.NextRootKey,
		Listen: o.Config.Listen, Addresses: m.Card.Address, Sealed: o.Passphrase != nil,
	}
	if o.RootKey == "" { // said as the folder was named, not as an absolute path
		r.RootKey, r.NextRootKey = filepath.Clean(o.Dir)+".root", filepath.Clean(o.Dir)+".root.next"
	}
	r.Files = []file{
		{r.RootKey, "root key: signs cards and agreements, stays offline"},
		{r.NextRootKey, "next root key: takes over from the root, stays offline elsewhere"},
		{r.Card, "card: public keys and addresses, for partners"},
		{l.Config(), "configuration"},
		{l.GatewayKeys(), "online keys of the gateway: secret"},
		{l.BrokerKeys(), "keys of the broker: secret"},
		{l.Register(), "register: cards, agreements and notices, public"},
	}
	return r
}
