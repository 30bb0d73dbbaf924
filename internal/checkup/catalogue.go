package checkup

// The ids of the checks.
const (
	Config          = "config"
	FilesOwner      = "files.owner"
	FilesSealed     = "files.sealed"
	RootAway        = "root.away"
	RootAge         = "root.age"
	RootChange      = "root.change"
	DiskRoom        = "disk.room"
	DiskKind        = "disk.kind"
	DiskSync        = "disk.sync"
	ClockSync       = "clock.sync"
	ClockJump       = "clock.jump"
	ClockPartner    = "clock.partner"
	PortListen      = "port.listen"
	PortAdvertise   = "port.advertise"
	PortMetrics     = "port.metrics"
	Register        = "register"
	CardExpiry      = "card.expiry"
	KeyExpiry       = "key.expiry"
	TLSExpiry       = "tls.expiry"
	TLSAge          = "tls.age"
	KeyRenewal      = "key.renewal"
	APIExpiry       = "api.expiry"
	AgreementExpiry = "agreement.expiry"
	PartnerPinned   = "partner.pinned"
	GatewayRuns     = "gateway.runs"
	BrokerAnswers   = "broker.answers"
	BrokerPlan      = "broker.plan"
	BrokerFlood     = "broker.flood"
	StreamRoom      = "stream.room"
	StreamStock     = "stream.stock"
	ErasureTold     = "erasure.told"
	ClusterCopies   = "cluster.copies"
	ChannelOpen     = "channel.open"
	ChannelHalted   = "channel.halted"
	ChannelJournal  = "channel.journal"
	ChannelClock    = "channel.clock"
	ChannelBacklog  = "channel.backlog"
	ChannelHeld     = "channel.held"
	ChannelSilent   = "channel.silent"
	ChannelAside    = "channel.quarantine"
	Histories       = "channel.histories"
	Contested       = "channel.contested"
	LinkUp          = "link.up"
	LinkTrip        = "link.trip"
	LinkVersions    = "link.versions"
)

// Kind describes a check.
type Kind struct {
	ID string
	// Asks is the question that the check answers.
	Asks string
	// Stops: while it fails, the node should not be sent work (/readyz).
	Stops bool
	// Live: only a running node can tell.
	Live bool
}

// All lists every check in the order in which they are shown: the folder and the
// machine first, partners last. Ids are never used for something else.
func All() []Kind {
	return []Kind{
		{ID: Config, Asks: "does node.yaml agree with the own card?"},
		{ID: FilesOwner, Asks: "do secrets belong to the node's user, and to nobody else?"},
		{ID: FilesSealed, Asks: "are the online keys sealed with a passphrase?"},
		{ID: RootAway, Asks: "is no root key on this machine?"},
		{ID: RootAge, Asks: "how old is a root key?"},
		{ID: RootChange, Asks: "does a change of a root key wait for a person, here or at a partner, or has it put an agreement out of force?"},
		{ID: DiskRoom, Asks: "is there room for what the store may still take?"},
		{ID: DiskKind, Asks: "does the file system keep what is synced?"},
		{ID: DiskSync, Asks: "can a file be written, synced and renamed, and how fast?"},
		{ID: ClockSync, Asks: "does the kernel say that the clock is synchronised?"},
		{ID: ClockJump, Asks: "has the clock been moved since the node started?", Live: true},
		{ID: ClockPartner, Asks: "does a partner's clock agree with ours?", Live: true},
		{ID: PortListen, Asks: "does our broker answer at the listen address?"},
		{ID: PortAdvertise, Asks: "can the addresses in our card be resolved?"},
		{ID: PortMetrics, Asks: "are metrics served to this machine or one network only?"},
		{ID: Register, Asks: "do all files of the register verify?"},
		{ID: CardExpiry, Asks: "how long is a card valid?"},
		{ID: KeyExpiry, Asks: "how long is a key of ours valid?"},
		{ID: TLSExpiry, Asks: "how long is a certificate of ours valid?"},
		{ID: TLSAge, Asks: "how old are our TLS keys, and the login that was made with them?"},
		{ID: KeyRenewal, Asks: "is a renewal of TLS keys and login unfinished, and for whom?", Live: true},
		{ID: APIExpiry, Asks: "how long are the certificates of the interface and of its clients valid?"},
		{ID: AgreementExpiry, Asks: "how long is an agreement in force?"},
		{ID: PartnerPinned, Asks: "does an agreement pin the partner's root key?"},
		{ID: GatewayRuns, Asks: "does the gateway answer?", Stops: true, Live: true},
		{ID: BrokerAnswers, Asks: "does the own broker answer the gateway?", Stops: true, Live: true},
		{ID: BrokerPlan, Asks: "is the broker's configuration the one that the agreements give, and does it run it?", Stops: true},
		{ID: BrokerFlood, Asks: "is a partner barred for flooding?", Live: true},
		{ID: StreamRoom, Asks: "how full is a stream?", Live: true},
		{ID: StreamStock, Asks: "does a stream hold what was stored there?", Live: true},
		{ID: ErasureTold, Asks: "does no server of the cluster hold any more what was erased, so that partners are told?", Live: true},
		{ID: ClusterCopies, Asks: "is the copy of each of the cluster's servers whole?", Live: true},
		{ID: ChannelOpen, Asks: "is a channel that an agreement opens open here?", Stops: true, Live: true},
		{ID: ChannelHalted, Asks: "may we speak on the channel?", Stops: true, Live: true},
		{ID: ChannelJournal, Asks: "do signing journal and stream tell the same?", Live: true},
		{ID: ChannelClock, Asks: "is our clock past the last thing that we said?", Live: true},
		{ID: ChannelBacklog, Asks: "does a partner judge what we say?", Live: true},
		{ID: ChannelHeld, Asks: "does something of a partner wait for a card, key or text?", Live: true},
		{ID: ChannelSilent, Asks: "is a partner heard on the channel?", Live: true},
		{ID: ChannelAside, Asks: "did a partner's link bring bytes without a place?", Live: true},
		{ID: Histories, Asks: "has a partner signed the same histories as are here?", Live: true},
		{ID: Contested, Asks: "has a partner contradicted itself?", Live: true},
		{ID: LinkUp, Asks: "is the link to a partner up?", Live: true},
		{ID: LinkTrip, Asks: "does a signed question come back answered?", Live: true},
		{ID: LinkVersions, Asks: "does the partner speak a version that we speak?", Live: true},
	}
}
