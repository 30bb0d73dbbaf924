package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"karaula/gateway/desk"
	"karaula/internal/alert"
	"karaula/internal/problem"
	"karaula/internal/table"
	"karaula/internal/terms"
	karaulav1 "karaula/proto/gen/karaula/v1"
	"karaula/proto/gen/karaula/v1/karaulav1connect"
)

// alertExportResult says what was exported.
type alertExportResult struct {
	File     string `json:"file"`
	Given    uint32 `json:"given"`    // alerts in the file
	Withheld uint32 `json:"withheld"` // left out because of their handling code
	Erased   uint32 `json:"erased"`   // erased while the export went on
	Partly   int    `json:"partly"`   // of which the map does not cover all
	Court    int    `json:"court"`    // that may not be evidence in court as they are
}

func (r alertExportResult) page(p *page) {
	p.fields(
		field{"written", r.File}, field{"alerts", fmt.Sprint(r.Given)},
		field{"withheld", fmt.Sprintf("%d, because of their handling code", r.Withheld)},
		field{"erased", fmt.Sprintf("%d meanwhile", r.Erased)},
		field{"court", fmt.Sprintf("%d may not be evidence in court as they are", r.Court)},
		field{"partly", fmt.Sprintf("%d, of which the map does not cover all", r.Partly)},
	)
}

// exportLine is what a file says about each alert beside its content; the titles of
// the further columns of CSV are these names behind "karaula_".
type exportLine struct {
	Alert    string       `json:"alert"` // its id
	Version  uint32       `json:"version"`
	Origin   string       `json:"origin"`
	Channel  string       `json:"channel"`
	Epoch    uint64       `json:"epoch"`
	Number   uint64       `json:"number"`
	SaidAt   time.Time    `json:"said_at"`
	Keep     *time.Time   `json:"keep_until"` // when it must be erased
	Type     string       `json:"type"`
	Handling string       `json:"handling"`            // H0, H1, H2, H3
	Court    string       `json:"court"`               // what it needs to be evidence in court: none, consent, restriction
	PassedOn *descentLine `json:"passed_on,omitempty"` // whose alert it is, if another party has passed it on
	Digest   string       `json:"digest"`              // of the statement
}

// exportColumns are the further columns of CSV.
var exportColumns = []string{
	"karaula_alert", "karaula_version", "karaula_origin", "karaula_channel", "karaula_said_at", "karaula_keep_until",
	"karaula_type", "karaula_handling", "karaula_court", "karaula_originator", "karaula_digest",
}

func (l *exportLine) cells() []string {
	originator, keep := l.Origin, ""
	if l.PassedOn != nil {
		originator = l.PassedOn.Originator
	}
	if l.Keep != nil {
		keep = l.Keep.Format(time.RFC3339)
	}
	return []string{
		l.Alert, fmt.Sprint(l.Version), l.Origin, l.Channel, l.SaidAt.Format(time.RFC3339), keep,
		l.Type, l.Handling, l.Court, originator, l.Digest,
	}
}

func newExportLine(row *karaulav1.AlertRow) *exportLine {
	l := newAlertLine(row)
	out := &exportLine{
		Alert: l.ID, Version: l.Version, Origin: l.Origin, Channel: l.Channel, Epoch: l.Epoch, Number: l.Number, SaidAt: l.SaidAt,
		Keep: l.EraseAfter, Type: terms.TypeWord(row.GetType()), Handling: l.Handling, Court: l.Court, PassedOn: l.PassedOn,
		Digest: l.Digest,
	}
	if out.Court == "" {
		out.Court = "none"
	}
	return out
}

// exportFlags is what alert export takes.
type exportFlags struct {
	dir, channel, typ, from, to, purpose, reason, handling, mapFile, out string
	own, plain                                                           bool
}

func newAlertExport(a *app) *cobra.Command {
	var o exportFlags
	purposes, codes := alert.Words(karaulav1.Purpose(0).Descriptor()), alert.Words(karaulav1.Handling(0).Descriptor())
	c := &cobra.Command{
		Use:   "export --purpose PURPOSE --reason TEXT --out FILE --dir DIR",
		Short: "write current alerts for a national system, NDJSON or CSV",
		Long: `Writes the version that counts of each alert that stands, one a line: NDJSON with the
whole alert, or by a map of alert import the rows that the register itself would
export. Every line says its handling code and what it needs to be evidence in court.
Withdrawn, erased, expired and refused alerts are not there, and exercises never.

A partner's alerts above H1 are left out and counted; a supervisor may ask for them with
--handling. Who exported what, what for and why is recorded before anything is opened,
alert by alert. The originators are not told that anybody has read them: nobody has.

In CSV a cell that begins with = + - @, a tab or a carriage return gets an apostrophe
before it, so that no spreadsheet calculates it; --plain leaves that out, for systems
that only read. What is written must be erased at its keep_until, by whoever has it.`,
		Example: `  karaula alert export --purpose detection --reason "nightly copy" --out alerts.ndjson --dir me
  karaula alert export --channel b01-al-me --map vehicles.map.yaml --purpose detection --reason "nightly copy" --out v.csv --dir me`,
		Args: positional(),
	}
	f := c.Flags()
	f.StringVar(&o.channel, "channel", "", "only this channel")
	f.StringVar(&o.typ, "type", "", "only this type")
	f.StringVar(&o.from, "from", "", "only said at or after this time")
	f.StringVar(&o.to, "to", "", "only said before this time")
	f.BoolVar(&o.own, "own", false, "also own alerts")
	f.StringVar(&o.purpose, "purpose", "", "what for: "+list(purposes))
	f.StringVar(&o.reason, "reason", "", "why; recorded")
	f.StringVar(&o.handling, "handling", "H1", "a partner's alerts up to this code: "+list(codes))
	f.StringVar(&o.mapFile, "map", "", "the map of a register's columns; its format and encoding are the file's")
	f.BoolVar(&o.plain, "plain", false, "cells of CSV as they are, also those that a spreadsheet would calculate")
	f.StringVar(&o.out, "out", "", "the file to write; it must not exist")
	required(c, "purpose", "reason", "out")
	dirFlag(c, &o.dir)
	c.RunE = func(c *cobra.Command, _ []string) error { return a.exportAlerts(c, o) }
	return c
}

// request reads the flags.
func (o *exportFlags) request(a *app, c *cobra.Command) (*karaulav1.ExportRequest, error) {
	m := &karaulav1.ExportRequest{Channel: o.channel, Own: o.own, Reason: o.reason}
	purpose, ok := alert.Number(m.GetPurpose().Descriptor(), o.purpose)
	if !ok {
		return nil, errUsage(c, "%q is no purpose; there are %s", o.purpose, list(alert.Words(m.GetPurpose().Descriptor())))
	}
	handling, ok := alert.Number(m.GetHandling().Descriptor(), o.handling)
	if !ok {
		return nil, errUsage(c, "%q is no handling code; there are %s", o.handling, list(alert.Words(m.GetHandling().Descriptor())))
	}
	m.Purpose, m.Handling = karaulav1.Purpose(purpose), karaulav1.Handling(handling)
	var err error
	if m.Type, _, err = a.selection(c, o.typ, ""); err != nil {
		return nil, err
	}
	first, end, err := a.window(c, o.from, o.to)
	m.From, m.To = micros(first), micros(end)
	return m, err
}

// exportAlerts writes the file; one that is not whole does not stay.
func (a *app) exportAlerts(c *cobra.Command, o exportFlags) error {
	req, err := o.request(a, c)
	if err != nil {
		return err
	}
	node, err := client(o.dir)
	if err != nil {
		return err
	}
	var m *table.Map
	if o.mapFile != "" {
		body, err := a.readFile(o.mapFile, "map", table.MaxMap)
		if err != nil {
			return err
		}
		if m, err = table.ParseMap(body); err != nil {
			return err
		}
	}
	r := alertExportResult{File: o.out}
	err = newFile(o.out, func(w io.Writer) error {
		buffered := bufio.NewWriterSize(w, 64<<10)
		to, flush, err := o.lines(buffered, m, &r)
		if err != nil {
			return err
		}
		if err := receiveExport(c.Context(), node, req, &r, to); err != nil {
			return err
		}
		if err := flush(); err != nil {
			return err
		}
		return buffered.Flush()
	})
	if err != nil {
		return err
	}
	return a.show(r)
}

// lines gives what writes an alert as a line, and what ends the file.
func (o *exportFlags) lines(w io.Writer, m *table.Map, r *alertExportResult) (func(*karaulav1.Exported) error, func() error, error) {
	if m == nil {
		return func(x *karaulav1.Exported) error {
			return table.WriteJSON(w, x.GetAlert(), newExportLine(x.GetRow()))
		}, func() error { return nil }, nil
	}
	out, err := m.NewWriter(w, exportColumns, !o.plain)
	if err != nil {
		return nil, nil, err
	}
	return func(x *karaulav1.Exported) error {
		l := newExportLine(x.GetRow())
		whole, err := out.Write(x.GetAlert(), l.Alert, l.cells())
		if !whole {
			r.Partly++
		}
		return err
	}, out.Flush, nil
}

// receiveExport writes alerts as they come. Without the summary at the end the node
// has not said all, and the file would lack some.
func receiveExport(
	ctx context.Context, node karaulav1connect.NodeServiceClient, req *karaulav1.ExportRequest, r *alertExportResult,
	to func(*karaulav1.Exported) error,
) error {
	stream, err := node.Export(ctx, connect.NewRequest(req))
	if err != nil {
		return desk.FromConnect(err)
	}
	defer stream.Close() //nolint:errcheck // read to its end
	whole := false
	for stream.Receive() {
		for _, x := range stream.Msg().GetAlerts() {
			if courtWord(x.GetRow().GetHandling()) != "" {
				r.Court++
			}
			if err := to(x); err != nil {
				return err
			}
		}
		if s := stream.Msg().GetSummary(); s != nil {
			r.Given, r.Withheld, r.Erased, whole = s.GetGiven(), s.GetWithheld(), s.GetErased(), true
		}
	}
	if err := stream.Err(); err != nil {
		return desk.FromConnect(err)
	}
	if !whole {
		return problem.New(problem.Unreachable, "the node ended the export before its end; nothing was written")
	}
	return nil
}
