package desk

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"os"
	"slices"
	"time"

	"connectrpc.com/connect"

	"karaula/gateway/strict"
	"karaula/internal/node"
	"karaula/internal/problem"
	"karaula/proto/gen/karaula/v1/karaulav1connect"
)

// maxRequest bounds what a caller may hand over at once.
const maxRequest = 64 << 20

type officerKey struct{}

// Serve answers on the node's Unix socket until ctx ends. The peer's user id
// decides who asks: the officers table of the node's configuration, and nobody else.
func (d *Desk) Serve(ctx context.Context, path string, mode fs.FileMode, officers []node.Officer) error {
	l, err := node.ListenSocketMode(path, mode)
	if err != nil {
		return err
	}
	srv := &http.Server{
		Handler:           d.Handler(connect.WithReadMaxBytes(maxRequest), strict.JSON()),
		ReadHeaderTimeout: 10 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, officerKey{}, officerOf(c, officers))
		},
	}
	stopped := context.AfterFunc(ctx, func() {
		bye, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		if srv.Shutdown(bye) != nil {
			srv.Close() //nolint:errcheck // nothing more can be done at the end
		}
	})
	defer stopped()
	defer os.Remove(path) //nolint:errcheck // a stale socket is replaced at the next start
	if err := srv.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return problem.Wrap(problem.Failed, err, "the node's socket stopped")
	}
	return nil
}

// Handler answers whoever the request's context names: see [AsOfficer].
func (d *Desk) Handler(o ...connect.HandlerOption) http.Handler {
	mux := http.NewServeMux()
	mux.Handle(karaulav1connect.NewNodeServiceHandler(d, o...))
	return d.onlyOfficers(mux)
}

// onlyOfficers answers who is no officer before a byte of the request is read:
// where the socket's mode lets every user of the machine in, none of them may
// fill the node's memory.
func (d *Desk) onlyOfficers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if o, _ := r.Context().Value(officerKey{}).(*Officer); o == nil {
			_, err := who(r.Context())
			w.Header().Set("Connection", "close")
			d.Refuse(w, r, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// refusals writes errors in the protocol that a request speaks.
var refusals = connect.NewErrorWriter()

// Refuse answers a request with a problem, or with an error that has its form
// already, before the body is read.
func (d *Desk) Refuse(w http.ResponseWriter, r *http.Request, err error) {
	if _, ok := errors.AsType[*connect.Error](err); !ok {
		err = d.toConnect(err)
	}
	_ = refusals.Write(w, r, err) // the caller has gone
}

// officerOf finds the officer who belongs to a connection's peer; nil if none does.
func officerOf(c net.Conn, officers []node.Officer) *Officer {
	uid, err := node.PeerUID(c)
	if err != nil {
		return nil
	}
	for _, o := range officers {
		if o.UID == uid {
			return &Officer{ID: o.ID, Role: o.Role}
		}
	}
	return nil
}

// who gives the officer who asks, if one of the roles is his.
func who(ctx context.Context, roles ...string) (Officer, error) {
	o, _ := ctx.Value(officerKey{}).(*Officer)
	if o == nil {
		return Officer{}, problem.New(problem.Locked,
			"this operating-system user is no officer of this node; nothing was done").
			WithHint("add the user id to officers in node.yaml and restart the node")
	}
	if slices.Contains(roles, o.Role) {
		return *o, nil
	}
	return Officer{}, problem.New(problem.Locked, "the role %s may not do this; nothing was done", o.Role).
		WithHint("roles stand in node.yaml; roles that may: %v", roles)
}

// AsOfficer gives a context in which an officer asks from within the process.
func AsOfficer(ctx context.Context, o Officer) context.Context {
	return context.WithValue(ctx, officerKey{}, &o)
}

// Dial gives a client of the node whose socket this is.
func Dial(path string) karaulav1connect.NodeServiceClient {
	client := &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return node.DialSocket(ctx, path) },
	}}
	return karaulav1connect.NewNodeServiceClient(client, "http://node")
}
