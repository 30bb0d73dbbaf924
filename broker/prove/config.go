package prove

import (
	"crypto/tls"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats-server/v2/conf"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats-server/v2/server/gsl"

	"karaula/internal/problem"
	"karaula/internal/subject"
)

// config is the second judge: the text as nats-server's own parser reads it.
type config struct {
	opts     *server.Options
	users    map[string]*user // by nkey
	accounts map[string]*account
}

// user is what the text says about one nkey.
type user struct {
	account            string
	publish, subscribe rights
	standard           bool // may connect as an ordinary client
}

// rights are the subjects that a user may use; a nil list of what is allowed
// allows everything.
type rights struct{ allow, deny *gsl.SimpleSublist }

// may judges a subject as the server does: allowed by the one list, and not
// denied by the other.
func (r rights) may(subj string) bool {
	return (r.allow == nil || r.allow.HasInterest(subj)) && (r.deny == nil || !r.deny.HasInterest(subj))
}

// account is what the text says about one account.
type account struct {
	services          *gsl.GenericSublist[string] // accounts that serve a subject to this one
	jetstream, system bool                        // who serves here by itself
	exports           []server.ExtExport
	imports           []server.ExtImport
	mapped            bool
}

// local reports whether a request may find somebody in the account itself.
func (a *account) local() bool { return a.jetstream || a.system }

// readConfig reads a configuration file. Its TLS files must be there.
func readConfig(file string) (*config, error) {
	opts, err := server.ProcessConfigFile(file)
	if err != nil {
		return nil, problem.Wrap(problem.Invalid, err, "nats-server does not take the text; nothing was proved")
	}
	raw, err := conf.ParseFile(file)
	if err != nil {
		return nil, problem.Wrap(problem.Invalid, err, "nats-server does not take the text; nothing was proved")
	}
	opts.NoSigs, opts.NoLog = true, true
	srv, err := server.NewServer(opts) // never started: it resolves imports and exports
	if err != nil {
		return nil, problem.Wrap(problem.Invalid, err, "nats-server does not take the text; nothing was proved")
	}
	defer srv.Shutdown()
	c := &config{opts: opts, users: map[string]*user{}, accounts: map[string]*account{}}
	for _, nk := range opts.Nkeys {
		if c.users[nk.Nkey], err = readUser(nk); err != nil {
			return nil, err
		}
	}
	all, err := srv.Accountz(nil)
	if err != nil {
		return nil, err
	}
	for _, name := range all.Accounts {
		if err := c.readAccount(srv, name, raw); err != nil {
			return nil, err
		}
	}
	return c, c.resolve()
}

func readUser(nk *server.NkeyUser) (*user, error) {
	u := &user{account: nk.Account.GetName(), standard: len(nk.AllowedConnectionTypes) == 0}
	if _, ok := nk.AllowedConnectionTypes["STANDARD"]; ok {
		u.standard = true
	}
	if nk.Permissions == nil {
		return u, nil
	}
	var err error
	if u.publish, err = readRights(nk.Permissions.Publish); err != nil {
		return nil, err
	}
	u.subscribe, err = readRights(nk.Permissions.Subscribe)
	return u, err
}

func readRights(p *server.SubjectPermission) (rights, error) {
	var r rights
	if p == nil {
		return r, nil
	}
	var err error
	if p.Allow != nil {
		if r.allow, err = sublist(p.Allow); err != nil {
			return r, err
		}
	}
	if len(p.Deny) > 0 {
		r.deny, err = sublist(p.Deny)
	}
	return r, err
}

func sublist(list []string) (*gsl.SimpleSublist, error) {
	s := gsl.NewSimpleSublist()
	for _, subj := range list {
		if err := s.Insert(subj, struct{}{}); err != nil {
			return nil, problem.Wrap(problem.Invalid, err, "the text has a subject %q that is none", subj)
		}
	}
	return s, nil
}

func (c *config) readAccount(srv *server.Server, name string, raw map[string]any) error {
	info, err := srv.Accountz(&server.AccountzOptions{Account: name})
	if err != nil {
		return err
	}
	a := &account{
		services: gsl.NewSublist[string](), exports: info.Account.Exports, imports: info.Account.Imports,
		system: name == c.opts.SystemAccount, mapped: len(info.Account.Mappings) > 0,
	}
	if accounts, ok := raw["accounts"].(map[string]any); ok {
		if own, ok := accounts[name].(map[string]any); ok {
			_, a.jetstream = own["jetstream"]
		}
	}
	c.accounts[name] = a
	return nil
}

// resolve finds out which account serves what to which.
func (c *config) resolve() error {
	for name, a := range c.accounts {
		for _, imp := range a.imports {
			from := c.accounts[imp.Account]
			if from == nil || imp.Invalid || !from.offers(string(imp.Subject), name) {
				continue
			}
			if err := a.services.Insert(string(imp.LocalSubject), imp.Account); err != nil {
				return problem.Wrap(problem.Invalid, err, "the text imports a subject %q that is none", imp.LocalSubject)
			}
		}
	}
	return nil
}

// offers reports whether an account exports a subject to another one.
func (a *account) offers(subj, to string) bool {
	return slices.ContainsFunc(a.exports, func(e server.ExtExport) bool {
		return server.SubjectsCollide(string(e.Subject), subj) &&
			(len(e.ApprovedAccounts) == 0 || slices.Contains(e.ApprovedAccounts, to))
	})
}

// login judges whether somebody gets in: its certificate is pinned, its nkey is
// a user's.
func (c *config) login(a *actor) bool {
	_, pinned := c.opts.TLSPinnedCerts[a.pin]
	u := c.users[a.nkey]
	return pinned && u != nil && u.standard
}

// judge gives what the text says to a question: whether the user has the right,
// and whether the account leads anywhere.
func (c *config) judge(a *actor, q question) (permitted, reaches bool) {
	u := c.users[a.nkey]
	if u == nil {
		return false, false
	}
	in := c.login(a)
	acc := c.accounts[u.account]
	switch q.act {
	case login:
		return in, in
	case subscribe:
		may := in && u.subscribe.may(q.subject)
		return may, may
	default:
		subj := plain(c.opts.JetStreamDomain, q.subject)
		return in && u.publish.may(subj), in && (acc.local() || acc.services.HasInterest(subj))
	}
}

// delivers judges a combination: the origin's gateway may say it, and the
// reader may ask for the next and ack it.
func (c *config) delivers(gateway, reader *actor, d delivery) bool {
	can := func(a *actor, subj string) bool {
		permitted, reaches := c.judge(a, question{act: publish, subject: subj})
		return permitted && reaches
	}
	ack := "$JS.ACK." + d.origin + ".x." + subject.Out(d.channel) + "." + subject.Consumer(d.reader) + ".1.1.1.1.0"
	return can(gateway, subject.Say(d.channel, d.origin, d.token)) &&
		can(reader, subject.Next(d.channel, d.reader)) && can(reader, ack)
}

// structure lists what must not be in the text at all, whoever asks.
func (c *config) structure(l *law, known map[string]who) []string {
	var list []string
	wrong := func(bad bool, format string, args ...any) {
		if bad {
			list = append(list, fmt.Sprintf(format, args...))
		}
	}
	for nkey, u := range c.users {
		_, ok := known[nkey]
		wrong(!ok, "account %s lets somebody in whose key is on no card and belongs to no role (%s)", u.account, nkey)
	}
	names := []string{subject.Account(l.owner), "SYS", server.DEFAULT_GLOBAL_ACCOUNT, subject.AuditAccount}
	for _, p := range l.parties {
		names = append(names, subject.PeerAccount(p), subject.AuditorAccount(p))
	}
	for name, a := range c.accounts {
		wrong(!slices.Contains(names, name), "there is an account %s of nobody", name)
		wrong(a.mapped, "account %s renames subjects", name)
		wrong(a.jetstream && name != subject.Account(l.owner), "account %s has JetStream of its own", name)
		for _, e := range a.exports {
			wrong(len(e.ApprovedAccounts) == 0 && !strings.HasPrefix(string(e.Subject), "$SYS.") && name != c.opts.SystemAccount,
				"account %s opens %s to every account", name, e.Subject)
		}
	}
	o := c.opts
	wrong(len(o.Users) > 0 || o.Username != "" || o.Authorization != "" || o.NoAuthUser != "", "somebody may log in without a key")
	wrong(len(o.TrustedKeys)+len(o.TrustedOperators) > 0 || o.AuthCallout != nil, "somebody else decides who may log in")
	wrong(o.Websocket.Port != 0 || o.MQTT.Port != 0 || o.LeafNode.Port != 0 || o.Gateway.Port != 0 || o.HTTPPort != 0 ||
		o.HTTPSPort != 0 || o.ProfPort != 0, "there is a second way in")
	wrong(o.TLSConfig == nil || o.AllowNonTLS || len(o.TLSPinnedCerts) == 0 || !o.TLSHandshakeFirst ||
		o.TLSConfig.ClientAuth != tls.RequireAndVerifyClientCert || o.TLSConfig.MinVersion != tls.VersionTLS13,
		"TLS does not ask for a pinned certificate")
	slices.Sort(list)
	return list
}
