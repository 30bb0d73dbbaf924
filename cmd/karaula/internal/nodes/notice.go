package nodes

import (
	"time"

	"karaula/internal/keyring"
	"karaula/internal/node"
	"karaula/internal/notice"
	"karaula/internal/problem"
	"karaula/internal/register"
)

// GiveNotice signs a suspension, resumption or objection about an agreement
// with the notice key of a node's folder, and puts it into the node's register.
// A running node takes it up by itself.
func GiveNotice(
	dir string, pass keyring.Passphrase, agreement string, act notice.Act, reason string, now time.Time,
) (*notice.Notice, error) {
	layout := node.Layout{Dir: dir}
	cfg, err := node.Load(dir)
	if err != nil {
		return nil, err
	}
	keys, err := keyring.LoadGateway(layout.GatewayKeys(), pass)
	if err != nil {
		return nil, err
	}
	reg, err := register.Open(layout.Register(), cfg.Party)
	if err != nil {
		return nil, err
	}
	view := reg.View().At(now)
	var about *register.Entry
	for _, e := range view.Agreements() {
		if e.Agreement.ID == agreement && e.Complete && (about == nil || !e.Agreement.ValidFrom.After(now)) {
			about = e
		}
	}
	if about == nil {
		return nil, problem.New(problem.NotFound,
			"there is no agreement %s that all parties have signed; nothing was signed", agreement).
			WithHint("karaula agreement list --dir %s", dir)
	}
	suspended := about.Suspensions[cfg.Party] != nil
	switch {
	case act == notice.Suspend && suspended:
		return nil, problem.New(problem.Conflict, "%s has suspended %s already; nothing was signed", cfg.Party, agreement)
	case act == notice.Resume && !suspended:
		return nil, problem.New(problem.Conflict, "%s has not suspended %s; nothing was signed", cfg.Party, agreement)
	}
	own, ok := view.Card(cfg.Party)
	if !ok {
		return nil, problem.New(problem.Locked, "the own card is not in the register; nothing was signed")
	}
	key, err := own.NoticeKey(keys)
	if err != nil {
		return nil, err
	}
	file, err := notice.Issue(notice.Notice{
		Party: cfg.Party, Serial: view.NextNoticeSerial(cfg.Party), Agreement: agreement, Digest: about.Agreement.Digest,
		Act: act, Effective: now.UTC().Truncate(time.Second), Reason: reason,
	}, key)
	if err != nil {
		return nil, err
	}
	if err := reg.AddNotice(file); err != nil {
		return nil, err
	}
	return notice.Peek(file)
}
