package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// versionResult says which programme this is.
type versionResult struct {
	Version  string `json:"version"`            // of the module, "(devel)" if built from a working copy
	Revision string `json:"revision,omitempty"` // commit
	Time     string `json:"time,omitempty"`     // of the commit
	Modified bool   `json:"modified,omitempty"` // the working copy was changed after the commit
	Go       string `json:"go"`
	Platform string `json:"platform"` // operating system and architecture, "linux/amd64"
}

func (r versionResult) page(p *page) {
	text := "karaula " + r.Version
	if r.Revision != "" {
		text += fmt.Sprintf(" (%.12s", r.Revision)
		if r.Modified {
			text += ", modified"
		}
		text += ")"
	}
	p.line("%s %s %s", text, r.Go, r.Platform)
}

// release is the version where whoever builds a package sets one:
// go build -ldflags "-X main.release=v1.2.3".
var release string

// version reads what the compiler has noted in the binary.
func version(info *debug.BuildInfo) versionResult {
	r := versionResult{Version: "(devel)", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if info == nil {
		return r
	}
	if info.Main.Version != "" {
		r.Version = info.Main.Version
	}
	if release != "" {
		r.Version = release
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			r.Revision = s.Value
		case "vcs.time":
			r.Time = s.Value
		case "vcs.modified":
			r.Modified = s.Value == "true"
		}
	}
	return r
}

func newVersion(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "say which version this is",
		Example: "  karaula version\n  karaula version --output json",
		Args:    positional(),
		RunE: func(*cobra.Command, []string) error {
			info, _ := debug.ReadBuildInfo()
			return a.show(version(info))
		},
	}
}
