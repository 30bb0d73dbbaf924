package nodes

import (
	"time"

	"connectrpc.com/connect"

	"karaula/internal/evidence"
	"karaula/internal/ledger"
	"karaula/internal/register"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// replays reads everything that a node holds like an audit, and wants nothing
// found.
func (y *yard) replays(code string) {
	y.t.Helper()
	node, ctx := y.desk(code), y.t.Context()
	resp, err := node.Audit(ctx, connect.NewRequest(&karaulav1.AuditRequest{Deed: "replay", Reason: "invented case"}))
	y.must(err)
	files := map[string][]byte{}
	for _, f := range resp.Msg.GetFiles() {
		files[f.GetPath()] = f.GetBody()
	}
	view, err := register.FromFiles(code, files, time.Now())
	y.must(err)
	var inputs []evidence.Input
	for _, l := range resp.Msg.GetLedgers() {
		in := evidence.Input{Channel: l.GetChannel(), Origin: l.GetOrigin(), Mode: l.GetMode(), ID: ledger.ID(l.GetLedger())}
		in.Pieces = func(yield func(evidence.Raw, error) bool) {
			ask := &karaulav1.ReadLedgerRequest{Audit: resp.Msg.GetAudit(), Channel: l.GetChannel(), Origin: l.GetOrigin()}
			got, err := node.ReadLedger(ctx, connect.NewRequest(ask))
			y.must(err)
			defer got.Close() //nolint:errcheck // read to its end
			for got.Receive() {
				for _, p := range got.Msg().GetPieces() {
					raw := evidence.Raw{Data: p.GetData(), Where: p.GetWhere()}
					for _, h := range p.GetEdge() {
						raw.Edge = append(raw.Edge, [32]byte(h))
					}
					if !yield(raw, nil) {
						return
					}
				}
			}
			y.must(got.Err())
		}
		inputs = append(inputs, in)
	}
	o := evidence.Options{View: view, Skew: time.Minute, Now: time.Now()}
	r, err := evidence.Replay(ctx, o, inputs)
	y.must(err)
	if r.Broken || len(r.Findings) > 0 {
		y.t.Errorf("a replay at %s finds: %v", code, r.Findings)
	}
	slice, err := evidence.Choose(inputs, evidence.Choice{})
	y.must(err)
	if r, err = evidence.Replay(ctx, o, slice); err != nil || r.Broken || len(r.Findings) > 0 {
		y.t.Errorf("a replay of all that %s would export finds: %v %v", code, r.Findings, err)
	}
}
