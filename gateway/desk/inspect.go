package desk

import (
	"context"
	"time"

	"connectrpc.com/connect"

	"karaula/internal/evidence"
	"karaula/internal/ledger"
	"karaula/internal/problem"
	"karaula/internal/register"
	karaulav1 "karaula/proto/gen/karaula/v1"
	"karaula/proto/gen/karaula/v1/karaulav1connect"
)

// Inspection is history that can be read and verified: what an audit works with.
type Inspection struct {
	Party  string            // whose copies they are
	Files  map[string][]byte // the register's, as [register.FromFiles] takes them
	View   *register.View
	Skew   time.Duration // how far two clocks may be apart
	Inputs []evidence.Input
	Places []*karaulav1.AuditPlace // of the alert that was asked about
	// Prove has the node make a proof, which it does from memory; NotFound: it can be made
	// from an input only. Nil where there is no node to ask.
	Prove func(ctx context.Context, channel, origin string, ask evidence.Ask) (*evidence.Proof, error)
}

// Inspect begins an audit at a node, which records it, for whoever asks by its
// interface. Nothing that the node says is believed: it is all verified by who
// reads it.
func Inspect(
	ctx context.Context, node karaulav1connect.NodeServiceClient, req *karaulav1.AuditRequest, now time.Time,
) (*Inspection, error) {
	resp, err := node.Audit(ctx, connect.NewRequest(req))
	if err != nil {
		return nil, FromConnect(err)
	}
	m := resp.Msg
	out := &Inspection{
		Party: m.GetParty(), Skew: time.Duration(m.GetClockSkew()) * time.Microsecond, Files: map[string][]byte{}, Places: m.GetPlaces(),
	}
	for _, file := range m.GetFiles() {
		out.Files[file.GetPath()] = file.GetBody()
	}
	if out.View, err = register.FromFiles(out.Party, out.Files, now); err != nil {
		return nil, err
	}
	out.Prove = func(ctx context.Context, channel, origin string, ask evidence.Ask) (*evidence.Proof, error) {
		resp, err := node.Prove(ctx, connect.NewRequest(&karaulav1.ProveRequest{
			Audit: m.GetAudit(), Channel: channel, Origin: origin,
			Fact: string(ask.Fact), Epoch: ask.Epoch, From: ask.From, To: ask.To,
		}))
		if err != nil {
			return nil, FromConnect(err)
		}
		return evidence.ParseProof(resp.Msg.GetProof())
	}
	for _, l := range m.GetLedgers() {
		if len(l.GetLedger()) != 32 {
			return nil, problem.New(problem.Failed, "the node names a ledger without an id")
		}
		out.Inputs = append(out.Inputs, evidence.Input{
			Channel: l.GetChannel(), Origin: l.GetOrigin(), Mode: l.GetMode(), ID: ledger.ID(l.GetLedger()),
			Pieces: piecesOf(ctx, node, m.GetAudit(), l, false), Aside: piecesOf(ctx, node, m.GetAudit(), l, true),
		})
	}
	return out, nil
}

// piecesOf reads a ledger from a node, or what was put aside of it, anew each time.
func piecesOf(
	ctx context.Context, node karaulav1connect.NodeServiceClient, audit []byte, l *karaulav1.AuditLedger, aside bool,
) evidence.Pieces {
	return func(yield func(evidence.Raw, error) bool) {
		ask := &karaulav1.ReadLedgerRequest{Audit: audit, Channel: l.GetChannel(), Origin: l.GetOrigin(), Aside: aside}
		stream, err := node.ReadLedger(ctx, connect.NewRequest(ask))
		if err != nil {
			yield(evidence.Raw{}, FromConnect(err))
			return
		}
		defer stream.Close() //nolint:errcheck // it is read or given up
		for stream.Receive() {
			for _, p := range stream.Msg().GetPieces() {
				if !yield(evidence.Raw{Data: p.GetData(), Where: p.GetWhere()}, nil) {
					return
				}
			}
		}
		if err := stream.Err(); err != nil {
			yield(evidence.Raw{}, FromConnect(err))
		}
	}
}
