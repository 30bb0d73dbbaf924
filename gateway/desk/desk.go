// Package desk is where officers meet the gateway: it answers the node's own
// interface (NodeService, described in proto/karaula/v1/node.proto) over a Unix
// socket, where it knows who asks from the operating system, and gives the handler
// that answers over the network, where package api knows it from a certificate. It
// decides by role and by the agreement, and records who looked at what and why.
//
// It must never take a recipient from the caller (readers follow from the
// agreement), never show content to the role admin, and never give an error
// text that holds content.
package desk

import (
	"context"
	"log/slog"
	"time"

	"karaula/gateway/book"
	"karaula/gateway/bus"
	"karaula/gateway/diary"
	"karaula/gateway/index"
	"karaula/gateway/outbox"
	"karaula/internal/alert"
	"karaula/internal/evidence"
	"karaula/internal/keyring"
	"karaula/internal/register"
	"karaula/internal/subject"
	karaulav1 "karaula/proto/gen/karaula/v1"
	"karaula/proto/gen/karaula/v1/karaulav1connect"
)

// Officer is who asks.
type Officer struct {
	ID   string // as in the node's configuration; "client/officer" where only a client vouches for the officer
	Role string // officer, supervisor, auditor, system, admin
}

// Opened is an own or received alert with its content.
type Opened struct {
	Inner      *karaulav1.Inner
	Frame      []byte   // in which it was sealed
	Commitment []byte   // of the frame it was sealed in
	Stub       []byte   // its envelope without parts
	Card       [32]byte // digest of the card under which it was signed
	Clause     string
}

// Config is what a desk needs of its gateway.
type Config struct {
	Self     string
	Name     string
	Register func() *register.View
	Book     *book.Book // of what is meant
	Drills   *book.Book // of what is practised
	// Exercises gives what is practised on the open channels.
	Exercises func() []*karaulav1.ExerciseState
	Index     *index.Index // of what is meant
	// DrillIndex is that of what is practised, each exercise for itself.
	DrillIndex *index.Index
	Holidays   alert.Holidays // of the own country
	// Complete reports whether books and indexes hold everything that the streams do.
	Complete func() bool
	Bus      *bus.Bus
	// Writer gives the voice on a channel.
	Writer func(channel string) (*outbox.Writer, bool)
	// Closed erases where nothing can be said any more.
	Closed Closed
	// Open opens an entry of the book with the node's own keys.
	Open func(ctx context.Context, e book.Entry) (*Opened, error)
	// Diary keeps what officers do.
	Diary *diary.Diary
	// SignHead signs what an export of it ends with.
	SignHead func(*karaulav1.DeskHead) (*karaulav1.DeskSigned, error)
	// OfficerKey is the national key of officers' pseudonyms, 32 bytes.
	OfficerKey []byte
	// ReadLedger gives what the streams hold of a ledger, in their order, and
	// ReadAside what was put aside.
	ReadLedger, ReadAside func(ctx context.Context, on subject.Channel, origin string, fn func(*karaulav1.StoredPiece) error) error
	// Prove makes a proof about a ledger of an open channel; NotFound: from the streams only.
	Prove func(ctx context.Context, channel, origin string, ask evidence.Ask) (*evidence.Proof, error)
	// Skew is how far two clocks may be apart.
	Skew time.Duration
	// Status gives links, channels and warnings.
	Status func(ctx context.Context) *karaulav1.StatusResponse
	// KeyUse counts what the own keys are used for.
	KeyUse func(ctx context.Context, req *karaulav1.KeyUseRequest) (*karaulav1.KeyUseResponse, error)
	// PruneKeys destroys old keys that nothing needs, after record was told which.
	PruneKeys func(ctx context.Context, record func([]keyring.Held) error) ([]keyring.Held, error)
	// Checkup makes the node's checks, with a round trip to each partner if wanted.
	Checkup func(ctx context.Context, trips bool) []*karaulav1.Check
	// TestLink makes a round trip to one partner.
	TestLink func(ctx context.Context, party string) (*karaulav1.TestLinkResponse, error)
	// Ledgers gives the heads of the ledgers of a channel; of all for "".
	Ledgers func(ctx context.Context, channel string) (*karaulav1.LedgersResponse, error)
	// Repair mends the own ledger of a channel.
	Repair func(ctx context.Context, req *karaulav1.RepairRequest) (*karaulav1.RepairResponse, error)
	Now    func() time.Time
	Logger *slog.Logger
}

// Desk implements NodeService.
type Desk struct {
	cfg    Config
	audits audits
}

var _ karaulav1connect.NodeServiceHandler = (*Desk)(nil)

// New makes a desk.
func New(cfg Config) *Desk { return &Desk{cfg: cfg} }

// record writes an entry of the desk stream; what cannot be recorded is not done.
func (d *Desk) record(ctx context.Context, who Officer, deed string, e *karaulav1.DeskEntry) error {
	e.At, e.Officer, e.Role, e.Deed = d.cfg.Now().UnixMicro(), who.ID, who.Role, deed
	return d.cfg.Diary.Append(ctx, e)
}
