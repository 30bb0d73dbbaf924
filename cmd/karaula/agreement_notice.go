package main

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"karaula/internal/agreement"
	"karaula/internal/keyring"
	"karaula/internal/notice"
	"karaula/internal/problem"
	"karaula/internal/register"
)

// noticeResult is a notice that was signed and taken into the register.
type noticeResult struct {
	Agreement string    `json:"agreement"`
	Act       string    `json:"act"`    // suspend or resume
	Party     string    `json:"party"`  // whose act it is
	Serial    uint64    `json:"serial"` // of the notice
	Effective time.Time `json:"effective"`
	Reason    string    `json:"reason"`
	Digest    string    `json:"digest"` // of the text that it is about
}

func (r noticeResult) page(p *page) {
	what := "suspended"
	if r.Act == notice.Resume {
		what = "resumed"
	}
	p.line("%s is %s by %s since %s: %s (notice %d)",
		r.Agreement, what, r.Party, agreement.FormatTime(r.Effective), r.Reason, r.Serial)
}

func newAgreementSuspend(a *app) *cobra.Command {
	return a.noticeCommand(notice.Suspend, &cobra.Command{
		Use:   "suspend ID --reason TEXT --dir DIR",
		Short: "stop saying and accepting anything new under an agreement, at once",
		Long: `Signs a notice with the node's notice key and takes it into the register: from
that moment this party says nothing new under the agreement and gives nothing new
to its partners. It is this party's own act and needs nobody else. A running node
obeys within a second and tells the partners; what was said before stays readable.
The reason stands in clear for all partners: no personal data.`,
		Example: `  karaula agreement suspend b01-al-me --reason "keys of a partner under suspicion" --dir al`,
	})
}

func newAgreementResume(a *app) *cobra.Command {
	return a.noticeCommand(notice.Resume, &cobra.Command{
		Use:     "resume ID --dir DIR",
		Short:   "end this party's suspension of an agreement",
		Long:    "Signs a notice that ends this party's suspension, and takes it into the register.",
		Example: `  karaula agreement resume b01-al-me --dir al`,
	})
}

// noticeCommand completes a command that signs a notice of one act.
func (a *app) noticeCommand(act notice.Act, c *cobra.Command) *cobra.Command {
	var dir, reason string
	c.Args = positional("ID")
	dirFlag(c, &dir)
	preset := ""
	if act == notice.Resume {
		preset = "the reason for the suspension has ended"
	}
	c.Flags().StringVar(&reason, "reason", preset, "why, for partners and auditors; no personal data")
	if act == notice.Suspend {
		required(c, "reason")
	}
	pass := passphraseFlag(c, "the gateway's keys, the notice key among them")
	c.RunE = func(_ *cobra.Command, args []string) error {
		n, err := a.open(dir)
		if err != nil {
			return err
		}
		out, err := a.giveNotice(n, act, args[0], reason, pass())
		if err != nil {
			return err
		}
		return a.show(out)
	}
	return c
}

// giveNotice signs a notice about the text of an agreement that rules, and takes
// it into the register.
func (a *app) giveNotice(n *place, act notice.Act, id, reason string, pass keyring.Passphrase) (*noticeResult, error) {
	v := n.reg.View()
	e, err := n.entry(v, id, 0)
	if err != nil {
		return nil, err
	}
	if err := maySuspend(e, act, v); err != nil {
		return nil, err
	}
	keys, err := keyring.LoadGateway(n.GatewayKeys(), pass)
	if err != nil {
		return nil, err
	}
	own, ok := v.Card(n.Party)
	if !ok {
		return nil, problem.New(problem.Locked, "the own card is not in the register; no notice was signed")
	}
	key, err := own.NoticeKey(keys)
	if err != nil {
		return nil, err
	}
	said := notice.Notice{
		Party: n.Party, Serial: v.NextNoticeSerial(n.Party), Agreement: id, Digest: e.Agreement.Digest, Act: act,
		Effective: a.now().UTC().Truncate(time.Second), Reason: reason,
	}
	file, err := notice.Issue(said, key)
	if err != nil {
		return nil, err
	}
	if err := n.reg.AddNotice(file); err != nil {
		return nil, err
	}
	return &noticeResult{
		Agreement: id, Act: act, Party: said.Party, Serial: said.Serial, Effective: said.Effective, Reason: reason,
		Digest: agreement.FormatDigest(said.Digest),
	}, nil
}

// maySuspend refuses a notice that would change nothing.
func maySuspend(e *register.Entry, act notice.Act, v *register.View) error {
	id := e.Agreement.ID
	if !e.Complete {
		return problem.New(problem.Conflict,
			"%s is not signed by all; there is nothing to %s, no notice was signed", id, act).
			WithHint("karaula agreement remove %s takes a proposal away", id)
	}
	if phase := e.PhaseAt(v.Time()); phase == agreement.Closed {
		return problem.New(problem.Conflict, "%s is closed; no notice was signed", id)
	}
	mine, suspended := e.Suspensions[v.Self()]
	switch {
	case act == notice.Suspend && suspended:
		return problem.New(problem.Conflict, "%s has suspended %s since %s (notice %d); no other notice was signed",
			v.Self(), id, agreement.FormatTime(mine.Effective), mine.Serial)
	case act == notice.Resume && !suspended:
		text := fmt.Sprintf("%s has not suspended %s; no notice was signed", v.Self(), id)
		if others := slices.Sorted(maps.Keys(e.Suspensions)); len(others) > 0 {
			text += "; it is suspended by " + list(others)
		}
		return problem.New(problem.Conflict, "%s", text)
	}
	return nil
}
