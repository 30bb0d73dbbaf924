package broker

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"karaula/internal/problem"
	"karaula/internal/subject"
)

// Times that a start may take, however slow the machine is. Both end earlier when
// there is a reason.
const (
	startTimeout = 10 * time.Minute // recovery of a large store included
	loginTimeout = 2 * time.Minute
)

// Embedded is a nats-server that runs in this process from a configuration
// file, as the stock command would run it, but for the listener's key.
type Embedded struct {
	file string           // the configuration, read again by Reload
	cert *tls.Certificate // of the listener, see Show; nil: from the files that the configuration names
	log  *slog.Logger
	stop func() bool // forgets the context
	down sync.Once

	running atomic.Pointer[runningServer] // another one after [Embedded.again]
	sick    string                        // why it must be started again; its agent's

	mu    sync.Mutex        // guards cert and taken
	taken [sha256.Size]byte // of the configuration that the server runs
}

// runningServer is a server with its log.
type runningServer struct {
	*server.Server

	log *serverLog
}

// srv gives the server that runs now.
func (e *Embedded) srv() *server.Server { return e.running.Load().Server }

// Run starts an embedded server from a configuration file and waits until it
// takes connections. It stops by itself when ctx ends; [Embedded.Shutdown]
// waits for that. The file's name stays: [Embedded.Reload] reads it again.
//
// The listener shows cert, which then never lies in a file; without it the
// files of the configuration are read, as the stock command does.
func Run(ctx context.Context, configFile string, cert *tls.Certificate, log *slog.Logger) (*Embedded, error) {
	e := &Embedded{file: configFile, cert: cert, log: log}
	if err := e.start(ctx); err != nil {
		if e.running.Load() != nil {
			e.Shutdown()
		}
		return nil, err
	}
	e.stop = context.AfterFunc(ctx, e.Shutdown)
	return e, nil
}

// start starts a server and waits until it takes connections.
func (e *Embedded) start(ctx context.Context) error {
	opts, digest, err := e.options()
	if err != nil {
		return problem.Wrap(problem.Invalid, err, "%s is not taken; the broker was not started", e.file).
			WithHint("nats-server -t -c %s", e.file)
	}
	if err := dropDamagedMeta(opts.StoreDir, e.log); err != nil {
		return err
	}
	if err := sweepStore(opts.StoreDir, e.log); err != nil {
		return err
	}
	srv, err := server.NewServer(opts)
	if err != nil {
		return problem.Wrap(problem.Failed, err, "the broker was not started")
	}
	serverLog := newServerLog(e.log)
	srv.SetLoggerV2(serverLog, false, false, false)
	go srv.Start()
	e.running.Store(&runningServer{srv, serverLog})
	e.mu.Lock()
	e.taken = digest
	e.mu.Unlock()
	return e.awaitReady(ctx, serverLog.fatal)
}

// broken gives what the server said when a write to its store failed; empty if
// none did. It writes nothing to that stream any more until it is started again.
func (e *Embedded) broken() string {
	if e.sick == "" {
		e.sick = e.running.Load().log.brokenWrite()
	}
	return e.sick
}

// again stops the server and starts it again on the same store, if that can be
// written. Whoever is connected comes back by itself.
func (e *Embedded) again(ctx context.Context) error {
	opts, _, err := e.options()
	if err == nil {
		err = tryDisk(opts.StoreDir)
	}
	if err != nil {
		return problem.Wrap(problem.Failed, err, "the broker could not write to its store, and still cannot: %s", e.broken()).
			WithHint("make room on the disk of %s, or mend it; the broker goes on by itself then", filepath.Dir(e.file))
	}
	e.srv().Shutdown()
	e.srv().WaitForShutdown()
	if err := e.start(ctx); err != nil {
		return err // and it is tried again
	}
	e.sick = ""
	return nil
}

// room is what a disk must take before a broker is started on it again.
const room = 1 << 20

// tryDisk writes to a folder, and removes what it wrote.
func tryDisk(dir string) error {
	f, err := os.OpenFile(filepath.Join(dir, ".room"), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600) // one name: the same error each time
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, room))
	return errors.Join(err, f.Sync(), f.Close(), os.Remove(f.Name()))
}

// options reads the configuration file, and gives its digest. A certificate in
// memory takes the place of the two lines that name its files.
func (e *Embedded) options() (*server.Options, [sha256.Size]byte, error) {
	conf, err := os.ReadFile(e.file)
	if err != nil {
		return nil, [sha256.Size]byte{}, err
	}
	opts := &server.Options{NoSigs: true}
	digest, text := sha256.Sum256(conf), string(conf)
	cert := e.shown()
	if cert != nil {
		text = withoutTLSFiles(text)
	}
	if err := opts.ProcessConfigString(text); err != nil {
		return nil, digest, err
	}
	if cert == nil {
		return opts, digest, nil
	}
	if opts.TLSConfig == nil {
		return nil, digest, errors.New("it has no TLS")
	}
	opts.TLSConfig.Certificates = []tls.Certificate{*cert}
	return opts, digest, nil
}

// withoutTLSFiles takes out the lines of a compiled configuration that name the
// listener's certificate and key.
func withoutTLSFiles(conf string) string {
	var out strings.Builder
	for line := range strings.Lines(conf) {
		if word := strings.TrimSpace(line); !strings.HasPrefix(word, certLine) && !strings.HasPrefix(word, keyLine) {
			out.WriteString(line)
		}
	}
	return out.String()
}

func (e *Embedded) awaitReady(ctx context.Context, fatal <-chan string) error {
	deadline := time.NewTimer(startTimeout)
	defer deadline.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case text := <-fatal:
			return problem.Wrap(problem.Failed, errors.New(text), "the broker could not start").
				WithHint("is its port taken, or its store locked by another process?")
		case <-ctx.Done():
			return problem.Wrap(problem.Failed, ctx.Err(), "the broker was stopped before it was ready")
		case <-deadline.C:
			return problem.New(problem.Failed, "the broker was not ready after %s and was stopped", startTimeout)
		case <-tick.C:
			if e.srv().Addr() != nil && e.srv().ReadyForConnections(time.Second) {
				return nil
			}
		}
	}
}

// Reload reads the configuration file again. Connections whose user is gone
// are closed; the others stay, with their new rights.
//
// nats-server 2.15 gives the services that an account imports to no account that
// comes with a reload, but does with the next one (configureAccounts: not if
// reloading). So a partner that is new is read twice.
func (e *Embedded) Reload() error {
	opts, digest, err := e.options()
	more := err == nil && e.newAccount(opts)
	if err == nil {
		err = e.srv().ReloadOptions(opts)
	}
	if err == nil && more {
		if opts, digest, err = e.options(); err == nil { // the server keeps what it was given
			err = e.srv().ReloadOptions(opts)
		}
	}
	if err != nil {
		return problem.Wrap(problem.Failed, err, "the broker did not take its new configuration and keeps the old one").
			WithHint("settings of store and listener change only with a restart")
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.taken = digest
	return nil
}

// newAccount reports whether there is an account that the server does not have yet.
func (e *Embedded) newAccount(opts *server.Options) bool {
	return slices.ContainsFunc(opts.Accounts, func(a *server.Account) bool {
		_, err := e.srv().LookupAccount(a.GetName())
		return err != nil
	})
}

// Shutdown stops the server and waits until its files are closed. It may be
// called more than once.
func (e *Embedded) Shutdown() {
	e.down.Do(func() {
		if e.stop != nil {
			e.stop()
		}
		e.srv().Shutdown()
	})
	e.srv().WaitForShutdown()
}

// ClientURL is where the listener really is: "tls://127.0.0.1:4222".
func (e *Embedded) ClientURL() string {
	addr := e.srv().Addr()
	if addr == nil {
		return ""
	}
	return "tls://" + addr.String()
}

// InProcessConn implements [nats.InProcessConnProvider], across restarts.
func (e *Embedded) InProcessConn() (net.Conn, error) { return e.srv().InProcessConn() }

// InProcess gives connections to the server that never leave the process, for
// nats.InProcessServer. A user still proves its nkey.
func (e *Embedded) InProcess() nats.InProcessConnProvider { return e }

// Connect logs in within the process as one of the owner's users. Through the
// handshake with cert the connection counts as one of a pinned key and outlives
// a change of the pins; without cert it waits 50 ms and is cut with every such
// change, and comes back by itself.
func (e *Embedded) Connect(role string, user nkeys.KeyPair, cert *tls.Certificate) (*nats.Conn, error) {
	if cert == nil {
		return e.ConnectBy(role, user, nil)
	}
	return e.ConnectBy(role, user, func() *tls.Certificate { return cert })
}

// ConnectBy is [Embedded.Connect] with a certificate that is asked for at each
// handshake, so that it may be replaced.
func (e *Embedded) ConnectBy(role string, user nkeys.KeyPair, cert func() *tls.Certificate) (*nats.Conn, error) {
	public, err := user.PublicKey()
	if err != nil {
		return nil, problem.Wrap(problem.Locked, err, "the nkey of the %s cannot be used", role)
	}
	opts := []nats.Option{
		nats.InProcessServer(e),
		nats.Nkey(public, user.Sign),
		nats.CustomInboxPrefix(subject.Inbox(role)),
		nats.Name(role),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(20 * time.Millisecond),
		nats.ReconnectJitter(10*time.Millisecond, 10*time.Millisecond),
		nats.IgnoreDiscoveredServers(),
		nats.IgnoreAuthErrorAbort(),
		nats.ReconnectBufSize(-1), // what cannot be sent fails at once
	}
	if cert != nil {
		opts = append(opts, nats.TLSHandshakeFirst(), nats.Secure(inProcessTLS(cert)))
	}
	nc, err := e.logIn(opts)
	if err != nil {
		return nil, problem.Wrap(problem.Unreachable, err, "the %s could not log in to the own broker", role)
	}
	return nc, nil
}

// Show puts another certificate in the place of the listener's, from the next
// [Embedded.Reload] on.
func (e *Embedded) Show(cert *tls.Certificate) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.cert = cert
}

// shown gives the listener's certificate; nil if it is in files.
func (e *Embedded) shown() *tls.Certificate {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.cert
}

// logIn connects. On a machine that is busy a handshake may take longer than client
// and server allow, which is no reason to give up: it is begun again.
func (e *Embedded) logIn(opts []nats.Option) (*nats.Conn, error) {
	for deadline := time.Now().Add(loginTimeout); ; {
		nc, err := nats.Connect("", opts...)
		if err == nil || errors.Is(err, nats.ErrAuthorization) || !e.srv().Running() || time.Now().After(deadline) {
			return nc, err //nolint:wrapcheck // the caller says whose it is
		}
	}
}

// inProcessTLS shows a certificate and checks none: both ends are this process.
func inProcessTLS(cert func() *tls.Certificate) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return cert(), nil
		},
		InsecureSkipVerify: true, //nolint:gosec // the other end of a pipe within this process
	}
}

// Varz gives the server's general statistics.
func (e *Embedded) Varz() (*server.Varz, error) { return e.srv().Varz(&server.VarzOptions{}) }

// Jsz gives the statistics of streams and consumers.
func (e *Embedded) Jsz() (*server.JSInfo, error) {
	return e.srv().Jsz(&server.JSzOptions{Accounts: true, Streams: true, Consumer: true, Config: true, Limit: 10_000})
}

// Connz gives the open connections, with their users and accounts.
func (e *Embedded) Connz() (*server.Connz, error) {
	return e.srv().Connz(&server.ConnzOptions{Username: true, Limit: 10_000})
}

// kick closes every connection of an account and says how many there were.
func (e *Embedded) kick(account string) int {
	list, err := e.srv().Connz(&server.ConnzOptions{Username: true, Account: account, Limit: 10_000})
	if err != nil {
		return 0
	}
	n := 0
	for _, conn := range list.Conns {
		if e.srv().DisconnectClientByID(conn.Cid) == nil {
			n++
		}
	}
	return n
}

// traffic gives what an account has sent to the server since it started:
// messages, refused ones included, and bytes.
func (e *Embedded) traffic(account string) (msgs, bytes int64) {
	stats, err := e.srv().AccountStatz(&server.AccountStatzOptions{Accounts: []string{account}, IncludeUnused: true})
	if err != nil || len(stats.Accounts) == 0 {
		return 0, 0
	}
	return stats.Accounts[0].Received.Msgs, stats.Accounts[0].Received.Bytes
}

// runs implements control: what the server was given is known here, for nobody
// else gives it anything.
func (e *Embedded) runs(configFile string) (bool, error) {
	conf, err := os.ReadFile(configFile)
	if err != nil {
		return false, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return sha256.Sum256(conf) == e.taken, nil
}
