package gateway

import (
	"context"
	"errors"
	"io/fs"
	"strconv"

	"karaula/gateway/api"
)

// serveDesk answers officers on the socket, and national systems over the network
// where the configuration says so, until ctx ends or one of the two breaks.
func (g *Gateway) serveDesk(ctx context.Context) (<-chan error, error) {
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(ctx)
	socket := func() error { return g.desk.Serve(ctx, g.o.Layout.Socket(), g.socketMode(), g.o.Config.Officers) }
	address := g.o.Config.API.Listen
	if address == "" {
		go func() {
			defer cancel()
			done <- socket()
		}()
		return done, nil
	}
	l, err := api.Listen(ctx, address)
	if err != nil {
		cancel()
		return nil, err
	}
	g.log.Info("the interface is served over the network", "address", l.Addr().String())
	network := make(chan error, 1)
	go func() {
		defer cancel()
		network <- api.Serve(ctx, l, api.Options{
			Certificate: g.o.Certificate, Clients: g.o.Layout.APIClients(), Officers: g.o.Config.Officers, Desk: g.desk,
			Limits: api.DefaultLimits(), Now: g.o.Now, Logger: g.log,
		})
	}()
	go func() {
		err := socket()
		cancel()
		done <- errors.Join(err, <-network)
	}()
	return done, nil
}

// socketMode gives the permissions of the socket; the configuration has checked them.
func (g *Gateway) socketMode() fs.FileMode {
	mode, err := strconv.ParseUint(g.o.Config.SocketMode, 8, 32)
	if err != nil {
		return 0o600
	}
	return fs.FileMode(mode)
}
