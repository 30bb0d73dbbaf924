// Package gateway is one country's voice and ear: it says what its officers
// say, on the channels that its agreements open, and receives what partners
// say, through the border check.
//
// The rooms: outbox (own ledgers), inbox (partners' ledgers), border (the
// check), link (the way to partners' brokers), book (what is known now), desk
// (the officers' interface), api (its door to the network), bus (what just happened), stream (JetStream). This
// package wires them to the register of cards, agreements and notices, and
// keeps them in step with it.
//
// It must never import the broker, never open a connection that an agreement
// does not call for, and never write content to a disk, a log or a metric.
package gateway

import (
	"context"
	"crypto/tls"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"

	"karaula/internal/checkup"
	"karaula/internal/keyring"
	"karaula/internal/node"
	"karaula/internal/register"
)

// Options is what a gateway needs.
type Options struct {
	Layout   node.Layout
	Config   *node.Config
	Register *register.Register
	Keys     *keyring.Live
	// Connect connects to the own broker as the user of role gateway. It is
	// called once; the connection must reconnect by itself.
	Connect func(ctx context.Context) (*nats.Conn, error)
	// Certificate is the one of the interface over the network; needed where
	// api.listen stands in the configuration.
	Certificate tls.Certificate
	// Version is the program's, for status.
	Version string
	// Checks makes the checks of the folder, the machine and the broker, which
	// [Gateway.Checks] adds its own to; nil for none.
	Checks func(ctx context.Context) []checkup.Check
	// Metrics receives the gateway's metrics; nil for none.
	Metrics prometheus.Registerer
	Now     func() time.Time
	Logger  *slog.Logger
}
