// Command karaula is the whole of Karaula: it makes, runs and asks the nodes by
// which border police exchange sealed alerts under their agreements. What every
// command takes, prints and answers is a contract, docs/cli.md.
//
// It must never hold logic of the trade: a command reads its flags, calls the
// packages below and prints what they say.
//
// # Style of messages
//
// The result of a command goes to standard output, and nothing else does: a
// table for people, or with --output json one JSON object, or one object a line
// where a command goes on. An empty result is still a result.
//
// Everything else goes to standard error, a line at a time, with the prefix
// "karaula: ", lower case, no full stop. An error says what happened and what was
// not done; where there is a next step, a line "karaula: hint: " holds it, if
// possible as the exact next command. Errors stay text with --output json:
// programs go by the exit code, which comes from the problem's kind.
//
// No colours, no progress bars, no questions: every command can run from a
// script, and what it prints does not depend on the terminal.
//
// # Adding a command
//
// A group of commands is one file with a function that takes the [app] and gives
// a *cobra.Command; [commands] lists them. RunE returns an error of package
// problem, and prints by [app.show], [app.event], [app.note] and [app.hint].
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// clock is the clock of all commands; tests set it.
var clock = time.Now

func main() { os.Exit(Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// Main runs one command line (without the program's name) and gives its exit
// code. The first interrupt or SIGTERM ends the command's context; the second
// one ends the process.
func Main(args []string, in io.Reader, out, err io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	return newApp(in, out, err, clock).execute(ctx, args)
}
