package broker

import (
	"encoding/hex"
	"net"
	"strconv"

	"karaula/internal/subject"
)

const sysAccount = "SYS"

// The beginnings of the two lines that name the listener's files: an embedded
// broker has what is in them in memory.
const (
	certLine = "cert_file: "
	keyLine  = "key_file: "
)

// Compile gives the configuration of a stock nats-server that follows from a
// plan: always the same text for the same rights, with the agreement or clause
// beside every permission. It refuses ([problem.Invalid]) a plan with an id,
// word or name that could break out of its place in the text.
func Compile(p Plan) ([]byte, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	p = p.sorted()
	t := &text{}
	t.comment("Karaula: the broker of " + p.Party + ", as it follows from its agreements.")
	t.comment("Written anew with every change, so do not edit it. Check it with: nats-server -t -c FILE")
	t.blank()
	writeServer(t, p)
	writeTLS(t, p)
	writeCluster(t, p)
	writeJetStream(t, p)
	t.line("system_account: " + quote(sysAccount))
	t.open("accounts {")
	writeOwnAccount(t, p)
	for _, peer := range p.Peers {
		writePeerAccount(t, p, peer)
	}
	for _, a := range p.Auditors {
		writeAuditorAccount(t, p, a)
	}
	writeAuditAccount(t, p)
	writeSystemAccount(t, p)
	t.close("}")
	return t.out.Bytes(), nil
}

func writeServer(t *text, p Plan) {
	host, port, _ := net.SplitHostPort(p.Listen)
	if port == "0" {
		port = "-1"
	}
	t.line("server_name: " + quote(p.ServerName))
	t.line("listen: " + quote(net.JoinHostPort(host, port)))
	t.note("max_payload: "+strconv.Itoa(subject.MaxPayload), "partners have a limit of their own")
	t.note("max_pending: "+strconv.Itoa(maxPending), "bytes on their way to a reader that does not read")
	t.line("max_connections: " + strconv.Itoa(baseConnections+maxPeerConnections*len(p.Peers)+maxAuditConnections*len(p.Auditors)))
	t.note(`write_deadline: "60s"`, "for a full pull over a slow line; TLS does not survive a write that ran out of time")
	t.note(`ping_interval: "20s"`, "a cut connection must not hold one of a partner's four places for long")
	t.line("ping_max: 2")
	t.note("feature_flags { js_ack_fc_v2: true }", "acks name domain and account")
	t.blank()
}

func writeTLS(t *text, p Plan) {
	t.comment("TLS 1.3 from the first byte; only certificates of cards and of the own gateway, by their keys.")
	t.open("tls {")
	t.line(certLine + quote(p.TLS.Cert))
	t.line(keyLine + quote(p.TLS.Key))
	t.line("ca_file: " + quote(p.TLS.CA))
	t.line("verify: true")
	t.line("handshake_first: true")
	t.line(`min_version: "1.3"`)
	t.line("timeout: 3")
	t.open("pinned_certs: [")
	for _, pin := range p.Own.Pins {
		t.note(quote(hex.EncodeToString(pin[:])), p.Party)
	}
	for _, peer := range p.guests() {
		for _, pin := range peer.Pins {
			t.note(quote(hex.EncodeToString(pin[:])), peer.Code)
		}
	}
	t.close("]")
	t.close("}")
	t.blank()
}

// writeCluster lets the servers of one owner find each other. Both ends of a
// route show the broker's certificate and are known by its key; names and
// authorities mean nothing, which nats-server calls insecure.
func writeCluster(t *text, p Plan) {
	if p.Cluster == nil {
		return
	}
	t.comment("The other servers of this broker, on a network that nobody else reaches.")
	t.open("cluster {")
	t.line("name: " + quote(p.Party))
	t.line("listen: " + quote(p.Cluster.Listen))
	t.note("no_advertise: true", "clients know the addresses from the card")
	t.note(`ping_interval: "3s"`, "a server that stands still or is cut off gets no requests after 9 s")
	t.line("ping_max: 2")
	t.note(`write_deadline: "5s"`, "nor does it hold up the others for longer")
	t.open("routes: [")
	for _, at := range p.Cluster.Routes {
		t.line(quote("nats-route://" + at))
	}
	t.close("]")
	t.open("tls {")
	t.line("cert_file: " + quote(p.TLS.Cert))
	t.line("key_file: " + quote(p.TLS.Key))
	if len(p.Cluster.Pins) == 1 {
		t.line("ca_file: " + quote(p.TLS.Cert))
	} else {
		t.note("ca_file: "+quote(p.TLS.CA), "the next certificate is in it, too; only the keys below are let in")
	}
	t.line("verify: true")
	t.note("insecure: true", "the name in the certificate is not compared; the key is, below, in both directions")
	t.line(`min_version: "1.3"`)
	t.line("timeout: 5")
	t.open("pinned_certs: [")
	for _, pin := range p.Cluster.Pins {
		t.note(quote(hex.EncodeToString(pin[:])), p.Party)
	}
	t.close("]")
	t.close("}")
	t.close("}")
	t.blank()
}

func writeJetStream(t *text, p Plan) {
	t.open("jetstream {")
	t.line("domain: " + quote(p.Party))
	t.line("store_dir: " + quote(p.StoreDir))
	t.note("sync_interval: always", "what is acknowledged is on disk")
	t.line("max_file_store: " + strconv.FormatInt(p.MaxStore, 10))
	t.line("max_memory_store: " + strconv.Itoa(maxMemory))
	t.close("}")
	t.blank()
}

func writeOwnAccount(t *text, p Plan) {
	t.comment("The owner's account: every stream is here, and nobody but the owner's users.")
	t.open(quote(subject.Account(p.Party)) + " {")
	t.open("jetstream {")
	t.note("max_file: "+strconv.FormatInt(p.MaxStore*int64(p.Replicas), 10), "every copy counts")
	t.line("max_mem: " + strconv.Itoa(maxMemory))
	t.note("max_bytes_required: true", "no stream may take another one's room")
	t.close("}")
	t.open("users: [")
	for _, role := range p.Own.roles() {
		if role.name == subject.RoleOps || role.name == subject.RoleAudit {
			continue // they have accounts of their own
		}
		for _, key := range role.keys {
			writeUser(t, role.name, key, rightsOf(p, role.name))
		}
	}
	t.close("]")
	t.open("exports: [")
	for _, peer := range p.Peers {
		for _, g := range grantsOf(p, peer.Code) {
			t.note(g.export(subject.PeerAccount(peer.Code)), g.why)
		}
	}
	for _, a := range p.Auditors {
		for _, g := range auditorGrants(p, a) {
			t.note(g.export(subject.AuditorAccount(a.Code)), g.why)
		}
	}
	for _, g := range auditGrants(p) {
		t.note(g.export(subject.AuditAccount), g.why)
	}
	t.close("]")
	t.close("}")
	t.blank()
}

// export is the line that opens a service to one account. The
// threshold bounds the memory of answers that never come; it is longer than a
// pull waits.
func (g grant) export(account string) string {
	line := "{ service: " + quote(g.subject) + ", accounts: [" + quote(account) + "]"
	if g.stream {
		line += ", response_type: stream"
	}
	return line + `, threshold: "` + g.limit() + `" }`
}

func (g grant) limit() string {
	if g.threshold {
		return strconv.Itoa(int(subject.ExportThreshold.Seconds())) + "s"
	}
	return strconv.Itoa(int(subject.MaxRequestExpires.Seconds())) + "s"
}

func writePeerAccount(t *text, p Plan, peer Peer) {
	g := guest{
		account: subject.PeerAccount(peer.Code), connections: maxPeerConnections, payload: subject.MaxLinkRequest,
		grants: grantsOf(p, peer.Code), rights: peerRights(p, peer.Code),
	}
	t.comment(peer.Code + ": " + peer.Ref)
	writeGuest(t, p, peer, g)
}

// writeAuditorAccount gives an auditor whom an agreement names an account like a
// partner's, which reads the streams of its channels and reaches nothing else.
func writeAuditorAccount(t *text, p Plan, a Auditor) {
	g := guest{
		account: subject.AuditorAccount(a.Code), connections: maxAuditConnections, payload: maxAuditRequest,
		grants: auditorGrants(p, a), rights: auditorRights(p, a),
	}
	t.comment(a.Code + ", an auditor: " + a.Ref)
	writeGuest(t, p, a.Peer, g)
}

// guest is what an account of somebody else may use.
type guest struct {
	account              string
	connections, payload int // of each user, and bytes of one message
	grants               []grant
	rights               rights
}

func writeGuest(t *text, p Plan, peer Peer, g guest) {
	t.open(quote(g.account) + " {")
	t.line("limits { max_connections: " + strconv.Itoa(g.connections) +
		", max_subscriptions: " + strconv.Itoa(maxPeerSubscriptions+len(g.grants)) +
		", max_payload: " + strconv.Itoa(g.payload) + " }")
	t.open("imports: [")
	for _, one := range g.grants {
		t.note("{ service: { account: "+quote(subject.Account(p.Party))+", subject: "+quote(one.subject)+" } }", one.why)
	}
	t.close("]")
	t.open("users: [")
	if peer.Barred {
		t.comment("none: barred by the flood watch, for a while")
	} else {
		for _, key := range peer.NATSKeys {
			writeUser(t, peer.Code, key, g.rights)
		}
	}
	t.close("]")
	t.close("}")
	t.blank()
}

// writeAuditAccount gives audit an account of its own, as a partner has one: in
// the owner's account, whoever may ask anything can have the server write the
// answer into a stream, by naming its subject as the reply.
func writeAuditAccount(t *text, p Plan) {
	t.comment("The owner's audit: reads by these services, and cannot write even by the answers to them.")
	t.open(quote(subject.AuditAccount) + " {")
	t.open("imports: [")
	for _, g := range auditGrants(p) {
		t.note("{ service: { account: "+quote(subject.Account(p.Party))+", subject: "+quote(g.subject)+" } }", g.why)
	}
	t.close("]")
	t.open("users: [")
	for _, key := range p.Own.Audit {
		writeUser(t, subject.RoleAudit, key, rightsOf(p, subject.RoleAudit))
	}
	t.close("]")
	t.close("}")
	t.blank()
}

func writeSystemAccount(t *text, p Plan) {
	t.comment("The server's own account: statistics, and no way to change anything.")
	t.open(quote(sysAccount) + " {")
	t.open("users: [")
	for _, key := range p.Own.Ops {
		writeUser(t, subject.RoleOps, key, rightsOf(p, subject.RoleOps))
	}
	t.close("]")
	t.close("}")
}

// writeUser writes one user: all that it may publish and subscribe is listed,
// the rest is refused. Partners connect over TCP only, the owner also within
// the process.
func writeUser(t *text, name, key string, r rights) {
	t.comment(name)
	t.open("{")
	t.line("nkey: " + quote(key))
	if r.local {
		t.line(`allowed_connection_types: ["STANDARD", "IN_PROCESS"]`)
	} else {
		t.line(`allowed_connection_types: ["STANDARD"]`)
	}
	t.open("permissions: {")
	writeRights(t, "publish", r.publish, r.system)
	writeRights(t, "subscribe", r.subscribe, r.system)
	if r.respond > 0 {
		t.line(`allow_responses: { max: 1, expires: "` + strconv.Itoa(int(r.respond.Seconds())) + `s" }`)
	}
	t.close("}")
	t.close("}")
}

func writeRights(t *text, verb string, list []right, system bool) {
	t.open(verb + ": {")
	t.open("allow: [")
	for _, r := range list {
		t.note(quote(r.subject), r.why)
	}
	t.close("]")
	if !system {
		t.line(`deny: ["$SYS.>"]`)
	}
	t.close("}")
}
