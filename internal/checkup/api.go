package checkup

import (
	"encoding/hex"
	"time"

	"karaula/internal/access"
	"karaula/internal/keyring"
)

// APIEnds lists when the certificate of the interface over the network ends, and
// those of its clients. Clients are named by their fingerprint: they may be
// officers, and this ends on monitors.
func (p Place) APIEnds() []End {
	if p.Config.API.Listen == "" {
		return nil
	}
	var out []End
	certificate, _ := p.Layout.APIFiles(p.Config.API)
	if leaf, err := keyring.ReadCertificate(certificate); err == nil {
		out = append(out, End{
			APIExpiry, "server", leaf.NotAfter,
			"put the next certificate in its place and restart; one of its own: move DIR/api/server.* away, karaula api init --dir DIR",
		})
	}
	clients, _, _ := access.List(p.Layout.APIClients()) // what lets nobody in has no end
	for _, c := range clients {
		out = append(out, End{
			APIExpiry, "client " + hex.EncodeToString(c.Fingerprint[:6]), time.Unix(c.Until, 0),
			"karaula api client list --dir DIR names it; remove it, and add it with its next certificate",
		})
	}
	return out
}

// api turns the ends into checks, and says what lets nobody in.
func (p Place) api() []Check {
	if p.Config.API.Listen == "" {
		return []Check{Skip(APIExpiry, "", "the interface is served on the socket alone")}
	}
	var out []Check
	certificate, _ := p.Layout.APIFiles(p.Config.API)
	if _, err := keyring.ReadCertificate(certificate); err != nil {
		out = append(out, Bad(Fail, APIExpiry, "server", "the certificate cannot be read: at the next start the interface is not served",
			"karaula api init --host NAME --dir DIR"))
	}
	for _, e := range p.APIEnds() {
		out = append(out, e.check(p.Now()))
	}
	if _, damaged, err := access.List(p.Layout.APIClients()); len(damaged) > 0 || err != nil {
		out = append(out, Bad(Warn, APIExpiry, "clients", "a file in the folder of clients lets nobody in",
			"karaula api client list --dir DIR names it"))
	}
	return out
}
