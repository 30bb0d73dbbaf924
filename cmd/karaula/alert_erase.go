package main

import (
	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"karaula/gateway/desk"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// eraseResult says what was ordered.
type eraseResult struct {
	Alert  string       `json:"alert"`
	Orders []eraseOrder `json:"orders"`
}

type eraseOrder struct {
	Channel    string   `json:"channel"`
	Epoch      uint64   `json:"epoch,omitempty"`
	Number     uint64   `json:"number,omitempty"` // absent if all was ordered or erased before
	Statements uint32   `json:"statements"`       // that the order names
	Readers    []string `json:"readers"`          // who must erase
	Closed     bool     `json:"closed,omitempty"` // nothing can be said there; nobody was told
}

func (r eraseResult) page(p *page) {
	for _, o := range r.Orders {
		if o.Closed {
			r.closedLine(p, o)
			continue
		}
		if o.Number == 0 {
			p.line("%s  was ordered to be erased on %s before, or is", r.Alert, o.Channel)
			continue
		}
		p.line("%s  is erased here; the order to %s is number %d on %s and names %d of its statements",
			r.Alert, list(o.Readers), o.Number, o.Channel, o.Statements)
	}
	p.line("who has erased it: karaula alert list --dir DIR")
}

// closedLine says what was done where nobody could be told.
func (r eraseResult) closedLine(p *page, o eraseOrder) {
	if o.Statements == 0 {
		p.line("%s  is erased here on %s already", r.Alert, o.Channel)
		return
	}
	p.line("%s  is erased here (%d statements); %s is closed, so %s could not be told: nothing can be said there any more",
		r.Alert, o.Statements, o.Channel, list(o.Readers))
	p.line("write to %s; it erases its copy at its end by itself. If %s opens again, give this order again",
		list(o.Readers), o.Channel)
}

func newAlertErase(a *app) *cobra.Command {
	var dir, channel, reason string
	c := &cobra.Command{
		Use:   "erase ID --reason TEXT --dir DIR",
		Short: "have an own alert's content erased, here and by all who got it",
		Long: `Orders the content of an own alert to be erased, in all its versions, as when a data
subject's claim is granted. It is erased here at once and by every recipient when the
order arrives; each answers with a signed receipt of when that was done and for how long
its backups may still hold it. The signed statements stay without their content, so that
every ledger still verifies. It cannot be undone. Only a supervisor may; the reason is
recorded at this node and not said to anybody.

Where an agreement is suspended the order is said as anywhere; a partner that does not
fetch obeys it when it does. Where it is closed nothing can be said any more: the own
copies are erased at once, and the command says who could not be told.

What has come to its end, and the earlier versions of what was withdrawn, is erased
without this command.`,
		Example: `  karaula alert erase 01920000-0000-7000-8000-000000000000 --reason "claim granted, case 12" --dir al`,
		Args:    positional("ID"),
	}
	c.Flags().StringVar(&reason, "reason", "", "why; recorded here, not said to partners")
	c.Flags().StringVar(&channel, "channel", "", "only on this channel; otherwise wherever it was said")
	required(c, "reason")
	dirFlag(c, &dir)
	c.RunE = func(c *cobra.Command, args []string) error {
		node, err := client(dir)
		if err != nil {
			return err
		}
		resp, err := node.Erase(c.Context(), connect.NewRequest(&karaulav1.EraseRequest{
			AlertId: args[0], Channel: channel, Reason: reason,
		}))
		if err != nil {
			return desk.FromConnect(err)
		}
		r := eraseResult{Alert: args[0], Orders: []eraseOrder{}}
		for _, o := range resp.Msg.GetOrders() {
			r.Orders = append(r.Orders, eraseOrder{
				Channel: o.GetChannel(), Epoch: o.GetEpoch(), Number: o.GetSeq(), Statements: o.GetStatements(),
				Readers: append([]string{}, o.GetReaders()...), Closed: o.GetClosed(),
			})
		}
		return a.show(r)
	}
	return c
}
