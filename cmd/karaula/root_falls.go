package main

import (
	"karaula/internal/agreement"
	"karaula/internal/notice"
	"karaula/internal/register"
)

// fallenText is an agreement text that goes out of force with a change of a root.
type fallenText struct {
	Agreement string `json:"agreement"`
	Version   uint64 `json:"version"`
	Digest    string `json:"digest"`
}

// noteFalls says, before anything is done, which texts here go out of force with a
// change, and gives them.
func (a *app) noteFalls(v *register.View, change *notice.Notice) []fallenText {
	out := []fallenText{}
	for _, t := range v.FallsWith(change) {
		f := fallenText{t.ID, t.Version, agreement.FormatDigest(t.Digest)}
		a.note("warning: %s version %d goes out of force: %s's replaced root has signed it, and the change does not name it",
			f.Agreement, f.Version, change.Party)
		out = append(out, f)
	}
	if len(out) > 0 {
		a.note("it must be signed anew by all its parties; if it should stand: stop here, and call the authority of %s", change.Party)
	}
	return out
}

// pageFalls shows them in a result.
func pageFalls(p *page, list []fallenText) {
	for _, f := range list {
		p.line("out of force with it: %s version %d, %s", f.Agreement, f.Version, f.Digest)
	}
}
