package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"karaula/internal/problem"
)

// commands lists the groups of commands in the order of the help.
var commands = []func(*app) *cobra.Command{
	newInit,
	newParty,
	newCard,
	newKey,
	newBackup,
	newRestore,
	newAgreement,
	newRun,
	newBroker,
	newGateway,
	newAPI,
	newAlert,
	newExercise,
	newLookUp,
	newAudit,
	newAuditor,
	newVerify,
	newStatus,
	newDoctor,
	newLink,
	newLedger,
	newDemo,
	newBench,
	newCompletion,
	newVersion,
}

// newRoot makes the whole tree of commands.
func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "karaula",
		Short: "sealed alerts between border police, under signed agreements",
		Long: `Karaula lets the border police of neighbouring countries exchange sealed alerts
under the agreements that their states have signed. Every country keeps its own
keys, its own broker and its own history.

Exit codes: 0 done, 1 failed, 2 usage or invalid input (nothing was sent),
3 not allowed by agreement, 4 key missing or locked, 5 not found,
6 verification failed, 7 unreachable (safe to retry), 8 conflict,
10 checks ran and found problems.`,
		Example: `  karaula demo
  karaula init --party al --name "Border police of AL" --dir al`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs,
		RunE:          onlyGroups,
	}
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error { return usage(c.CommandPath(), err) })
	root.PersistentFlags().StringVar(&a.format, "output", formatTable, "form of the result: table or json")
	forms := cobra.FixedCompletions([]string{formatTable, formatJSON}, cobra.ShellCompDirectiveNoFileComp)
	_ = root.RegisterFlagCompletionFunc("output", forms)
	for _, command := range commands {
		root.AddCommand(command(a))
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetHelpCommand(newHelp(a))
	root.SetUsageTemplate(usageTemplate)
	walk(root, a.prepare)
	return root
}

// walk calls f for a command and all below it.
func walk(c *cobra.Command, f func(*cobra.Command)) {
	f(c)
	for _, child := range c.Commands() {
		walk(child, f)
	}
}

// prepare makes a command note when it begins, so that errors before that are
// known to be about usage, and refuse an unknown form of output.
func (a *app) prepare(c *cobra.Command) {
	run := c.RunE
	if run == nil {
		return
	}
	c.DisableFlagsInUseLine = true
	c.PreRunE = func(c *cobra.Command, _ []string) error { return missing(c) }
	c.RunE = func(c *cobra.Command, args []string) error {
		if a.format != formatTable && a.format != formatJSON {
			return fmt.Errorf("--output is table or json, not %q", a.format)
		}
		if c.HasSubCommands() {
			return run(c, args)
		}
		a.started = true
		return run(c, args)
	}
}

// group makes a command that only holds others.
func group(use, short, long string, children ...*cobra.Command) *cobra.Command {
	var examples []string // the first of each command
	for _, child := range children {
		first, _, _ := strings.Cut(child.Example, "\n")
		examples = append(examples, first)
	}
	c := &cobra.Command{
		Use: use, Short: short, Long: long, Example: strings.Join(examples, "\n"), Args: cobra.ArbitraryArgs, RunE: onlyGroups,
	}
	c.AddCommand(children...)
	return c
}

// onlyGroups answers a command line that ends in a group.
func onlyGroups(c *cobra.Command, args []string) error {
	names := make([]string, 0, len(c.Commands()))
	for _, child := range c.Commands() {
		if child.IsAvailableCommand() {
			names = append(names, child.Name())
		}
	}
	text := "no command given"
	if len(args) > 0 {
		text = fmt.Sprintf("unknown command %q", c.CommandPath()+" "+args[0])
	}
	return problem.New(problem.Invalid, "%s; there are %s", text, list(names)).WithHint("%s --help", c.CommandPath())
}

// positional checks the arguments of a command: one for each name. A last name
// that ends in "..." stands for one or more.
func positional(names ...string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		many := len(names) > 0 && strings.HasSuffix(names[len(names)-1], "...")
		switch {
		case len(args) < len(names):
			return fmt.Errorf("%s is missing", strings.TrimSuffix(names[len(args)], "..."))
		case len(args) > len(names) && !many:
			return fmt.Errorf("one argument too many: %q", args[len(names)])
		}
		return nil
	}
}

// quoted finds the names in cobra's error about required flags.
var quoted = regexp.MustCompile(`"([^"]+)"`)

// missing says which required flags were not given.
func missing(c *cobra.Command) error {
	err := c.ValidateRequiredFlags()
	if err == nil {
		return nil
	}
	names := make([]string, 0, 1)
	for _, m := range quoted.FindAllStringSubmatch(err.Error(), -1) {
		names = append(names, "--"+m[1])
	}
	slices.Sort(names)
	if len(names) == 1 {
		return fmt.Errorf("%s is missing", names[0])
	}
	return fmt.Errorf("%s are missing", list(names))
}

// required makes flags required.
func required(c *cobra.Command, names ...string) {
	for _, name := range names {
		if err := c.MarkFlagRequired(name); err != nil {
			panic(err) // the flag was not defined above
		}
	}
}

// errUsage is for what RunE finds wrong with the command line.
func errUsage(c *cobra.Command, format string, args ...any) error {
	return usage(c.CommandPath(), fmt.Errorf(format, args...))
}
