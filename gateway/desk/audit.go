package desk

import (
	"context"
	"crypto/rand"
	"maps"
	"slices"
	"sync"
	"time"

	"connectrpc.com/connect"

	"karaula/gateway/book"
	"karaula/internal/evidence"
	"karaula/internal/problem"
	"karaula/internal/register"
	"karaula/internal/subject"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Limits of audits.
const (
	maxAudits  = 100            // begun and not forgotten
	auditTime  = 24 * time.Hour // an audit may read so long after it began
	chunkBytes = 256 << 10      // of statements in one answer
)

// auditDeeds are what an audit may be for; each is the deed of its record.
func auditDeeds() []string { return []string{"replay", "export", "prove", "as-of", auditDesk} }

// audits are those that have begun, with who began them.
type audits struct {
	mu  sync.Mutex
	all map[[16]byte]begun
}

type begun struct {
	officer Officer
	at      time.Time
	desk    bool // of what officers did
}

// begin remembers an audit and gives its id. What is old is forgotten.
func (a *audits) begin(o Officer, now time.Time, desk bool) [16]byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	maps.DeleteFunc(a.all, func(_ [16]byte, b begun) bool { return now.Sub(b.at) > auditTime })
	for len(a.all) >= maxAudits {
		oldest := slices.MinFunc(slices.Collect(maps.Keys(a.all)), func(x, y [16]byte) int { return a.all[x].at.Compare(a.all[y].at) })
		delete(a.all, oldest)
	}
	var id [16]byte
	rand.Read(id[:])
	if a.all == nil {
		a.all = map[[16]byte]begun{}
	}
	a.all[id] = begun{o, now, desk}
	return id
}

// may reports whether an officer has begun the audit, and for this.
func (a *audits) may(o Officer, id []byte, now time.Time, desk bool) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(id) != 16 {
		return false
	}
	b, ok := a.all[[16]byte(id)]
	return ok && b.officer == o && b.desk == desk && now.Sub(b.at) <= auditTime
}

// Audit begins an audit: it is recorded, and says what there is to read.
func (d *Desk) Audit(
	ctx context.Context, req *connect.Request[karaulav1.AuditRequest],
) (*connect.Response[karaulav1.AuditResponse], error) {
	resp, err := d.audit(ctx, req.Msg)
	return reply(d, resp, err)
}

func (d *Desk) audit(ctx context.Context, m *karaulav1.AuditRequest) (*karaulav1.AuditResponse, error) {
	roles := []string{"supervisor", "auditor"}
	if m.GetDisclose() {
		roles = roles[:1] // content
	}
	officer, err := who(ctx, roles...)
	if err != nil {
		return nil, err
	}
	switch {
	case !slices.Contains(auditDeeds(), m.GetDeed()):
		return nil, problem.New(problem.Invalid, "%q is nothing that an audit is for; nothing was read", m.GetDeed())
	case m.GetReason() == "" || len(m.GetReason()) > maxReason:
		return nil, problem.New(problem.Invalid, "an audit needs a reason, of at most %d bytes; nothing was read", maxReason)
	case m.GetDisclose() && m.GetAlertId() == "":
		return nil, problem.New(problem.Invalid, "the content of one alert may be disclosed, not that of a channel; nothing was read").
			WithHint("name the alert: --alert ID")
	}
	view := d.cfg.Register()
	resp := &karaulav1.AuditResponse{Party: d.cfg.Self, ClockSkew: d.cfg.Skew.Microseconds(), Ledgers: ledgersOf(view, m.GetChannel())}
	if len(resp.GetLedgers()) == 0 && m.GetDeed() != auditDesk {
		return nil, problem.New(problem.NotFound, "there is no channel %q here; nothing was read", m.GetChannel()).
			WithHint("karaula agreement list --dir DIR")
	}
	entry := &karaulav1.DeskEntry{Channel: m.GetChannel(), Reason: m.GetReason()}
	var found []book.Entry
	if m.GetAlertId() != "" {
		if found, err = d.auditAlert(m.GetAlertId()); err != nil {
			return nil, err
		}
		first := found[0]
		entry.Channel, entry.Ledger, entry.Epoch, entry.Seq, entry.Type = first.Channel, first.Ledger[:], first.Epoch, first.Seq, first.Type
	}
	if err := d.record(ctx, officer, m.GetDeed(), entry); err != nil {
		return nil, err
	}
	for _, e := range found {
		p := &karaulav1.AuditPlace{Channel: e.Channel, Origin: e.Origin, Epoch: e.Epoch, Seq: e.Seq}
		if m.GetDisclose() && !refused(e) {
			if p.Frame, err = d.disclose(ctx, officer, e, m.GetReason()); err != nil {
				return nil, err
			}
			if e.Origin != d.cfg.Self {
				p.Handling = e.Handling
			}
		}
		resp.Places = append(resp.Places, p)
	}
	files := view.Files()
	for _, path := range slices.Sorted(maps.Keys(files)) {
		resp.Files = append(resp.Files, &karaulav1.RegisterFile{Path: path, Body: files[path]})
	}
	id := d.audits.begin(officer, d.cfg.Now(), m.GetDeed() == auditDesk)
	resp.Audit = id[:]
	return resp, nil
}

// auditAlert finds the statements about an alert.
func (d *Desk) auditAlert(text string) ([]book.Entry, error) {
	id, ok := book.ParseID(text)
	if !ok {
		return nil, problem.New(problem.Invalid, "%q is no alert id (a UUID of version 7); nothing was read", text)
	}
	found := d.said(id, "")
	if len(found) == 0 {
		return nil, problem.New(problem.NotFound, "no alert %s at this node; nothing was read", text).
			WithHint("karaula alert list --dir DIR")
	}
	return found, nil
}

// disclose gives the frame of a statement, after that was recorded by itself.
func (d *Desk) disclose(ctx context.Context, officer Officer, e book.Entry, reason string) ([]byte, error) {
	err := d.record(ctx, officer, "disclose", &karaulav1.DeskEntry{
		Channel: e.Channel, Ledger: e.Ledger[:], Epoch: e.Epoch, Seq: e.Seq, Type: e.Type, Reason: reason, Exercise: practised(e),
	})
	if err != nil {
		return nil, err
	}
	opened, err := d.cfg.Open(ctx, e)
	if err != nil {
		return nil, err
	}
	return opened.Frame, nil
}

// ledgersOf lists the ledgers of the node's channels, closed ones included.
func ledgersOf(view *register.View, only string) (out []*karaulav1.AuditLedger) {
	for _, cv := range view.AllChannels() {
		if only != "" && cv.ID != only {
			continue
		}
		for _, p := range cv.Agreement.Codes() { // also those that have left
			id := cv.Ledger(p)
			out = append(out, &karaulav1.AuditLedger{Channel: cv.ID, Origin: p, Mode: cv.Channel.Mode, Ledger: id[:]})
		}
	}
	return out
}

// ReadLedger gives what the streams hold of one ledger.
func (d *Desk) ReadLedger(
	ctx context.Context, req *connect.Request[karaulav1.ReadLedgerRequest], out *connect.ServerStream[karaulav1.ReadLedgerResponse],
) error {
	return d.toConnect(d.readLedger(ctx, req.Msg, out.Send))
}

func (d *Desk) readLedger(
	ctx context.Context, m *karaulav1.ReadLedgerRequest, send func(*karaulav1.ReadLedgerResponse) error,
) error {
	if err := d.mayRead(ctx, m.GetAudit()); err != nil {
		return err
	}
	all := ledgersOf(d.cfg.Register(), m.GetChannel())
	known := slices.IndexFunc(all, func(l *karaulav1.AuditLedger) bool {
		return l.GetChannel() == m.GetChannel() && l.GetOrigin() == m.GetOrigin()
	})
	if known < 0 {
		return problem.New(problem.NotFound, "there is no ledger of %q on %q here", m.GetOrigin(), m.GetChannel())
	}
	resp, size := &karaulav1.ReadLedgerResponse{}, 0
	read := d.cfg.ReadLedger
	if m.GetAside() {
		read = d.cfg.ReadAside
	}
	on := subject.On(m.GetChannel(), all[known].GetMode())
	err := read(ctx, on, m.GetOrigin(), func(p *karaulav1.StoredPiece) error {
		resp.Pieces = append(resp.Pieces, p)
		if size += len(p.GetData()); size < chunkBytes {
			return nil
		}
		err := send(resp)
		resp, size = &karaulav1.ReadLedgerResponse{}, 0
		return err
	})
	if err == nil && len(resp.GetPieces()) > 0 {
		err = send(resp)
	}
	return err
}

// Prove makes a proof for an audit that has begun.
func (d *Desk) Prove(
	ctx context.Context, req *connect.Request[karaulav1.ProveRequest],
) (*connect.Response[karaulav1.ProveResponse], error) {
	resp, err := d.prove(ctx, req.Msg)
	return reply(d, resp, err)
}

func (d *Desk) prove(ctx context.Context, m *karaulav1.ProveRequest) (*karaulav1.ProveResponse, error) {
	if err := d.mayRead(ctx, m.GetAudit()); err != nil {
		return nil, err
	}
	p, err := d.cfg.Prove(ctx, m.GetChannel(), m.GetOrigin(), evidence.Ask{
		Fact: evidence.Fact(m.GetFact()), Epoch: m.GetEpoch(), From: m.GetFrom(), To: m.GetTo(),
	})
	if err != nil {
		return nil, err
	}
	return &karaulav1.ProveResponse{Proof: p.Marshal()}, nil
}

// mayRead refuses who has not begun an audit of ledgers, or too long ago.
func (d *Desk) mayRead(ctx context.Context, audit []byte) error {
	officer, err := who(ctx, "supervisor", "auditor")
	if err != nil {
		return err
	}
	if !d.audits.may(officer, audit, d.cfg.Now(), false) {
		return problem.New(problem.Locked, "this audit has not begun here, or too long ago; nothing was read").
			WithHint("begin again")
	}
	return nil
}
