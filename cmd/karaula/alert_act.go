package main

import (
	"encoding/hex"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/reflect/protoreflect"

	"karaula/gateway/book"
	"karaula/gateway/desk"
	"karaula/internal/alert"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// actResult says where an act was said.
type actResult struct {
	Alert   string `json:"alert"`
	Deed    string `json:"deed"`
	Channel string `json:"channel"`
	Epoch   uint64 `json:"epoch"`
	Number  uint64 `json:"number"`
	Already bool   `json:"already,omitempty"` // it was said before
}

func (r actResult) page(p *page) {
	said := "said"
	if r.Already {
		said = "had been said"
	}
	p.line("%s  %s %s on %s as number %d", r.Alert, r.Deed, said, r.Channel, r.Number)
}

func newAlertAct(a *app) *cobra.Command {
	var dir, deed, ground, remark, other, relation, onward, purpose, until, answers, channel, from string
	deeds := alert.Words(karaulav1.Deed(0).Descriptor())
	grounds := alert.Words(karaulav1.Ground(0).Descriptor())
	relations := alert.Words(karaulav1.LinkRelation(0).Descriptor())
	purposes := alert.Words(karaulav1.Purpose(0).Descriptor())
	c := &cobra.Command{
		Use:   "act ID --deed WORD --dir DIR",
		Short: "say what people did about a partner's alert",
		Long: `Says to everybody on the channel what was done about an alert, or what there is to
say about it: acted, not-executed (with its ground), flag and unflag (not
executable on the own territory), link and unlink, error, consent-request, and of
an own alert consent and no-consent. Only the originator changes an alert; all
else is an act. That an officer has read it is said by itself when it is shown.

A consent-request names the channel to pass the alert on to, and what for. A consent
is about the alert as it stands, for the party that asked and the readers of that
channel as it named them; whoever reads there sees it, with its remark. A no-consent
after it takes it back.`,
		Example: `  karaula alert act 01920000-0000-7000-8000-000000000000 --deed acted --remark "vehicle secured" --dir me
  karaula alert act 01920000-0000-7000-8000-000000000000 --deed flag --ground national-law --dir me
  karaula alert act 01920000-0000-7000-8000-000000000000 --deed consent-request --onward b06-me-rs --purpose detection --dir me`,
		Args: positional("ID"),
	}
	f := c.Flags()
	f.StringVar(&deed, "deed", "", "what: "+list(deeds))
	f.StringVar(&ground, "ground", "", "why not: "+list(grounds))
	f.StringVar(&remark, "remark", "", "in words, sealed like an alert")
	f.StringVar(&other, "with", "", "id of the alert that it is linked with")
	f.StringVar(&relation, "relation", "", "how it is linked: "+list(relations))
	f.StringVar(&onward, "onward", "", "channel to pass it on to")
	f.StringVar(&purpose, "purpose", "", "what it is passed on for: "+list(purposes))
	f.StringVar(&until, "until", "", "until when that may be kept which is passed on")
	f.StringVar(&answers, "answers", "", "digest of the request that is answered, where several wait")
	f.StringVar(&channel, "channel", "", "where it was said, where that is on several")
	f.StringVar(&from, "from", "", "the party that said it, where several have used the same id")
	required(c, "deed")
	dirFlag(c, &dir)
	c.RunE = func(c *cobra.Command, args []string) error {
		act := &karaulav1.Act{Remark: remark, Onward: onward}
		for _, coded := range []struct {
			word, name string
			of         protoreflect.Enum
			set        func(protoreflect.EnumNumber)
		}{
			{deed, "deed", act.GetDeed(), func(n protoreflect.EnumNumber) { act.Deed = karaulav1.Deed(n) }},
			{ground, "ground", act.GetGround(), func(n protoreflect.EnumNumber) { act.Ground = karaulav1.Ground(n) }},
			{relation, "relation", act.GetRelation(), func(n protoreflect.EnumNumber) { act.Relation = karaulav1.LinkRelation(n) }},
			{purpose, "purpose", act.GetPurpose(), func(n protoreflect.EnumNumber) { act.Purpose = karaulav1.Purpose(n) }},
		} {
			n, ok := alert.Number(coded.of.Descriptor(), coded.word)
			if !ok && coded.word != "" {
				return errUsage(c, "%q is no %s; there are %s", coded.word, coded.name, list(alert.Words(coded.of.Descriptor())))
			}
			coded.set(n)
		}
		if other != "" {
			id, ok := book.ParseID(other)
			if !ok {
				return errUsage(c, "%q is no alert id", other)
			}
			act.Other = id[:]
		}
		if until != "" {
			at, err := a.moment(c, until)
			if err != nil {
				return err
			}
			act.Until = at.UnixMicro()
		}
		request, err := hex.DecodeString(answers)
		if err != nil || len(request) != 0 && len(request) != 32 {
			return errUsage(c, "%q is no digest of a request", answers)
		}
		node, err := client(dir)
		if err != nil {
			return err
		}
		resp, err := node.SayAct(c.Context(), connect.NewRequest(&karaulav1.SayActRequest{
			AlertId: args[0], Origin: from, Channel: channel, Act: act, Answers: request,
		}))
		if err != nil {
			return desk.FromConnect(err)
		}
		m := resp.Msg
		return a.show(actResult{
			Alert: args[0], Deed: deed, Channel: m.GetChannel(), Epoch: m.GetEpoch(), Number: m.GetSeq(), Already: m.GetAlready(),
		})
	}
	return c
}

// newAlertWithdraw takes an own alert back.
func newAlertWithdraw(a *app) *cobra.Command {
	var dir, channel, assessment string
	c := &cobra.Command{
		Use:   "withdraw ID --assessment TEXT --dir DIR",
		Short: "take an own alert back, for good",
		Long: `Says the last version of an own alert: that it is taken back, and why. It holds
nothing of the content. Look-ups find the alert no more.`,
		Example: `  karaula alert withdraw 01920000-0000-7000-8000-000000000000 --assessment "vehicle found" --dir al`,
		Args:    positional("ID"),
	}
	changeFlags(c, &dir, &channel, &assessment)
	c.RunE = func(c *cobra.Command, args []string) error {
		return a.change(c, dir, &karaulav1.ChangeRequest{
			AlertId: args[0], Channel: channel, Lifecycle: karaulav1.Lifecycle_LIFECYCLE_WITHDRAW, Assessment: assessment,
		})
	}
	return c
}

// newAlertExtend keeps an own alert longer.
func newAlertExtend(a *app) *cobra.Command {
	var dir, channel, assessment, until string
	c := &cobra.Command{
		Use:   "extend ID --until TIME --assessment TEXT --dir DIR",
		Short: "keep an own alert longer, with the recorded assessment",
		Long: `Says the next version of an own alert: the same, kept until another time, and why.
The longest life of its type and the agreement's limit hold.`,
		Example: `  karaula alert extend 01920000-0000-7000-8000-000000000000 --until 2027-06-01T00:00:00Z --assessment "case is open" --dir al`,
		Args:    positional("ID"),
	}
	changeFlags(c, &dir, &channel, &assessment)
	c.Flags().StringVar(&until, "until", "", "until when")
	required(c, "until")
	c.RunE = func(c *cobra.Command, args []string) error {
		at, err := a.moment(c, until)
		if err != nil {
			return err
		}
		return a.change(c, dir, &karaulav1.ChangeRequest{
			AlertId: args[0], Channel: channel, Lifecycle: karaulav1.Lifecycle_LIFECYCLE_EXTEND,
			Expires: at.UnixMicro(), Assessment: assessment,
		})
	}
	return c
}

func changeFlags(c *cobra.Command, dir, channel, assessment *string) {
	c.Flags().StringVar(assessment, "assessment", "", "why; said to all readers, without personal data")
	c.Flags().StringVar(channel, "channel", "", "where it was said, where that is on several")
	required(c, "assessment")
	dirFlag(c, dir)
}

func (a *app) change(c *cobra.Command, dir string, req *karaulav1.ChangeRequest) error {
	node, err := client(dir)
	if err != nil {
		return err
	}
	resp, err := node.Change(c.Context(), connect.NewRequest(req))
	if err != nil {
		return desk.FromConnect(err)
	}
	s := resp.Msg.GetSent()
	return a.show(sendResult{
		Channel: resp.Msg.GetChannel(), Readers: readerLines(resp.Msg.GetReaders()), Others: []readerLine{},
		Alerts: []sentAlert{{
			ID: s.GetAlertId(), Epoch: s.GetEpoch(), Number: s.GetSeq(), Clause: s.GetClause(), Warnings: s.GetWarnings(),
		}},
	})
}
