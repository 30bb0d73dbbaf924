package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"

	"karaula/cmd/karaula/internal/imports"
	"karaula/internal/node"
	"karaula/internal/problem"
	"karaula/internal/table"
	"karaula/internal/terms"
)

// importResult says what became of the rows of a file.
type importResult struct {
	Register  string `json:"register"`
	Channel   string `json:"channel"`
	DryRun    bool   `json:"dry_run"`
	Rows      int    `json:"rows"`      // that were read
	New       int    `json:"new"`       // sent as new alerts
	Updated   int    `json:"updated"`   // sent as the next version of their alerts
	Unchanged int    `json:"unchanged"` // sent before with the same content
	Repeated  int    `json:"repeated"`  // stand in the file twice, the same
	Bad       int    `json:"bad"`       // could not be read, translated or sent
	Withdrawn int    `json:"withdrawn"` // alerts taken back because their rows are gone
	Missing   int    `json:"missing"`   // rows that are gone, but not their alerts
	Ended     int    `json:"ended"`     // of the unchanged ones, those whose alerts stand no more
	Replaced  int    `json:"replaced"`  // alerts taken back that the state did not know
	Warnings  int    `json:"warnings"`  // of the rules; they do not stop an alert
}

func newImportResult(c imports.Counts) importResult {
	return importResult{
		Rows: c.Rows, New: c.New, Updated: c.Updated, Unchanged: c.Unchanged, Repeated: c.Repeated, Bad: c.Bad,
		Withdrawn: c.Withdrawn, Missing: c.Missing, Ended: c.Ended, Replaced: c.Replaced, Warnings: c.Warnings,
	}
}

func (r importResult) page(p *page) {
	what := "sent"
	if r.DryRun {
		what = "would be sent"
	}
	p.line("%s on %s", r.Register, r.Channel)
	rows := [][]string{
		{fmt.Sprint(r.Rows), "read", ""},
		{fmt.Sprint(r.New), "new", what + " as new alerts"},
		{fmt.Sprint(r.Updated), "updated", what + " as the next version"},
		{fmt.Sprint(r.Unchanged), "unchanged", "sent before"},
		{fmt.Sprint(r.Repeated), "repeated", "stand in the file twice"},
		{fmt.Sprint(r.Bad), "bad", "not sent"},
		{fmt.Sprint(r.Withdrawn), "withdrawn", "gone from the register"},
		{fmt.Sprint(r.Missing), "missing", "gone from the register, their alerts stand"},
	}
	if r.Ended > 0 {
		rows = append(rows, []string{fmt.Sprint(r.Ended), "ended", "unchanged, but their alerts were withdrawn or erased, or have expired"})
	}
	if r.Replaced > 0 {
		rows = append(rows, []string{fmt.Sprint(r.Replaced), "replaced", "alerts that the state did not know, taken back"})
	}
	p.table([]string{"rows", "are", "what"}, rows)
}

// importFlags is what alert import takes.
type importFlags struct {
	dir, channel, mapFile, report, state, assessment string
	dryRun, missing, replaceUnknown                  bool
	atMost                                           int
	wait                                             time.Duration
}

func newAlertImport(a *app) *cobra.Command {
	var o importFlags
	c := &cobra.Command{
		Use:   "import FILE|- --map MAP --channel ID --dir DIR",
		Short: "send what a national register exports, CSV or NDJSON",
		Long: `Sends each row of a register's file as an alert. A map says which column fills which
field. A row that was sent before with the same content is not sent again, a row
that has changed is the next version of its alert, and with --withdraw-missing a row
that is gone takes its alert back.

A row that cannot be read, translated or sent is reported by line and reason, never
with its values, and the others are sent. Exits with 10 if there was one. Stopped or
killed at any moment, the same command goes on: nothing is sent twice. Where alerts of
the register stand that the file of what was sent does not know, nothing is sent: put
its newest copy back, or run the command with --replace-unknown.`,
		Example: `  karaula alert import vehicles.csv --map vehicles.map.yaml --channel b01-al-me --dir al --dry-run
  karaula alert import vehicles.csv --map vehicles.map.yaml --channel b01-al-me --dir al --report bad.ndjson
  karaula alert import vehicles.csv --map vehicles.map.yaml --channel b01-al-me --dir al --withdraw-missing`,
		Args: positional("FILE"),
	}
	f := c.Flags()
	f.StringVar(&o.mapFile, "map", "", "the map of the register's columns")
	f.StringVar(&o.channel, "channel", "", "the channel's id")
	required(c, "map", "channel")
	f.BoolVar(&o.dryRun, "dry-run", false, "read, translate and check, and send nothing")
	f.StringVar(&o.report, "report", "", "write the bad rows to this file, one JSON object a line (default: the first on standard error)")
	f.StringVar(&o.state, "state", "", "file of what was sent before (default: in the folder imports of the node's)")
	f.BoolVar(&o.missing, "withdraw-missing", false, "take back the alerts of rows that are gone")
	f.BoolVar(&o.replaceUnknown, "replace-unknown", false, "the state is lost: send the rows anew, and take back the alerts that it does not know")
	f.IntVar(&o.atMost, "withdraw-at-most", -1, "withdraw nothing if more rows are gone than this (default: a tenth)")
	f.StringVar(&o.assessment, "assessment", "no longer in the register", "why alerts are taken back; said to all readers, without personal data")
	f.DurationVar(&o.wait, "wait", time.Minute, "how long to wait for a node that does not answer")
	dirFlag(c, &o.dir)
	c.RunE = func(c *cobra.Command, args []string) error { return a.importFile(c.Context(), args[0], o) }
	return c
}

// importFile imports a file as the flags say.
func (a *app) importFile(ctx context.Context, path string, o importFlags) (err error) {
	body, err := a.readFile(o.mapFile, "map", table.MaxMap)
	if err != nil {
		return err
	}
	m, err := table.ParseMap(body)
	if err != nil {
		return err
	}
	if !terms.ValidID(o.channel) {
		return problem.New(problem.NotFound, "there is no channel %q at this node; nothing was sent", o.channel)
	}
	file, err := a.openFile(path)
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // read only
	rows, err := m.NewReader(file)
	if err != nil {
		return err
	}
	ask, err := client(o.dir)
	if err != nil {
		return err
	}
	if o.state == "" {
		o.state = node.Layout{Dir: o.dir}.Import(m.Register, o.channel)
	}
	state, err := imports.OpenState(o.state)
	if err != nil {
		return err
	}
	report, err := a.newFaults(o.report)
	if err != nil {
		return errors.Join(err, state.Close())
	}
	counts, err := imports.Run(ctx, imports.Options{
		Node: ask, Channel: o.channel, Register: m.Register, Rows: rows, State: state,
		Missing: o.missing, ReplaceUnknown: o.replaceUnknown, AtMost: o.atMost,
		Assessment: o.assessment, DryRun: o.dryRun, Wait: o.wait, Fault: report.tell, Progress: a.importProgress(), Now: a.now,
	})
	r := newImportResult(counts)
	r.Register, r.Channel, r.DryRun = m.Register, o.channel, o.dryRun
	err = errors.Join(err, report.close(), state.Close(), a.show(r))
	if err == nil && counts.Bad > 0 {
		err = problem.New(problem.Findings, "%d of %d rows were not sent", counts.Bad, counts.Rows).
			WithHint("mend them in the register or the map, and run the same command again")
	}
	return err
}

// openFile opens a file to read, or gives standard input for "-".
func (a *app) openFile(path string) (io.ReadCloser, error) {
	if path == "-" {
		return io.NopCloser(a.in), nil
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, problem.New(problem.NotFound, "there is no file at %s", path)
	}
	if err != nil {
		return nil, problem.Wrap(problem.Failed, err, "the file cannot be read; nothing was sent")
	}
	return f, nil
}

// importProgress says on standard error how far an import is, every few seconds.
func (a *app) importProgress() func(imports.Counts) {
	last := time.Now()
	return func(c imports.Counts) {
		if time.Since(last) < 5*time.Second {
			return
		}
		last = time.Now()
		a.note("%d rows read, %d new and %d updated sent, %d unchanged, %d bad, %d withdrawn",
			c.Rows, c.New, c.Updated, c.Unchanged+c.Repeated, c.Bad, c.Withdrawn)
	}
}

// faults reports bad rows: to a file, or the first of them to standard error.
type faults struct {
	a    *app
	file *os.File
	said int
	err  error
}

// maxFaults is how many bad rows are named on standard error.
const maxFaults = 20

func (a *app) newFaults(path string) (*faults, error) {
	if path == "" {
		return &faults{a: a}, nil
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, problem.Wrap(problem.Failed, err, "the report cannot be written; nothing was sent")
	}
	return &faults{a: a, file: f}, nil
}

func (f *faults) tell(bad table.Fault) {
	f.said++
	switch {
	case f.file != nil && f.err == nil:
		f.err = encoder(f.file).Encode(bad)
	case f.file == nil && f.said <= maxFaults:
		f.a.note("line %d (row %d): %s", bad.Line, bad.Row, bad.Why)
	}
}

func (f *faults) close() error {
	if f.file == nil {
		if more := f.said - maxFaults; more > 0 {
			f.a.note("and %d rows more; --report FILE names all", more)
		}
		return nil
	}
	if err := errors.Join(f.err, f.file.Close()); err != nil {
		return problem.Wrap(problem.Failed, err, "the report of bad rows is not whole")
	}
	return nil
}
