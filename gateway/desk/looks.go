package desk

import (
	"context"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"karaula/internal/problem"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// auditDesk is the deed of an audit that reads what officers did.
const auditDesk = "audit-desk"

// ReadDesk gives a slice of what officers did, in the pieces of an export.
func (d *Desk) ReadDesk(
	ctx context.Context, req *connect.Request[karaulav1.ReadDeskRequest], out *connect.ServerStream[karaulav1.ReadDeskResponse],
) error {
	return d.toConnect(d.readDesk(ctx, req.Msg, out.Send))
}

func (d *Desk) readDesk(ctx context.Context, m *karaulav1.ReadDeskRequest, send func(*karaulav1.ReadDeskResponse) error) error {
	officer, err := who(ctx, "supervisor", "auditor")
	if err != nil {
		return err
	}
	if !d.audits.may(officer, m.GetAudit(), d.cfg.Now(), true) {
		return problem.New(problem.Locked, "this audit of the desk has not begun here, or too long ago; nothing was read").
			WithHint("begin again")
	}
	resp, size := &karaulav1.ReadDeskResponse{}, 0
	flush := func() error {
		err := send(resp)
		resp, size = &karaulav1.ReadDeskResponse{}, 0
		return err
	}
	put := func(p *karaulav1.DeskPiece) error {
		resp.Pieces = append(resp.Pieces, p)
		if size += proto.Size(p); size < chunkBytes {
			return nil
		}
		return flush()
	}
	s, err := d.cfg.Diary.Read(ctx, moment(m.GetFrom()), moment(m.GetTo()), put)
	if err != nil {
		return err
	}
	end, err := d.cfg.SignHead(&karaulav1.DeskHead{
		Party: d.cfg.Self, Before: s.Before.Proto(), Last: s.Last.Proto(), Head: s.Head.Proto(), SignedAt: d.cfg.Now().UnixMicro(),
	})
	if err != nil {
		return err
	}
	if err := put(&karaulav1.DeskPiece{Piece: &karaulav1.DeskPiece_End{End: end}}); err != nil || len(resp.GetPieces()) == 0 {
		return err
	}
	return flush()
}

// moment reads a time in microseconds since 1970; 0 is none.
func moment(micros int64) time.Time {
	if micros == 0 {
		return time.Time{}
	}
	return time.UnixMicro(micros)
}
