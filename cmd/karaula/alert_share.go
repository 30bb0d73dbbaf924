package main

import (
	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"karaula/gateway/desk"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// shareResult says as what an alert was passed on.
type shareResult struct {
	sendResult
	PassedOn *descentLine `json:"passed_on"`
	Already  bool         `json:"already,omitempty"` // it was passed on before
}

func (r shareResult) page(p *page) {
	if r.Already {
		p.line("this version had been passed on before; nothing new was said")
	}
	r.sendResult.page(p)
	p.blank()
	p.fields(r.PassedOn.fields(lang{})...)
}

func newAlertShare(a *app) *cobra.Command {
	var dir, channel, reason, said, from string
	var dry bool
	c := &cobra.Command{
		Use:   "share ID --channel ID --reason TEXT --dir DIR",
		Short: "pass a partner's alert on to another channel",
		Long: `Passes a partner's alert on to the readers of another channel, word for word. This
needs the originator's consent: to this version, this channel, these readers. Ask
for it with: karaula alert act ID --deed consent-request.

With the alert go the originator's own signed statements, so that the readers can
check that it is the originator's and that it agrees. It is kept no longer than the
original and the consent. When the originator withdraws or erases the alert, or takes
its consent back, this node has what it passed on erased. After a new version and a
new consent, the same command passes that on.`,
		Example: `  karaula alert share 01920000-0000-7000-8000-000000000000 --channel b06-me-rs --reason "case 12" --dir me`,
		Args:    positional("ID"),
	}
	f := c.Flags()
	f.StringVar(&channel, "channel", "", "channel to pass it on to")
	f.StringVar(&reason, "reason", "", "why; recorded at this node and said to nobody")
	f.StringVar(&said, "said-on", "", "channel on which it was said, where that is on several")
	f.StringVar(&from, "from", "", "the party that said it, where several have used the same id")
	f.BoolVar(&dry, "dry-run", false, "only say what would happen")
	required(c, "channel", "reason")
	dirFlag(c, &dir)
	c.RunE = func(c *cobra.Command, args []string) error {
		node, err := client(dir)
		if err != nil {
			return err
		}
		resp, err := node.Share(c.Context(), connect.NewRequest(&karaulav1.ShareRequest{
			AlertId: args[0], Origin: from, Channel: said, Onward: channel, Reason: reason, DryRun: dry,
		}))
		if err != nil {
			return desk.FromConnect(err)
		}
		s := resp.Msg.GetSent()
		return a.show(shareResult{
			sendResult: sendResult{
				Channel: channel, DryRun: dry, Readers: readerLines(resp.Msg.GetReaders()), Others: []readerLine{},
				Alerts: []sentAlert{{
					ID: s.GetAlertId(), Epoch: s.GetEpoch(), Number: s.GetSeq(), Clause: s.GetClause(), Warnings: s.GetWarnings(),
				}},
			},
			PassedOn: newDescentLine(resp.Msg.GetDescent()), Already: resp.Msg.GetAlready(),
		})
	}
	return c
}
