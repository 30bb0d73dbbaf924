// Package link is a gateway's side of a border: the connection to a partner's
// broker, the flow of statements that is pulled over it, and the small signed
// control service between the two gateways.
//
// [Dial] connects to the broker that a card names, [Puller] fetches what the
// partner says on one channel and hands it on in the order of arrival,
// [Client] asks the partner's gateway (hello, rewind, get) and [Serve] answers
// the same questions of partners on the own broker. The protocol is
// docs/spec/link.md.
//
// The broker at the other end belongs to another state. Nothing that comes
// over a link is believed but what a signature covers: no header, no subject,
// no number that the transport adds. Every piece has a size limit before it is
// read, and a hostile partner can cost its own link, nothing else.
//
// This package must never decide what may be said or read (agreements do,
// through [Owner]), judge a statement (the border check does), write to disk,
// or log: it reports codes to whoever listens.
package link

import (
	"time"

	"karaula/internal/subject"
)

// Format is the version of the link protocol that this package speaks.
const Format = 1

// Payload types under which requests and replies are signed (DSSE
// pre-authentication encoding). They differ, so that no reply can ever be
// shown as a request.
const (
	RequestType = "application/vnd.karaula.link.request.v1"
	ReplyType   = "application/vnd.karaula.link.reply.v1"
)

// Defaults and limits of the protocol (docs/spec/link.md).
const (
	DefaultSkew    = 5 * time.Minute // how far two clocks may differ
	DefaultTimeout = 5 * time.Second // how long a client waits for a reply
	DefaultRate    = 10              // requests per second that one partner may go on making
	DefaultBurst   = 50              // requests that one partner may make at once

	idSize        = 16
	hashSize      = 32
	maxVersions   = 16
	maxAgreements = 1024
	maxSigned     = 64
	maxHeads      = 8192
	maxTexts      = 256
	maxStatements = 4096
	maxFrontier   = 64        // a tree of 2^64 leaves has no more right-edge hashes
	maxText       = 512 << 10 // bytes of one signed text

	// replyRoom is kept free in a reply for everything around its content.
	replyRoom = 4 << 10
	// MaxStatementBytes is how many bytes of envelopes or stubs fit into one reply.
	MaxStatementBytes = subject.MaxLinkReply - replyRoom
)
