package main

import (
	"github.com/spf13/cobra"

	"karaula/internal/problem"
)

// usageTemplate lays out what --help says below the description.
const usageTemplate = `Usage:
{{- if .HasAvailableSubCommands}}
  {{.CommandPath}} COMMAND
{{- else}}
  {{.UseLine}}
{{- end}}
{{- if .HasExample}}

Examples:
{{.Example}}
{{- end}}
{{- if .HasAvailableSubCommands}}

Commands:
{{- range .Commands}}{{if .IsAvailableCommand}}
  {{rpad .Name .NamePadding}} {{.Short}}
{{- end}}{{end}}
{{- end}}
{{- if .HasAvailableLocalFlags}}

Flags:
{{.LocalFlags.FlagUsages | trimTrailingWhitespaces}}
{{- end}}
{{- if .HasAvailableInheritedFlags}}

Flags of all commands:
{{.InheritedFlags.FlagUsages | trimTrailingWhitespaces}}
{{- end}}
{{- if .HasAvailableSubCommands}}

{{.CommandPath}} COMMAND --help says more about a command.
{{- end}}
`

func newHelp(*app) *cobra.Command {
	return &cobra.Command{
		Use:     "help [COMMAND…]",
		Short:   "explain a command",
		Example: "  karaula help agreement sign",
		Args:    cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			found, rest, err := c.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return problem.New(problem.Invalid, "there is no command %q", args[len(args)-1]).WithHint("karaula --help")
			}
			found.InitDefaultHelpFlag()
			return found.Help() //nolint:wrapcheck // writing to standard output failed
		},
	}
}

func newCompletion(a *app) *cobra.Command {
	shells := []struct {
		name string
		load string
		make func(root *cobra.Command) error
	}{
		{
			"bash", "source <(karaula completion bash)",
			func(root *cobra.Command) error { return root.GenBashCompletionV2(a.out, true) },
		},
		{
			"zsh", `karaula completion zsh > "${fpath[1]}/_karaula"`,
			func(root *cobra.Command) error { return root.GenZshCompletion(a.out) },
		},
		{
			"fish", "karaula completion fish | source",
			func(root *cobra.Command) error { return root.GenFishCompletion(a.out, true) },
		},
		{
			"powershell", "karaula completion powershell | Out-String | Invoke-Expression",
			func(root *cobra.Command) error { return root.GenPowerShellCompletionWithDesc(a.out) },
		},
	}
	all := group("completion", "print the completion script of a shell",
		"Prints the script that completes karaula's commands and flags in a shell.")
	for _, s := range shells {
		all.AddCommand(&cobra.Command{
			Use:     s.name,
			Short:   "print the completion script of " + s.name,
			Example: "  " + s.load,
			Args:    positional(),
			RunE: func(c *cobra.Command, _ []string) error {
				if err := s.make(c.Root()); err != nil {
					return problem.Wrap(problem.Failed, err, "the script cannot be written")
				}
				return nil
			},
		})
	}
	return all
}
