// Package api is the door through which national systems reach the desk over
// the network: TLS 1.3, a client certificate that the node knows by its
// fingerprint, and the same interface and roles as on the socket (docs/api.md).
//
// It must never let a byte of a request reach the desk before it knows who asks,
// never let one client take what others need, never believe a name that its
// configuration does not let a client give, and never log who a client is or
// what it asked.
package api

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"time"

	"connectrpc.com/connect"

	"karaula/gateway/strict"
	"karaula/internal/node"
	"karaula/internal/problem"
)

// Desk is what the door leads to.
type Desk interface {
	// Handler answers the officer whom the request's context names.
	Handler(o ...connect.HandlerOption) http.Handler
	// Refuse answers with an error before the body is read.
	Refuse(w http.ResponseWriter, r *http.Request, err error)
}

// Options is what the door needs.
type Options struct {
	// Certificate is the server's.
	Certificate tls.Certificate
	// Clients is the folder that says who may come in; see package access.
	Clients string
	// Officers are those of the socket: no client may have the id of one.
	Officers []node.Officer
	Desk     Desk
	Limits   Limits
	Now      func() time.Time
	Logger   *slog.Logger
}

// Limits bound what callers may take.
type Limits struct {
	Body          int           // bytes of a request, decompressed
	Connections   int           // of one client
	Strangers     int           // connections that have not shown a certificate yet
	StrangersEach int           // likewise, from one address
	Flight        int           // requests of one client at once, watches included
	Rate          float64       // requests of one client in a second
	Burst         int           // requests that may come at once after a pause
	Handshake     time.Duration // for TLS, and for the headers of a request
	Read          time.Duration // for the body of a request
	Write         time.Duration // for one piece of an answer
	Idle          time.Duration // without a request
	Look          time.Duration // between two looks at who may come in
}

// DefaultLimits are the limits of a node (docs/spec/limits.md). With 1,000 plates
// in a request, Rate admits far more look-ups than a node answers.
func DefaultLimits() Limits {
	return Limits{
		Body: MaxBody, Connections: MaxConnections, Strangers: MaxStrangers, StrangersEach: 32, Flight: MaxFlight,
		Rate: MaxRate, Burst: 2 * MaxRate,
		Handshake: 10 * time.Second, Read: time.Minute, Write: 30 * time.Second, Idle: 2 * time.Minute, Look: time.Second,
	}
}

// Limits of one client (docs/spec/limits.md).
const (
	MaxBody        = 8 << 20 // bytes of a request
	MaxConnections = 16      // connections
	MaxFlight      = 32      // requests at once
	MaxRate        = 200     // requests in a second
	MaxStrangers   = 256     // connections of all callers that have shown no certificate yet
)

// stopGrace is how long requests may go on at a stop.
const stopGrace = 2 * time.Second

// Listen listens on an address (host:port).
func Listen(ctx context.Context, address string) (net.Listener, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, problem.Wrap(problem.Failed, err, "the interface cannot be served over the network").
			WithHint("another address: api.listen in node.yaml")
	}
	return l, nil
}

// recovered answers for a handler that broke. Where it broke is logged; with what
// value may be content.
func (d *door) recovered(_ context.Context, spec connect.Spec, _ http.Header, _ any) error {
	d.o.Logger.Error("a request broke its handler", "procedure", spec.Procedure, "stack", string(debug.Stack()))
	return connect.NewError(connect.CodeInternal, problem.New(problem.Failed, "internal error; the node's log says more"))
}

// Serve answers on a listener until ctx ends.
func Serve(ctx context.Context, l net.Listener, o Options) error {
	d := newDoor(o)
	d.look()
	done := make(chan struct{})
	go func() {
		defer close(done)
		d.watch(ctx)
	}()
	defer func() { <-done }()
	srv := &http.Server{
		Handler: d.guard(o.Desk.Handler(
			connect.WithReadMaxBytes(o.Limits.Body), connect.WithRecover(d.recovered), strict.Proto(MaxBody), strict.JSON(),
		)),
		TLSConfig:         d.tls(),
		ReadHeaderTimeout: o.Limits.Handshake,
		IdleTimeout:       o.Limits.Idle,
		MaxHeaderBytes:    16 << 10,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: o.Limits.Flight, WriteByteTimeout: o.Limits.Write,
			SendPingTimeout: o.Limits.Idle, PingTimeout: o.Limits.Write,
		},
		ConnContext: knownConn,
		BaseContext: func(net.Listener) context.Context { return ctx },
		ErrorLog:    slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo), // it would name addresses and panics' contents
	}
	stopped := context.AfterFunc(ctx, func() {
		bye, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopGrace)
		defer cancel()
		if srv.Shutdown(bye) != nil {
			srv.Close() //nolint:errcheck // nothing more can be done at the end
		}
	})
	defer stopped()
	if err := srv.ServeTLS(&listener{l, d}, "", ""); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return problem.Wrap(problem.Failed, err, "the interface over the network stopped")
	}
	return nil
}
