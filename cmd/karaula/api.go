package main

import (
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"karaula/internal/access"
	"karaula/internal/agreement"
	"karaula/internal/keyring"
	"karaula/internal/node"
	"karaula/internal/problem"
)

// How long certificates are valid, in days.
const (
	interfaceDays = 730
	clientDays    = 365
	maxDays       = 1825
)

func newAPI(a *app) *cobra.Command {
	return group("api", "let national systems in over the network",
		`Over the network a node answers the same interface as on its socket, with the same
roles: over TLS 1.3, and only to clients whose certificate it knows by its
fingerprint. docs/api.md shows how to call it.`,
		newAPIInit(a),
		group("client", "keep who may use the interface over the network",
			`A client is a certificate, an id and a role. A running node notices within a second
who was added, and cuts off who was removed.`,
			newClientAdd(a), newClientList(a), newClientRemove(a)))
}

// apiInitResult says what the interface's certificate is.
type apiInitResult struct {
	Certificate string    `json:"certificate"` // file to give to national systems
	Key         string    `json:"key"`         // file: secret
	Fingerprint string    `json:"fingerprint"` // of the certificate, "sha256:…"
	Hosts       []string  `json:"hosts"`       // names and addresses in it
	Until       time.Time `json:"until"`       // its end

	listen string
}

func (r apiInitResult) page(p *page) {
	p.fields(
		field{"certificate", r.Certificate},
		field{"fingerprint", r.Fingerprint},
		field{"hosts", list(r.Hosts)},
		field{"valid until", agreement.FormatTime(r.Until)},
	)
	if r.listen == "" {
		p.blank()
		p.line("Next: set listen below api in node.yaml, and restart the node")
	}
}

func newAPIInit(a *app) *cobra.Command {
	var dir string
	var hosts []string
	var days int
	c := &cobra.Command{
		Use:   "init --host NAME --dir DIR",
		Short: "make the certificate of the interface",
		Long: `Makes key and certificate of the interface, for the names and addresses under which
national systems reach it. They trust this one certificate: give them the file.
A certificate of the country's own authority is named in node.yaml instead.

Nothing is overwritten: to renew it, move the two old files away first.`,
		Example: "  karaula api init --host karaula.police.example --host 10.20.0.5 --dir al",
		Args:    positional(),
	}
	c.Flags().StringSliceVar(&hosts, "host", nil, "name or IP address under which it is reached; may be repeated")
	daysFlag(c, &days, interfaceDays)
	dirFlag(c, &dir)
	required(c, "host")
	pass := passphraseFlag(c, "the key, which is sealed with it")
	c.RunE = func(c *cobra.Command, _ []string) error {
		cfg, err := node.Load(dir)
		if err != nil {
			return err
		}
		for _, h := range hosts {
			if !validHost(h) {
				return errUsage(c, "%q is no host name or IP address", h)
			}
		}
		until, err := a.untilDays(c, days)
		if err != nil {
			return err
		}
		cert, err := keyring.NewInterface(cfg.Party, hosts, a.now(), until)
		if err != nil {
			return err
		}
		l := node.Layout{Dir: dir}
		if err := l.MakeAPI(); err != nil {
			return err
		}
		if err := keyring.SavePEM(l.APICertificate(), l.APIKey(), cert, pass()); err != nil {
			return err
		}
		return a.show(apiInitResult{
			Certificate: l.APICertificate(), Key: l.APIKey(), Hosts: hosts, Until: cert.Leaf.NotAfter,
			Fingerprint: access.FormatFingerprint(keyring.Fingerprint(cert.Leaf)), listen: cfg.API.Listen,
		})
	}
	return c
}

// validHost reports whether s may stand in a certificate.
func validHost(s string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.:-"
	return s != "" && len(s) <= 253 && strings.Trim(s, letters) == "" && s[0] != '-'
}

// daysFlag adds --days.
func daysFlag(c *cobra.Command, days *int, usual int) {
	c.Flags().IntVar(days, "days", usual, "how long the certificate is valid")
}

// untilDays gives the end of a certificate.
func (a *app) untilDays(c *cobra.Command, days int) (time.Time, error) {
	if days < 1 || days > maxDays {
		return time.Time{}, errUsage(c, "--days is 1 to %d", maxDays)
	}
	return a.now().AddDate(0, 0, days), nil
}

// clientInfo is one client of the interface.
type clientInfo struct {
	Name          string    `json:"name"`           // id under which the node records what it does
	Role          string    `json:"role"`           // officer, supervisor, auditor, system, admin
	NamesOfficers bool      `json:"names_officers"` // it says for which of its officers it asks
	Fingerprint   string    `json:"fingerprint"`    // of its certificate, "sha256:…"
	Until         time.Time `json:"until"`          // end of the certificate
	State         string    `json:"state"`          // "valid", "expired", or why it is not let in
}

func (a *app) describeClient(c access.Client, officers []node.Officer) clientInfo {
	out := clientInfo{
		Name: c.Name, Role: c.Role, NamesOfficers: c.NamesOfficers,
		Fingerprint: access.FormatFingerprint(c.Fingerprint), Until: time.Unix(c.Until, 0).UTC(), State: "valid",
	}
	switch {
	case c.Until <= a.now().Unix():
		out.State = "expired"
	case isOfficer(officers, c.Name):
		out.State = "has the id of an officer of node.yaml; not let in"
	}
	return out
}

func isOfficer(officers []node.Officer, id string) bool {
	for _, o := range officers {
		if o.ID == id {
			return true
		}
	}
	return false
}

// clientAddResult says who was let in, and with what.
type clientAddResult struct {
	clientInfo
	Certificate string `json:"certificate,omitempty"` // file that was made for the client
	Key         string `json:"key,omitempty"`         // file that was made for the client: secret
}

func (r clientAddResult) page(p *page) {
	fields := []field{{"client", r.Name}, {"role", r.role()}, {"fingerprint", r.Fingerprint}, {"valid until", agreement.FormatTime(r.Until)}}
	if r.Key != "" {
		fields = append(fields, field{"certificate", r.Certificate}, field{"key", r.Key})
	}
	p.fields(fields...)
}

// undo removes what was made for a client that was not let in.
func (r clientAddResult) undo(err error) error {
	for _, path := range []string{r.Certificate, r.Key} {
		if path != "" {
			_ = os.Remove(path) // it opens nothing
		}
	}
	return err
}

// role says the role, and what the client may besides.
func (i clientInfo) role() string {
	if i.NamesOfficers {
		return i.Role + ", names its officers"
	}
	return i.Role
}

func newClientAdd(a *app) *cobra.Command {
	var dir, role, certificate, out string
	var names bool
	var days int
	c := &cobra.Command{
		Use:   "add NAME --role ROLE --dir DIR",
		Short: "let a client in, with a new certificate or its own",
		Long: `Lets a client use the node's interface over the network, as NAME: an officer's id or
a system's. Without --certificate a key and a certificate are made for it, NAME.key
and NAME.crt; bring them to the client and leave no copy. With --certificate the
client keeps its key to itself: the file holds its certificate, whoever issued it.

Roles are those of officers in node.yaml. A client of role system that serves many
officers may be let to name the one it asks for, with --names-officers: it must
then send the header Karaula-Officer with every request. The node believes it, and
records NAME/OFFICER, which no officer known to the node itself is called.`,
		Example: `  karaula api client add plates --role system --dir al
  karaula api client add cases --role system --names-officers --certificate cases.crt --dir al
  karaula api client add duty-officer --role officer --out /media/stick --days 90 --dir al`,
		Args: positional("NAME"),
	}
	f := c.Flags()
	f.StringVar(&role, "role", "", "what it may do: "+strings.Join(node.Roles(), ", "))
	f.StringVar(&certificate, "certificate", "", "the client's own certificate (PEM)")
	f.BoolVar(&names, "names-officers", false, "it names the officer of each request")
	f.StringVar(&out, "out", ".", "folder for the new key and certificate")
	daysFlag(c, &days, clientDays)
	dirFlag(c, &dir)
	required(c, "role")
	c.MarkFlagsMutuallyExclusive("certificate", "out")
	c.MarkFlagsMutuallyExclusive("certificate", "days")
	c.RunE = func(c *cobra.Command, args []string) error {
		cfg, err := node.Load(dir)
		if err != nil {
			return err
		}
		if isOfficer(cfg.Officers, args[0]) {
			return problem.New(problem.Conflict, "%s is the id of an officer in node.yaml; nothing was added", args[0]).
				WithHint("give the client another name: what is recorded must show which way somebody came")
		}
		client := access.Client{Name: args[0], Role: role, NamesOfficers: names}
		if err := client.Check(); err != nil {
			return err
		}
		var made clientAddResult
		if certificate != "" {
			err = a.pinClient(&client, certificate)
		} else {
			var until time.Time
			if until, err = a.untilDays(c, days); err == nil {
				err = a.makeClient(&client, out, until, &made)
			}
		}
		if err != nil {
			return err
		}
		if err := access.Add(node.Layout{Dir: dir}.APIClients(), client); err != nil {
			return made.undo(err)
		}
		made.clientInfo = a.describeClient(client, cfg.Officers)
		return a.show(made)
	}
	return c
}

func newClientList(a *app) *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use:     "list --dir DIR",
		Short:   "list who may use the interface over the network",
		Example: "  karaula api client list --dir al",
		Args:    positional(),
	}
	dirFlag(c, &dir)
	c.RunE = func(*cobra.Command, []string) error {
		cfg, err := node.Load(dir)
		if err != nil {
			return err
		}
		known, bad, err := access.List(node.Layout{Dir: dir}.APIClients())
		if err != nil {
			return err
		}
		for _, b := range bad {
			a.note("%s lets nobody in: %s", b.File, b.Err)
		}
		r := clientListResult{Clients: []clientInfo{}}
		for _, k := range known {
			r.Clients = append(r.Clients, a.describeClient(k, cfg.Officers))
		}
		return a.show(r)
	}
	return c
}

// clientListResult lists clients.
type clientListResult struct {
	Clients []clientInfo `json:"clients"` // by name
}

func (r clientListResult) page(p *page) {
	rows := make([][]string, 0, len(r.Clients))
	for _, c := range r.Clients {
		rows = append(rows, []string{c.Name, c.role(), agreement.FormatTime(c.Until), c.State, c.Fingerprint})
	}
	p.table([]string{"client", "role", "valid until", "state", "fingerprint"}, rows)
}

// clientRemoveResult says who was removed.
type clientRemoveResult struct {
	Removed string `json:"removed"` // name of the client
}

func (r clientRemoveResult) page(p *page) { p.line("removed the client %s", r.Removed) }

func newClientRemove(a *app) *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use:   "remove NAME --dir DIR",
		Short: "let a client in no more",
		Long: `Lets a client in no more: its certificate is as good as revoked. A running node
cuts its connections within a second.`,
		Example: "  karaula api client remove plates --dir al",
		Args:    positional("NAME"),
	}
	dirFlag(c, &dir)
	c.RunE = func(_ *cobra.Command, args []string) error {
		if _, err := node.Load(dir); err != nil {
			return err
		}
		if err := access.Remove(node.Layout{Dir: dir}.APIClients(), args[0]); err != nil {
			return err
		}
		return a.show(clientRemoveResult{Removed: args[0]})
	}
	return c
}

// pinClient takes the fingerprint of a certificate that a client has.
func (a *app) pinClient(c *access.Client, path string) error {
	leaf, err := keyring.ReadCertificate(path)
	if err != nil {
		return err
	}
	if !leaf.NotAfter.After(a.now()) {
		return problem.New(problem.Conflict, "the certificate of %s has expired; nothing was added", path)
	}
	c.Fingerprint, c.Until = keyring.Fingerprint(leaf), leaf.NotAfter.Unix()
	return nil
}

// makeClient makes key and certificate of a client.
func (a *app) makeClient(c *access.Client, dir string, until time.Time, made *clientAddResult) error {
	cert, err := keyring.NewClient(c.Name, a.now(), until)
	if err != nil {
		return err
	}
	crt, key := filepath.Join(dir, c.Name+".crt"), filepath.Join(dir, c.Name+".key")
	if err := keyring.SavePEM(crt, key, cert, nil); err != nil {
		return err
	}
	made.Certificate, made.Key = crt, key
	c.Fingerprint, c.Until = keyring.Fingerprint(cert.Leaf), cert.Leaf.NotAfter.Unix()
	a.note("%s is not sealed: bring it to the client, and leave no copy here", key)
	return nil
}
