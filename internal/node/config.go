package node

import (
	"time"
)

// Config is node.yaml. The comment of each field is its documentation: the
// template that init writes and docs/configuration.md are made from it.
type Config struct {
	// Code of the party whose node this is: lower case, 2 to 12 letters and
	// digits. It must be the code in the party's card.
	Party string `yaml:"party"`

	// Name of the authority, for people. It stands in the card too.
	Name string `yaml:"name"`

	// Language in which pages for people give coded values, where --language does
	// not say another one: sq, bs, en, mk, cnr, sr-Cyrl or sr-Latn. Empty: the
	// words that alert files have. What is sent, stored and written as JSON is the
	// same in all.
	Language string `yaml:"language"`

	// Address and port of the one public listener, on which partners fetch.
	// Nothing else of a node listens on the network, but what metrics and
	// api.listen name.
	Listen string `yaml:"listen"`

	// Addresses (host:port) that partners are told in the card, the first to be
	// tried first. Empty: the listen address.
	Advertise []string `yaml:"advertise"`

	// Address and port of /metrics, /healthz and /readyz, over plain HTTP
	// without names of persons or contents. Empty: they are not served.
	Metrics string `yaml:"metrics"`

	// How far partners' clocks may be ahead of this node's before what they say
	// is refused as coming from the future. 1s to 1h.
	ClockSkew time.Duration `yaml:"clock-skew"`

	// How long a channel may stay silent before the node says a heartbeat on
	// it, so that partners notice when statements are withheld. 1s to 1h.
	Heartbeat time.Duration `yaml:"heartbeat"`

	// How long a partner may say nothing on a channel, though its link is up,
	// before the node warns that it may be withholding: two heartbeats of the
	// partner, which are at most 1h each. 2s to 168h.
	Silence time.Duration `yaml:"silence"`

	// How long backups of this node's disks are kept. It is told to partners
	// whenever content is erased, because until then a copy may exist. 0s means
	// that there are no backups. At most 8760h.
	BackupHorizon time.Duration `yaml:"backup-horizon"`

	// How long a record of who looked at what is kept: then who, what and why are
	// taken out, and its place in the ledger stays. At least three years
	// (Regulation (EU) 2018/1862, Art. 12; Regulation (EU) 2024/982, Art. 18); longer,
	// up to ten years, only where national law orders it.
	DeskRetention time.Duration `yaml:"desk-retention"`

	// Public holidays of the own country, as dates like "2026-11-28": no working
	// days of its own error notices, beside Saturdays and Sundays. Where there are
	// none, holidays count as working days, and so do those of partners, which this
	// node does not know: a clock then ends too early, and never too late.
	Holidays []string `yaml:"holidays"`

	// Copies of every stream: 1, or 3 or 5 where the broker is a cluster.
	Replicas int `yaml:"replicas"`

	// Permissions of the node's socket, in octal. With "0600" only the user who
	// runs the node reaches it; "0660" or "0666" let officers with other user
	// ids in, who must stand below officers in any case.
	SocketMode string `yaml:"socket-mode"`

	// Operating-system users who may talk to the node, and as whom. A user who
	// is not listed may not. Each has uid (number), id (a name that stays in
	// this node; letters, digits, dot, hyphen and underscore) and role: officer
	// or supervisor (send, list and open alerts), system (likewise, for a
	// programme), auditor (lists and follows, opens nothing), admin (sees the
	// node's state only).
	Officers []Officer `yaml:"officers"`

	// The node's interface over the network, for national systems. Who may use
	// it stands not here: see `karaula api client`.
	API APIConfig `yaml:"api"`

	// Where the gateway finds its broker.
	Broker BrokerConfig `yaml:"broker"`

	// The broker as a cluster of stock nats-servers, one to a machine. Without
	// it the broker is one server within the node's own process.
	Cluster ClusterConfig `yaml:"cluster"`

	// Two gateways of one party, each in a folder of its own: one speaks, the
	// other one follows it and takes over. Needs a cluster. Without it there is
	// one gateway.
	Pair PairConfig `yaml:"pair"`

	// What the broker may keep on disk.
	Store StoreConfig `yaml:"store"`

	// What the node logs, to standard error. Neither names of persons nor
	// contents are ever logged.
	Log LogConfig `yaml:"log"`
}

// APIConfig says where national systems reach the node's interface.
type APIConfig struct {
	// Address and port, on the network of the national systems and never where a
	// partner can reach it. Callers need TLS 1.3 and a client certificate that
	// the node knows. Empty: the interface is served on the socket alone.
	Listen string `yaml:"listen"`

	// File of the certificate that callers see, with its chain (PEM), for
	// instance from the country's own certification authority. Empty: the one
	// that `karaula api init` makes. A relative name is one in DIR.
	Certificate string `yaml:"certificate"`

	// File of its private key (PEM), readable by the node's user alone. It
	// stands where certificate does.
	Key string `yaml:"key"`
}

// BrokerConfig says where the broker is.
type BrokerConfig struct {
	// Address of the broker as the gateway reaches it, like
	// tls://broker.example.org:4222. Empty: the listen address of this node, in
	// the same process or beside it.
	URL string `yaml:"url"`

	// Address and port of /metrics, /healthz and /readyz of a broker, or of the
	// agent beside a nats-server, that runs apart from the gateway: another one
	// than metrics, which is the gateway's. Empty: they are not served.
	Metrics string `yaml:"metrics"`
}

// ClusterConfig names the servers of a cluster.
type ClusterConfig struct {
	// Name of the server that runs on this machine: one of servers. Empty: there
	// is no cluster.
	Server string `yaml:"server"`

	// All servers, this one included, the same list on every machine. Each has
	// name (letters, digits, dots, hyphens), client (host:port at which the own
	// gateways reach its listener) and route (IP address and port at which it
	// listens for the other servers: on the private network between them, never
	// where a partner can reach it).
	Servers []ServerConfig `yaml:"servers"`
}

// ServerConfig is one server of a cluster.
type ServerConfig struct {
	Name   string `yaml:"name"`
	Client string `yaml:"client"`
	Route  string `yaml:"route"`
}

// PairConfig names two gateways of one party.
type PairConfig struct {
	// Name of the gateway of this folder: one of gateways. Empty: it is alone.
	Gateway string `yaml:"gateway"`

	// Both gateways by name, in the same order in both folders. The first one
	// speaks where there has never been a pair before, so it is the one that has
	// the signing journals.
	Gateways []string `yaml:"gateways"`

	// Who decides that the other one takes over when the one that speaks is
	// silent: automatic (the broker's word that nothing has come from it for the
	// length of lease is enough) or manual (a person, with karaula gateway
	// takeover). What the difference means is said in docs/threat-model.md. A
	// gateway that is stopped hands over by itself in both cases.
	Takeover string `yaml:"takeover"`

	// How long the one that speaks may be silent before the other one takes
	// over. 1s to 1h.
	Lease time.Duration `yaml:"lease"`
}

// StoreConfig bounds the store. Sizes are bytes, or numbers with KiB, MiB, GiB
// or TiB.
type StoreConfig struct {
	// All streams together. The disk should have twice as much.
	MaxBytes Size `yaml:"max-bytes"`

	// A stream whose agreement names no quota.
	Quota Size `yaml:"quota"`
}

// LogConfig says how the node logs.
type LogConfig struct {
	// Least important level: debug, info, warn or error.
	Level string `yaml:"level"`

	// Form of a line: text for people or json for machines.
	Format string `yaml:"format"`
}

// Officer is an operating-system user who may talk to the node.
type Officer struct {
	UID  int    `yaml:"uid"`
	ID   string `yaml:"id"`
	Role string `yaml:"role"`
}

// The roles of officers.
const (
	RoleOfficer    = "officer"
	RoleSupervisor = "supervisor"
	RoleAuditor    = "auditor"
	RoleSystem     = "system"
	RoleAdmin      = "admin"
)

// Roles lists the roles of officers.
func Roles() []string {
	return []string{RoleOfficer, RoleSupervisor, RoleAuditor, RoleSystem, RoleAdmin}
}

// Who decides that a standby takes over.
const (
	TakeoverAutomatic = "automatic"
	TakeoverManual    = "manual"
)

// DeskRetention is how long records of who looked at what are kept, unless
// national law orders more: three years.
const DeskRetention = 3 * 8766 * time.Hour

// Default gives a configuration in which every field that has a default has it.
func Default() *Config {
	return &Config{
		ClockSkew:     5 * time.Minute,
		Heartbeat:     time.Hour,
		Silence:       2 * time.Hour,
		BackupHorizon: 30 * 24 * time.Hour,
		DeskRetention: DeskRetention,
		Replicas:      1,
		SocketMode:    "0600",
		Pair:          PairConfig{Takeover: TakeoverAutomatic, Lease: 5 * time.Second},
		Store:         StoreConfig{MaxBytes: 32 << 30, Quota: 1 << 30},
		Log:           LogConfig{Level: "info", Format: "text"},
	}
}

// Addresses gives what partners are told in the card: advertise, or else the
// listen address.
func (c *Config) Addresses() []string {
	if len(c.Advertise) > 0 {
		return c.Advertise
	}
	return []string{c.Listen}
}
