package checkup

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"time"

	"karaula/internal/card"
	"karaula/internal/keyring"
)

// portTimeout bounds one look at an address.
const portTimeout = 3 * time.Second

// advertise resolves the addresses that partners are told.
func (p Place) advertise(ctx context.Context) []Check {
	var out []Check
	for _, address := range p.Config.Addresses() {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			out = append(out, Bad(Fail, PortAdvertise, address, "is no address", "mend advertise in node.yaml"))
			continue
		}
		switch ip := net.ParseIP(host); {
		case ip != nil && ip.IsUnspecified():
			out = append(out, Bad(Fail, PortAdvertise, address, "partners cannot dial it",
				"set advertise in node.yaml, then: karaula card issue --dir DIR"))
		case ip != nil && ip.IsLoopback():
			out = append(out, Bad(Warn, PortAdvertise, address, "only this machine reaches it",
				"set advertise in node.yaml, then: karaula card issue --dir DIR"))
		case ip != nil:
			out = append(out, Good(PortAdvertise, address, "an address, nothing to resolve"))
		default:
			out = append(out, resolve(ctx, address, host))
		}
	}
	return out
}

func resolve(ctx context.Context, address, host string) Check {
	ctx, cancel := context.WithTimeout(ctx, portTimeout)
	defer cancel()
	list, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil || len(list) == 0 {
		return Bad(Warn, PortAdvertise, address, "its name does not resolve here; partners may not find us",
			"look at the DNS entry, or advertise an IP address")
	}
	return Good(PortAdvertise, address, "resolves to %s", list[0])
}

// metrics looks whether the pages of numbers are open to everybody.
func (p Place) metrics() Check {
	if p.Config.Metrics == "" {
		return Skip(PortMetrics, "", "metrics are not served; nothing outside the node sees how it is")
	}
	host, _, _ := net.SplitHostPort(p.Config.Metrics)
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		return Bad(Warn, PortMetrics, "", "metrics are served on every address of the machine, without a password",
			"name one address in metrics of node.yaml: of loopback, or of the monitoring network")
	}
	return Good(PortMetrics, "", "served on one address")
}

// Listens dials a listen address as a partner would and looks whether it is the
// broker of the own card that answers. Cert is one that the broker lets in.
func Listens(ctx context.Context, listen string, own *card.Card, cert tls.Certificate) Check {
	ctx, cancel := context.WithTimeout(ctx, portTimeout)
	defer cancel()
	if host, port, err := net.SplitHostPort(listen); err == nil {
		if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
			listen = net.JoinHostPort("localhost", port)
		}
	}
	pins := own.Pins(keyring.RoleBroker)
	errOther := errors.New("another key")
	d := tls.Dialer{Config: &tls.Config{
		MinVersion:         tls.VersionTLS13,
		Certificates:       []tls.Certificate{cert},
		InsecureSkipVerify: true, //nolint:gosec // VerifyConnection compares the key, as partners do
		VerifyConnection: func(s tls.ConnectionState) error {
			if len(s.PeerCertificates) == 0 ||
				!slices.Contains(pins, sha256.Sum256(s.PeerCertificates[0].RawSubjectPublicKeyInfo)) {
				return errOther
			}
			return nil
		},
	}}
	c, err := d.DialContext(ctx, "tcp", listen)
	switch {
	case errors.Is(err, errOther):
		return Bad(Fail, PortListen, "", "somebody else's key answers at the listen address",
			"look who holds the port: ss -ltnp; then start the node again")
	case err != nil:
		return Bad(Fail, PortListen, "", "nobody answers at the listen address as partners dial it",
			"look at listen in node.yaml, the packet filter, and: ss -ltnp")
	}
	_ = c.Close() // it was only a look
	return Good(PortListen, "", "our broker answers with the key that our card names")
}

// Free looks whether a stopped node could take its port.
func Free(ctx context.Context, listen string) Check {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", listen)
	if err != nil {
		return Bad(Warn, PortListen, "", "the node does not run, and its port is taken or not ours",
			"look who holds the port: ss -ltnp")
	}
	_ = l.Close() // it was only a look
	return Skip(PortListen, "", "the node does not run; its port is free")
}
