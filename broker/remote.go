package broker

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"karaula/internal/durable"
	"karaula/internal/keyring"
	"karaula/internal/problem"
	"karaula/internal/subject"
)

// remoteTimeout bounds one question to the server.
const remoteTimeout = 5 * time.Second

// RemoteOptions name a stock nats-server that runs beside the agent, from the
// configuration that the agent writes.
type RemoteOptions struct {
	URL  string        // of its listener, "tls://10.1.0.1:4222"
	Name string        // its server_name
	Ops  nkeys.KeyPair // user of role ops, in which it is told to reload
	Held string        // name of a file that is made when the server has caught up and holds streams
}

// remote is such a server. It outlives the agent, and the agent it.
type remote struct {
	o    RemoteOptions
	held func() []tls.Certificate // the broker's, the shown one first
	log  *slog.Logger
	sys  *nats.Conn

	tries  atomic.Uint32          // handshakes so far
	copied atomic.Pointer[string] // what the server's copies lack; nil: not looked at yet
}

// start connects as keeper, and as ops, as soon as the server runs.
func (r *remote) start(ctx context.Context, keeper nkeys.KeyPair) (*nats.Conn, error) {
	told := false
	for {
		nc, err := r.connect(subject.RoleKeeper, keeper)
		if err == nil {
			if r.sys, err = r.connect(subject.RoleOps, r.o.Ops); err == nil {
				return nc, nil
			}
			nc.Close()
		}
		if !told {
			told = true
			r.log.Info("waiting for the server; its configuration is written", "server", r.o.Name, "why", err.Error())
		}
		select {
		case <-ctx.Done():
			return nil, problem.Wrap(problem.Unreachable, ctx.Err(), "the server %s does not run", r.o.Name)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// connect logs in over TLS; the server must show the broker's own key.
func (r *remote) connect(role string, user nkeys.KeyPair) (*nats.Conn, error) {
	public, err := user.PublicKey()
	if err != nil {
		return nil, problem.Wrap(problem.Locked, err, "the nkey of the %s cannot be used", role)
	}
	return nats.Connect(
		r.o.URL,
		nats.Nkey(public, user.Sign),
		nats.Secure(&tls.Config{
			MinVersion: tls.VersionTLS13,
			// While the certificate is replaced, the server may know us by the one before it.
			GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				list := r.held()
				c := &list[int(r.tries.Add(1)-1)%len(list)]
				return c, nil
			},
			InsecureSkipVerify: true, //nolint:gosec // VerifyConnection compares the key
			VerifyConnection: func(s tls.ConnectionState) error {
				if len(s.PeerCertificates) == 0 || keyring.ByPin(r.held(), keyring.Pin(s.PeerCertificates[0])) == nil {
					return errors.New("the server does not show the broker's key")
				}
				return nil
			},
		}),
		nats.TLSHandshakeFirst(),
		nats.CustomInboxPrefix(subject.Inbox(role)),
		nats.Name(role),
		nats.Timeout(remoteTimeout),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(100*time.Millisecond),
		nats.ReconnectJitter(50*time.Millisecond, 50*time.Millisecond),
		nats.IgnoreDiscoveredServers(),
		nats.IgnoreAuthErrorAbort(),
		nats.ReconnectBufSize(-1),
	)
}

// ask sends a request to the server and reads its answer.
func (r *remote) ask(subj string, request, data any) error {
	body, err := json.Marshal(request)
	if err != nil {
		return err
	}
	msg, err := r.sys.Request(subj, body, remoteTimeout)
	if err != nil {
		return problem.Wrap(problem.Unreachable, err, "the server %s does not answer", r.o.Name)
	}
	answer := natsserver.ServerAPIResponse{Data: data}
	if err := json.Unmarshal(msg.Data, &answer); err != nil {
		return problem.Wrap(problem.Failed, err, "the server %s answers something else", r.o.Name)
	}
	if answer.Error != nil {
		return problem.New(problem.Failed, "the server %s: %s", r.o.Name, answer.Error.Description)
	}
	return nil
}

func (r *remote) server(what string) string {
	return "$SYS.REQ.SERVER." + r.sys.ConnectedServerId() + "." + what
}

// Reload implements control. A partner that is new has its rights with the
// second reading only ([Embedded.Reload]), and which are new to this server is
// not known here.
func (r *remote) Reload() error {
	for range 2 {
		if err := r.ask(r.server("RELOAD"), struct{}{}, nil); err != nil {
			return problem.Wrap(problem.KindOf(err), err, "it has not taken its new configuration").
				WithHint("settings of store and listener change only with a restart of nats-server")
		}
	}
	return nil
}

// kick implements control.
func (r *remote) kick(account string) int {
	var list natsserver.Connz
	o := natsserver.ConnzOptions{Username: true, Account: account, Limit: 10_000}
	if err := r.ask(r.server("CONNZ"), o, &list); err != nil {
		r.log.Warn("connections could not be looked at", "server", r.o.Name, "why", err.Error())
		return 0
	}
	n := 0
	for _, conn := range list.Conns {
		if r.ask(r.server("KICK"), natsserver.KickClientReq{CID: conn.Cid}, nil) == nil {
			n++
		}
	}
	return n
}

// traffic implements control.
func (r *remote) traffic(account string) (msgs, bytes int64) {
	o := natsserver.AccountStatzEventOptions{
		AccountStatzOptions: natsserver.AccountStatzOptions{Accounts: []string{account}, IncludeUnused: true},
		EventFilterOptions:  natsserver.EventFilterOptions{Name: r.o.Name, ExactMatch: true},
	}
	var stats natsserver.AccountStatz
	if err := r.ask("$SYS.REQ.ACCOUNT.PING.STATZ", o, &stats); err != nil || len(stats.Accounts) == 0 {
		return 0, 0
	}
	return stats.Accounts[0].Received.Msgs, stats.Accounts[0].Received.Bytes
}

// runs implements control, by the digest that the server took when it read the file.
func (r *remote) runs(configFile string) (bool, error) {
	opts, err := natsserver.ProcessConfigFile(configFile)
	if err != nil {
		return false, problem.Wrap(problem.Invalid, err, "%s is not taken by a server", configFile)
	}
	var stats natsserver.Varz
	o := natsserver.VarzEventOptions{EventFilterOptions: natsserver.EventFilterOptions{Name: r.o.Name, ExactMatch: true}}
	if err := r.ask("$SYS.REQ.SERVER.PING.VARZ", o, &stats); err != nil {
		return false, err
	}
	return opts.ConfigDigest() == stats.ConfigDigest, nil
}

// healthEvery is how often the server is asked whether its copies are whole.
const healthEvery = time.Second

// watch logs when the server's copies of the streams have become whole, and when
// they are not any more, until ctx ends.
func (r *remote) watch(ctx context.Context) {
	tick := time.NewTicker(healthEvery)
	defer tick.Stop()
	last, held := "", false
	var c comparison
	var b business
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		lack, text := r.lacks(), notCaughtUp
		if b.passing(last, lack) {
			continue
		}
		if b.corrupt(lack) {
			text = unopenedCopy
		}
		if held = lack == whole && (held || r.hold()); lack != whole {
			c = comparison{}
		} else if streams, sure := c.next(r.copies); !sure {
			continue
		} else if len(streams) > 0 {
			lack, text = strings.Join(streams, ", "), damagedCopy
		}
		now := text + ": " + lack
		if lack == whole {
			now = whole
		}
		if now == last {
			continue
		}
		last = now
		r.copied.Store(&now)
		switch {
		case lack == whole:
			r.log.Info("the server has caught up; another one may be stopped", "server", r.o.Name,
				"next", "if it was away for some minutes, start it once more: only that overwrites what was erased in the meantime")
		case text == unopenedCopy:
			r.log.Error(unopenedCopy, "server", r.o.Name, "why", lack)
		case text == damagedCopy:
			r.log.Error(damagedCopy, "server", r.o.Name, "streams", lack)
		default:
			r.log.Warn(notCaughtUp, "server", r.o.Name, "why", lack)
		}
	}
}

// momentary ends what a server says that is behind with a stream, and also, for moments,
// one that erases or stores much (nats-server 2.15.2, monitor.go).
const momentary = "' is not current: group node unhealthy"

// unopened is what a server says that cannot open a copy, and says so for ever (nats-server
// 2.15.2, monitor.go, raft.go and jetstream_errors_generated.go).
var unopened = regexp.MustCompile(`^JetStream (stream|consumer) '[^']*' is not current: ` +
	`(stream assignment error: raft: snapshot corrupt$|consumer assignment error: error creating store for consumer)`)

// business counts the looks in a row that have shown a server behind as a busy one is,
// and those that have shown one that cannot open a copy.
type business struct{ busy, unopened int }

// passing reports whether a server that was whole at the last look that counted may just
// be busy.
func (b *business) passing(last, lack string) bool {
	if b.busy++; !strings.HasSuffix(lack, momentary) {
		b.busy = 0
		return false
	}
	return last == whole && b.busy < lackLooks
}

// corrupt reports whether a server has said often enough that it cannot open a copy.
func (b *business) corrupt(lack string) bool {
	if b.unopened++; !unopened.MatchString(lack) {
		b.unopened = 0
	}
	return b.unopened >= lackLooks
}

// notCaughtUp is what is said of a server whose copies are not current.
const notCaughtUp = "the server has not caught up; stop no other one"

// heldText is what stands in the file that says that a server has held streams.
const heldText = "The server of this machine has held streams. karaula broker sweep does not let it start with an empty store\n" +
	"while this file is there: see docs/operating.md, \"Three servers\".\n"

// hold makes the file that says that the server has held streams, if it has any, and
// reports whether the file is there.
func (r *remote) hold() bool {
	info, err := r.streamsOf(r.o.Name)
	if err != nil || !slices.ContainsFunc(info.AccountDetails, func(a *natsserver.AccountDetail) bool { return len(a.Streams) > 0 }) {
		return false
	}
	if _, err = os.Stat(r.o.Held); errors.Is(err, fs.ErrNotExist) {
		err = durable.Replace(r.o.Held, []byte(heldText), 0o600)
	}
	if err != nil {
		r.log.Warn("it could not be noted that the server has held streams; an empty store would not be noticed when it starts",
			"server", r.o.Name, "why", err.Error())
	}
	return err == nil
}

// copyState says what the server's copies lack; empty: nothing.
func (r *remote) copyState() string {
	switch lack := r.copied.Load(); {
	case lack == nil:
		return "the server's copies were not looked at yet"
	case *lack == whole:
		return ""
	default:
		return *lack
	}
}

// whole is what a server lacks whose copies are all current.
const whole = "nothing"

// lacks says what the server lacks to answer for all streams.
func (r *remote) lacks() string {
	health, err := r.health(natsserver.HealthzOptions{Details: true})
	if err != nil {
		return err.Error()
	}
	return worst(health)
}

// worst gives, of all that a server says it lacks, what lasts: a copy that it cannot open
// before anything else, and last what may pass in a moment; the same in every look.
func worst(h natsserver.HealthStatus) string {
	if h.StatusCode == http.StatusOK {
		return whole
	}
	if len(h.Errors) == 0 {
		return h.Status
	}
	rank := func(e natsserver.HealthzError) int {
		switch {
		case unopened.MatchString(e.Error):
			return 0
		case strings.HasSuffix(e.Error, momentary):
			return 2
		default:
			return 1
		}
	}
	return slices.MinFunc(h.Errors, func(a, b natsserver.HealthzError) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), strings.Compare(a.Error, b.Error))
	}).Error
}

// health asks the server whether it is current.
func (r *remote) health(o natsserver.HealthzOptions) (out natsserver.HealthStatus, err error) {
	return out, r.ask(r.server("HEALTHZ"), o, &out)
}

// Shutdown implements control: the server goes on without the agent.
func (r *remote) Shutdown() { r.sys.Close() }
