package setup

import (
	"encoding/json"

	"karaula/internal/node"
	"karaula/internal/problem"
)

// afterRestore refuses a card in a restored folder as [node.Restored.MayIssue] does.
func (i *issue) afterRestore() error {
	r, err := i.layout.LoadRestored()
	if err != nil {
		return err
	}
	i.above, err = r.MayIssue(i.cfg.Party)
	return err
}

// ConfirmCard notes in a restored folder that no card of the node's party has a
// higher serial than this one, so that the next ones may be issued. It gives the
// serial of the newest own card that is here.
func ConfirmCard(dir string, serial uint64) (here uint64, err error) {
	i, err := begin(dir, "nothing was confirmed")
	if err != nil {
		return 0, err
	}
	defer i.end()
	r, err := i.layout.LoadRestored()
	if err != nil {
		return 0, err
	}
	here = i.before.Serial
	switch {
	case r == nil:
		return 0, problem.New(problem.Conflict, "%s was not restored from a backup; there is nothing to confirm", dir).
			WithHint("karaula card issue --dir %s", dir)
	case serial < max(here, r.NewestCard):
		return 0, problem.New(problem.Conflict, "card %d of %s is known here already; nothing was confirmed",
			max(here, r.NewestCard), i.cfg.Party).
			WithHint("ask every partner: karaula party show %s", i.cfg.Party)
	}
	r.NewestCard = serial
	body, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return 0, problem.Wrap(problem.Failed, err, "nothing was confirmed")
	}
	return here, WriteFile((node.Layout{Dir: dir}).Restored(), append(body, '\n'), 0o600)
}
