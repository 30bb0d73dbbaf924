package broker

import (
	"bytes"
	"cmp"
	"crypto/x509"
	"encoding/pem"
	"net"
	"slices"
	"strconv"

	"github.com/nats-io/nkeys"

	"karaula/internal/problem"
	"karaula/internal/subject"
	"karaula/internal/terms"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Plan is all that a broker needs to know: who it is, who may connect, and
// which channels there are. It is plain data; [Compile] turns it into text and
// [Keeper] into streams and consumers.
type Plan struct {
	Party      string   // party code of the owner, "al"
	ServerName string   // name of this server in logs and statistics, "al" or "al-1"
	Listen     string   // host:port of the one public listener; port 0 takes a free one
	StoreDir   string   // folder of JetStream's files
	TLS        TLSFiles // names of the files that the listener reads
	MaxStore   int64    // bytes that all streams together may take on disk
	OwnQuota   int64    // bytes of each of VERDICT, STUB and DESK; 0 = [DefaultQuota]
	Replicas   int      // copies of every stream: 1, or 3 or 5 in a cluster
	Own        Users    // who of the owner's side may connect
	Cluster    *Cluster // the servers it consists of; nil: it is alone
	Pair       bool     // two gateways follow each other
	Peers      []Peer
	Auditors   []Auditor
	Channels   []Channel
}

// TLSFiles names the PEM files of the listener.
type TLSFiles struct {
	Cert string // certificate of the broker
	Key  string // its private key
	CA   string // bundle of the certificates that may connect, written by [Prepare]
}

// Cluster is how one server of a cluster meets the others. They all show the
// broker's certificate.
type Cluster struct {
	Listen string     // IP address and port for the other servers
	Routes []string   // likewise of every server, this one included
	Pins   [][32]byte // SHA-256 of the public keys (SPKI) that they may show: the server's own first
}

// Users are the owner's own users: public user nkeys by role, and the
// certificates that they present. Several keys of a role are the current one
// and the next.
type Users struct {
	Gateway []string   // says, receives, judges
	Keeper  []string   // makes streams and consumers
	Audit   []string   // reads OUT, IN, STUB, VERDICT and DESK, and nothing else
	Ops     []string   // sees the server's statistics
	Pins    [][32]byte // SHA-256 of the public keys (SPKI) of their certificates
	CertDER [][]byte   // their self-signed certificates
	Server  [32]byte   // SHA-256 of the public key (SPKI) of the certificate that the broker shows
	Held    [][32]byte // likewise of all whose keys the broker has
}

// Peer is a partner that may connect: at least one agreement with it is in
// force, winding down or suspended.
type Peer struct {
	Code     string     // party code
	Ref      string     // where the right to connect comes from, for the comment
	NATSKeys []string   // public user nkeys of its gateway: current, and next
	Pins     [][32]byte // SHA-256 of the public keys (SPKI) of its client certificates
	CertDER  [][]byte   // its self-signed client certificates
	Barred   bool       // no user for now: the flood watch has thrown it out
}

// Auditor is an auditor whom an agreement names that is open, with a card that
// has a login.
type Auditor struct {
	Peer              // who, and by which keys
	Channels []string // that it may read
}

// Channel is one channel that the owner is a party to, closed ones included:
// their streams stay until every content in them is erased.
type Channel struct {
	ID       string
	Ref      string         // agreement, version and phase, for the comment
	Mode     karaulav1.Mode // actual, exercise or test
	Say      []Say          // what the owner's gateway may say now; none when closed
	Partners []PartnerOf    // the other parties
	Quota    int64          // bytes of OUT, and of each IN; 0 = [DefaultQuota]
	In       []string       // origins whose statements are kept here
}

// name is what the channel is called in subjects and streams.
func (c Channel) name() subject.Channel { return subject.On(c.ID, c.Mode) }

// Say is one token that the owner's gateway may say on a channel.
type Say struct {
	Token string // word of a type or kind, see subject.Token
	Ref   string // clause that allows it, for the comment
}

// PartnerOf is another party of a channel, as a reader of what the owner says.
type PartnerOf struct {
	Code   string
	Fetch  bool // may fetch now; false while suspended, and when closed
	Closed bool // will never fetch again: its consumer may go
	Joined bool // came in by a later version: reads from then on, not from the beginning
}

// Limits of every broker, docs/spec/federation.md.
const (
	DefaultQuota = 1 << 30 // bytes of a stream whose agreement or configuration names none

	maxPeerConnections   = 4
	maxAuditConnections  = 2
	maxAuditRequest      = 4 << 10
	maxPeerSubscriptions = 16   // of one connection, and one more per right
	baseConnections      = 1024 // for the owner, and for strangers who never get past the handshake
	maxPending           = 64 << 20
	maxMemory            = 64 << 20
)

// check refuses a plan that could not be written down safely: every id and
// word that ends in the configuration must be one that cannot break out of it.
func (p *Plan) check() error {
	if !terms.ValidParty(p.Party) {
		return invalid("the owner's party code %q is not one", p.Party)
	}
	if !plainName(p.ServerName) {
		return invalid("server name %q must be 1 to 64 letters, digits, dots or hyphens", p.ServerName)
	}
	if _, port, err := net.SplitHostPort(p.Listen); err != nil || !validPort(port) {
		return invalid("listen address %q is not host:port", p.Listen)
	}
	for what, name := range map[string]string{
		"listen address": p.Listen, "store folder": p.StoreDir, "TLS certificate": p.TLS.Cert,
		"TLS key": p.TLS.Key, "TLS bundle": p.TLS.CA,
	} {
		if !quotable(name) {
			return invalid("%s %q is empty or holds characters that a configuration cannot", what, name)
		}
	}
	if p.MaxStore <= 0 || p.OwnQuota < 0 {
		return invalid("the store must be allowed some bytes")
	}
	if !slices.Contains([]int{1, 3, 5}, p.Replicas) {
		return invalid("replicas must be 1, 3 or 5, not %d", p.Replicas)
	}
	if err := p.checkCluster(); err != nil {
		return err
	}
	if err := p.checkPeers(); err != nil {
		return err
	}
	return p.checkChannels()
}

func (p *Plan) checkCluster() error {
	if p.Cluster == nil {
		return nil
	}
	for _, at := range append([]string{p.Cluster.Listen}, p.Cluster.Routes...) {
		host, port, err := net.SplitHostPort(at)
		if ip := net.ParseIP(host); err != nil || !validPort(port) || ip == nil || ip.IsUnspecified() {
			return invalid("address %q of a server is not that of one interface and port", at)
		}
	}
	if len(p.Cluster.Pins) == 0 {
		return invalid("no key is named by which the servers know each other")
	}
	return nil
}

func (p *Plan) checkPeers() error {
	keys := map[string]string{}
	claim := func(owner string, list []string) error {
		for _, key := range list {
			if !nkeys.IsValidPublicUserKey(key) {
				return invalid("%s: %q is not a public user nkey", owner, key)
			}
			if other, taken := keys[key]; taken {
				return invalid("%s has the same nkey as %s", owner, other)
			}
			keys[key] = owner
		}
		return nil
	}
	for _, role := range p.Own.roles() {
		if err := claim("the own "+role.name, role.keys); err != nil {
			return err
		}
	}
	seen := map[string]bool{p.Party: true}
	for _, peer := range p.guests() {
		if !terms.ValidParty(peer.Code) || seen[peer.Code] {
			return invalid("partner %q is not a party code, or comes twice", peer.Code)
		}
		seen[peer.Code] = true
		if err := claim("partner "+peer.Code, peer.NATSKeys); err != nil {
			return err
		}
	}
	return nil
}

// guests are all who may connect and are not of the owner's side.
func (p *Plan) guests() []Peer {
	out := slices.Clone(p.Peers)
	for _, a := range p.Auditors {
		out = append(out, a.Peer)
	}
	return out
}

func (p *Plan) checkChannels() error {
	peers := map[string]bool{}
	for _, peer := range p.Peers {
		peers[peer.Code] = true
	}
	words := tokens()
	seen := map[string]bool{}
	for _, ch := range p.Channels {
		if !terms.ValidID(ch.ID) || seen[ch.ID] {
			return invalid("channel %q is not an id, or comes twice", ch.ID)
		}
		seen[ch.ID] = true
		if ch.Quota < 0 {
			return invalid("channel %s: the quota is negative", ch.ID)
		}
		for _, say := range ch.Say {
			if !words[say.Token] {
				return invalid("channel %s: %q is not the word of a type or kind", ch.ID, say.Token)
			}
		}
		if err := checkPartners(ch, p.Party, peers); err != nil {
			return err
		}
	}
	for _, a := range p.Auditors {
		for _, id := range a.Channels {
			if !seen[id] {
				return invalid("auditor %s may read channel %q, which is not there", a.Code, id)
			}
		}
	}
	return nil
}

func checkPartners(ch Channel, self string, peers map[string]bool) error {
	seen := map[string]bool{self: true}
	for _, partner := range ch.Partners {
		if !terms.ValidParty(partner.Code) || seen[partner.Code] {
			return invalid("channel %s: partner %q is not a party code, or comes twice", ch.ID, partner.Code)
		}
		seen[partner.Code] = true
		if partner.Fetch && (partner.Closed || !peers[partner.Code]) {
			return invalid("channel %s: partner %s may fetch, but has no link here", ch.ID, partner.Code)
		}
	}
	seen = map[string]bool{self: true}
	for _, origin := range ch.In {
		if !terms.ValidParty(origin) || seen[origin] {
			return invalid("channel %s: origin %q is not a party code, or comes twice", ch.ID, origin)
		}
		seen[origin] = true
	}
	return nil
}

// sorted gives a copy of the plan in the order in which it is written down, so
// that the same rights always make the same text.
func (p *Plan) sorted() Plan {
	out := *p
	out.Peers = slices.Clone(p.Peers)
	slices.SortFunc(out.Peers, func(a, b Peer) int { return cmp.Compare(a.Code, b.Code) })
	out.Auditors = slices.Clone(p.Auditors)
	slices.SortFunc(out.Auditors, func(a, b Auditor) int { return cmp.Compare(a.Code, b.Code) })
	for i := range out.Auditors {
		out.Auditors[i].Channels = slices.Sorted(slices.Values(out.Auditors[i].Channels))
	}
	out.Channels = slices.Clone(p.Channels)
	slices.SortFunc(out.Channels, func(a, b Channel) int { return cmp.Compare(a.ID, b.ID) })
	for i := range out.Channels {
		ch := &out.Channels[i]
		ch.Say = slices.Clone(ch.Say)
		slices.SortFunc(ch.Say, func(a, b Say) int { return cmp.Compare(a.Token, b.Token) })
		ch.Say = slices.CompactFunc(ch.Say, func(a, b Say) bool { return a.Token == b.Token })
		ch.Partners = slices.Clone(ch.Partners)
		slices.SortFunc(ch.Partners, func(a, b PartnerOf) int { return cmp.Compare(a.Code, b.Code) })
		ch.In = slices.Sorted(slices.Values(ch.In))
	}
	return out
}

// CABundle gives the PEM text of every certificate that may connect: the
// owner's own and the partners'. A partner without nkeys, or barred, keeps its
// certificate there; it gets no further than the handshake.
func (p *Plan) CABundle() ([]byte, error) {
	var out bytes.Buffer
	add := func(owner string, certs [][]byte) error {
		for _, der := range certs {
			if _, err := x509.ParseCertificate(der); err != nil {
				return problem.Wrap(problem.Invalid, err, "the TLS certificate of %s cannot be read", owner)
			}
			out.WriteString("# " + owner + "\n")
			if err := pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: der}); err != nil {
				return err
			}
		}
		return nil
	}
	if err := add(p.Party, p.Own.CertDER); err != nil {
		return nil, err
	}
	sorted := p.sorted()
	for _, peer := range sorted.guests() {
		if err := add(peer.Code, peer.CertDER); err != nil {
			return nil, err
		}
	}
	if out.Len() == 0 {
		return nil, invalid("no certificate may connect, not even the own gateway's")
	}
	return out.Bytes(), nil
}

// tokens are the words that may stand last in a statement's subject.
func tokens() map[string]bool {
	out := map[string]bool{terms.TypeWord(0): true}
	for _, word := range terms.TypeWords() {
		out[word] = true
	}
	for kind := range karaulav1.Kind_name {
		if k := karaulav1.Kind(kind); k > karaulav1.Kind_KIND_ALERT {
			out[terms.KindWord(k)] = true
		}
	}
	return out
}

func validPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && strconv.FormatUint(n, 10) == s
}

func invalid(format string, args ...any) error {
	return problem.New(problem.Invalid, format+"; no configuration was written", args...)
}
