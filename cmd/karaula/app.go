package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"karaula/internal/problem"
)

// app is what every command works with: the three streams, the clock and the
// flags that all commands share.
type app struct {
	in       io.Reader
	out, err io.Writer
	now      func() time.Time
	format   string // formatTable or formatJSON

	started bool // the command line was understood; errors before are about usage
}

// The values of --output.
const (
	formatTable = "table"
	formatJSON  = "json"
)

func newApp(in io.Reader, out, err io.Writer, now func() time.Time) *app {
	return &app{in: in, out: out, err: err, now: now, format: formatTable}
}

// execute runs a command line and gives the exit code.
func (a *app) execute(ctx context.Context, args []string) int {
	root := newRoot(a)
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return 0
	}
	if !a.started {
		err = usage(cmd.CommandPath(), err)
	}
	dir := "DIR"
	if f := cmd.Flags().Lookup("dir"); f != nil && f.Value.String() != "" {
		dir = f.Value.String()
	}
	a.report(err, dir)
	return int(problem.KindOf(err))
}

// usage makes an error about the command line: exit code 2 and where to look.
func usage(path string, err error) error {
	if _, ok := errors.AsType[*problem.Problem](err); ok {
		return err
	}
	text := strings.ReplaceAll(strings.TrimSpace(err.Error()), "\n", " ")
	return problem.New(problem.Invalid, "%s", strings.Join(strings.Fields(text), " ")).WithHint("%s --help", path)
}

// report says an error and its hint on standard error. Packages and running nodes
// do not know by which name the user knows a folder: they write DIR.
func (a *app) report(err error, dir string) {
	a.note("%s", err)
	if hint := problem.HintOf(err); hint != "" {
		a.hint("%s", inDir(hint, dir))
	}
}

// inDir writes a hint for the folder that was named.
func inDir(hint, dir string) string {
	words := strings.Split(hint, " ")
	for i, w := range words {
		if rest, ok := strings.CutPrefix(w, "DIR"); ok && (rest == "" || !isLetter(rest[0])) {
			words[i] = dir + rest
		}
	}
	return strings.Join(words, " ")
}

func isLetter(c byte) bool { return c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' }

// note says something that is not the result on standard error.
func (a *app) note(format string, args ...any) {
	for line := range strings.SplitSeq(fmt.Sprintf(format, args...), "\n") {
		_, _ = fmt.Fprintf(a.err, "karaula: %s\n", line) // nobody is left to tell
	}
}

// hint says the next step on standard error.
func (a *app) hint(format string, args ...any) { a.note("hint: "+format, args...) }

// result is what a command has found out: an object of docs/cli.md as JSON, and
// a page for people.
type result interface{ page(p *page) }

// show writes a command's one result to standard output.
func (a *app) show(r result) error {
	var body bytes.Buffer
	if a.format == formatJSON {
		e := encoder(&body)
		e.SetIndent("", "  ")
		if err := e.Encode(r); err != nil {
			return problem.Wrap(problem.Failed, err, "the result cannot be written as JSON")
		}
	} else {
		p := &page{w: &body}
		r.page(p)
	}
	return a.write(body.Bytes())
}

// event writes one of many results to standard output, as one line. A result
// whose page has more lines is the caller's mistake to avoid.
func (a *app) event(r result) error {
	var body bytes.Buffer
	if a.format == formatJSON {
		if err := encoder(&body).Encode(r); err != nil {
			return problem.Wrap(problem.Failed, err, "the event cannot be written as JSON")
		}
	} else {
		r.page(&page{w: &body})
	}
	return a.write(body.Bytes())
}

// encoder writes JSON that people can read too: "<" stays "<".
func encoder(w io.Writer) *json.Encoder {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e
}

func (a *app) write(body []byte) error {
	if _, err := a.out.Write(body); err != nil {
		return problem.Wrap(problem.Failed, err, "the result cannot be written")
	}
	return nil
}

// readFile reads a file of at most limit bytes, or standard input for "-". What
// names it in errors, "card".
func (a *app) readFile(path, what string, limit int64) ([]byte, error) {
	r := a.in
	if path != "-" {
		f, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, problem.New(problem.NotFound, "there is no %s at %s", what, path)
		}
		if err != nil {
			return nil, problem.Wrap(problem.Failed, err, "the %s cannot be read", what)
		}
		defer f.Close() //nolint:errcheck // read only
		r = f
	}
	body, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, problem.Wrap(problem.Failed, err, "the %s cannot be read", what)
	}
	if int64(len(body)) > limit {
		return nil, problem.New(problem.Invalid, "%s is larger than a %s may be, %d bytes", path, what, limit)
	}
	return body, nil
}
