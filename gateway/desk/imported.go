package desk

import (
	"context"
	"crypto/sha256"
	"time"

	"connectrpc.com/connect"

	"karaula/internal/problem"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Mark is what the ids of the alerts end with that an import of a register makes on
// a channel, so that the node itself knows which they are, whatever became of the
// import's own file. It tells nothing of a row.
type Mark [6]byte

// MarkOf gives the mark of a party's register on a channel.
func MarkOf(party, channel, register string) (m Mark) {
	h := sha256.Sum256([]byte("karaula import mark\x00" + party + "\x00" + channel + "\x00" + register))
	copy(m[:], h[:])
	return m
}

// NewAlertID makes a UUIDv7 (RFC 9562) with the mark: 48 bits of milliseconds, 26
// random ones. Whoever makes many in a millisecond sees to it that they differ.
func (m Mark) NewAlertID(now time.Time) [16]byte {
	id := NewAlertID(now)
	copy(id[16-len(m):], m[:])
	return id
}

// On reports whether an id has the mark.
func (m Mark) On(id [16]byte) bool { return Mark(id[16-len(m):]) == m }

// importedChunk is how many ids are sent at a time.
const importedChunk = 4096

// Imported gives the ids of the alerts that an import made and that stand.
func (d *Desk) Imported(
	ctx context.Context, req *connect.Request[karaulav1.ImportedRequest], out *connect.ServerStream[karaulav1.ImportedResponse],
) error {
	return d.toConnect(d.imported(ctx, req.Msg, out.Send))
}

func (d *Desk) imported(ctx context.Context, m *karaulav1.ImportedRequest, send func(*karaulav1.ImportedResponse) error) error {
	officer, err := who(ctx, "officer", "supervisor", "system")
	if err != nil {
		return err
	}
	mode, known := d.modes()[m.GetChannel()]
	switch {
	case !known:
		return problem.New(problem.NotFound, "there is no channel %q at this node; nothing was sent", m.GetChannel()).
			WithHint("karaula agreement list --dir DIR")
	case !d.cfg.Complete():
		return problem.New(problem.Unreachable, "history is still being read after a start; nothing was sent").
			WithHint("try again in a moment; karaula status --dir DIR shows why")
	}
	if err := d.record(ctx, officer, "list", &karaulav1.DeskEntry{Channel: m.GetChannel()}); err != nil {
		return err
	}
	mark := MarkOf(d.cfg.Self, m.GetChannel(), m.GetRegister())
	in := d.cfg.Book
	if mode != karaulav1.Mode_MODE_ACTUAL {
		in = d.cfg.Drills
	}
	ids := in.Marked(m.GetChannel(), mark.On, d.cfg.Now())
	resp := &karaulav1.ImportedResponse{Mark: mark[:]}
	for i, id := range ids {
		if resp.AlertIds = append(resp.AlertIds, id[:]...); (i+1)%importedChunk == 0 {
			if err := send(resp); err != nil {
				return err
			}
			resp = &karaulav1.ImportedResponse{}
		}
	}
	return send(resp)
}
