package broker

import (
	"context"
	"crypto/tls"
	"slices"
	"time"

	"karaula/internal/keyring"
	"karaula/internal/problem"
)

// comeBackTime is how long a change of the certificate waits for the agent's own
// connection, which it cuts.
const comeBackTime = 10 * time.Second

// show puts the certificate that a plan asks for where the server takes it from with
// its next reading, and reports whether it is another one.
//
// A server of its own reads it from files, after the configuration was written: an
// agent that dies in between finds a server that still shows the old one, or lets in
// the old one only, and knows it by both ([remote.connect]).
func (a *Agent) show(plan Plan) (bool, error) {
	now := a.cert.Load()
	if a.o.Held == nil || now == nil || keyring.Pin(now.Leaf) == plan.Own.Server {
		return false, nil
	}
	next := keyring.ByPin(a.o.Held(), plan.Own.Server)
	if next == nil {
		return false, problem.New(problem.Locked, "the key of the certificate that the broker is to show is not here").
			WithHint("copy broker/keys from the machine on which it was renewed")
	}
	if a.broker != nil {
		a.broker.Show(next)
	} else if err := WriteTLS(plan.TLS, *next); err != nil {
		return false, err
	}
	a.cert.Store(next)
	return true, nil
}

// comeBack waits until the agent is connected again, after its certificate was
// replaced. Without that streams and consumers are looked at later.
func (a *Agent) comeBack(ctx context.Context) {
	_ = a.nc.ForceReconnect() // fails when it is closed, and then nothing comes back
	ctx, cancel := context.WithTimeout(ctx, comeBackTime)
	defer cancel()
	for !a.nc.IsConnected() && ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// present gives what the agent shows to an embedded server: the same certificate.
func (a *Agent) present() func() *tls.Certificate {
	if a.o.Cert == nil {
		return nil
	}
	return a.cert.Load
}

// held gives the certificates by which the server may be known, the shown one first.
func (a *Agent) held() []tls.Certificate {
	out := []tls.Certificate{*a.cert.Load()}
	if a.o.Held != nil {
		out = append(out, a.o.Held()...)
	}
	return out
}

// with keeps the addresses of a cluster, which a running server cannot change, and
// takes the keys by which its servers know each other from another plan.
func (c *Cluster) with(next *Cluster) *Cluster {
	if c == nil || next == nil {
		return c
	}
	return &Cluster{Listen: c.Listen, Routes: slices.Clone(c.Routes), Pins: next.Pins}
}
