// Package testbroker gives tests a real nats-server with JetStream in their own
// process, without accounts and permissions: for what is tested below the
// walls. Tests of the walls start the broker package's server instead.
//
// It must never be used outside tests.
package testbroker

import (
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"karaula/internal/subject"
)

// Broker is one server with its folder.
type Broker struct {
	t    testing.TB
	dir  string
	srv  *server.Server
	Conn *nats.Conn
	JS   jetstream.JetStream
}

// Start starts a server in a folder of the test's own. It is stopped when the
// test ends.
func Start(t testing.TB) *Broker {
	t.Helper()
	b := &Broker{t: t, dir: t.TempDir()}
	b.start()
	t.Cleanup(b.Stop)
	return b
}

func (b *Broker) start() {
	b.t.Helper()
	srv, err := server.NewServer(&server.Options{
		ServerName: "test", DontListen: true, JetStream: true, StoreDir: b.dir, SyncAlways: true,
		MaxPayload: subject.MaxPayload, NoSigs: true, NoLog: true,
	})
	if err != nil {
		b.t.Fatal(err)
	}
	srv.Start()
	if !srv.ReadyForConnections(10 * time.Second) {
		b.t.Fatal("the server is not ready")
	}
	b.srv = srv
	b.Conn, err = nats.Connect("", nats.InProcessServer(srv))
	if err != nil {
		b.t.Fatal(err)
	}
	if b.JS, err = jetstream.New(b.Conn); err != nil {
		b.t.Fatal(err)
	}
}

// Dial makes another connection.
func (b *Broker) Dial() (*nats.Conn, error) {
	return nats.Connect("", nats.InProcessServer(b.srv), nats.MaxReconnects(-1),
		nats.ReconnectWait(10*time.Millisecond), nats.ReconnectBufSize(-1))
}

// Dir gives the folder of the server's files.
func (b *Broker) Dir() string { return b.dir }

// Stop stops the server; the folder stays until the test ends.
func (b *Broker) Stop() {
	if b.srv == nil {
		return
	}
	b.Conn.Close()
	b.srv.Shutdown()
	b.srv.WaitForShutdown()
	b.srv = nil
}

// Restart stops the server and starts it again on the same folder. Conn and JS are new.
func (b *Broker) Restart() {
	b.t.Helper()
	b.Stop()
	b.start()
}

// Stream makes a stream with the settings that matter below the walls.
func (b *Broker) Stream(name string, subjects ...string) {
	b.t.Helper()
	_, err := b.JS.CreateStream(b.t.Context(), jetstream.StreamConfig{
		Name: name, Subjects: subjects, Discard: jetstream.DiscardNew,
		AllowAtomicPublish: true, AllowDirect: true, MaxMsgSize: subject.MaxStreamMsg,
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

// Full makes a stream refuse whatever comes, as one that has reached its quota
// does, or take it again.
func (b *Broker) Full(name string, full bool) {
	b.t.Helper()
	s, err := b.JS.Stream(b.t.Context(), name)
	if err != nil {
		b.t.Fatal(err)
	}
	cfg := s.CachedInfo().Config
	cfg.MaxBytes = -1
	if full {
		cfg.MaxBytes = 1
	}
	if _, err := b.JS.UpdateStream(b.t.Context(), cfg); err != nil {
		b.t.Fatal(err)
	}
}
