package demo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"karaula/cmd/karaula/internal/nodes"
	"karaula/gateway/bus"
	"karaula/gateway/desk"
	"karaula/internal/notice"
	"karaula/internal/problem"
	"karaula/internal/terms"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Options says how to play.
type Options struct {
	// Dir is where the nodes' folders are made and kept; empty: a temporary
	// folder that is removed at the end.
	Dir string
	// Script is what to play; nil: the built-in one.
	Script *Script
	// Speed is how fast to go on between steps: 1 for people, 2 twice as fast, 0
	// without pauses.
	Speed float64
	// Serve keeps the nodes running after the script until the context ends.
	Serve   bool
	Version string
	Logger  *slog.Logger
	// Emit takes every event, in order.
	Emit func(Event) error
}

// pause is how long a step is left on the screen at speed 1.
const pause = 700 * time.Millisecond

// arrival bounds how long something that must arrive may take before the demo
// counts it as missing.
const arrival = 30 * time.Second

// player plays a script on a stage.
type player struct {
	o     Options
	stage *stage

	emitMu sync.Mutex
	step   int
	counts Counts

	mu        sync.Mutex
	changed   *sync.Cond
	cut       map[string]bool                       // nodes that are off
	suspended map[string]map[string]bool            // parties that have suspended an agreement
	expected  map[string]map[string]*delivery       // by node, by alert id
	got       map[string]map[string]time.Time       // by node, by alert id: accepted
	aside     map[string][]*karaulav1.WatchResponse // by node: put aside
	listeners sync.WaitGroup
}

// delivery is something that must arrive.
type delivery struct {
	from, channel string
	said          time.Time
	shown         bool
}

// Run builds six nodes, plays the script, compares what should have arrived
// with what did, and fails if there is any difference.
func Run(ctx context.Context, o Options) (err error) {
	if o.Script == nil {
		if o.Script, err = BuiltIn(); err != nil {
			return err
		}
	}
	dir, remove := o.Dir, func() {}
	if dir == "" {
		if dir, remove, err = tempDir(); err != nil {
			return err
		}
	} else if err := os.MkdirAll(dir, 0o755); err != nil {
		return problem.Wrap(problem.Failed, err, "the folder for the nodes cannot be made")
	}
	defer remove()
	p := newPlayer(o)
	began := time.Now()
	if p.stage, err = build(dir, o.Version, o.Logger); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.end()) }()
	if err := p.stage.start(ctx); err != nil {
		return err
	}
	for code, n := range p.stage.nodes {
		p.listen(code, n)
	}
	p.introduce(time.Since(began))
	if err := p.play(ctx); err != nil {
		return err
	}
	if err := p.sumUp(ctx); err != nil {
		return err
	}
	if o.Serve {
		p.serve(ctx)
	}
	return nil
}

func newPlayer(o Options) *player {
	p := &player{
		o: o, cut: map[string]bool{}, suspended: map[string]map[string]bool{},
		expected: map[string]map[string]*delivery{}, got: map[string]map[string]time.Time{},
		aside: map[string][]*karaulav1.WatchResponse{},
	}
	p.changed = sync.NewCond(&p.mu)
	return p
}

// end stops the nodes and the listeners.
func (p *player) end() error {
	err := p.stage.stop()
	p.listeners.Wait()
	return err
}

// emit hands an event on; a failing reader of events ends nothing.
func (p *player) emit(e Event) {
	p.emitMu.Lock()
	defer p.emitMu.Unlock()
	e.At, e.Step = time.Now(), p.step
	_ = p.o.Emit(e) // the summary's error decides, not a broken pipe
}

// introduce says what there is.
func (p *player) introduce(took time.Duration) {
	p.counts.Nodes, p.counts.Agreements = len(p.stage.nodes), len(p.stage.agreements)
	p.emit(Event{
		Event: "ready", Millis: float64(took.Microseconds()) / 1000,
		Text: fmt.Sprintf("%s: %d nodes, %d agreements signed by all their parties, ready in %.1f s",
			p.o.Script.Title, len(p.stage.nodes), len(p.stage.agreements), took.Seconds()),
	})
	for _, id := range sortedKeys(p.stage.agreements) {
		a := p.stage.agreements[id]
		p.emit(Event{Event: "agreement", Channel: id, Text: fmt.Sprintf("%s: %s", join(a.Codes()), a.Title)})
	}
}

// listen hears what happens at a node until it stops.
func (p *player) listen(code string, n *nodes.Node) {
	l := n.Gateway.Listen()
	p.listeners.Go(func() {
		for told := range l.C {
			for _, e := range told {
				p.hear(code, e)
			}
		}
	})
	go func() {
		<-n.Stopped()
		l.Leave()
	}()
}

// hear notes what a node has seen.
func (p *player) hear(code string, e *karaulav1.WatchResponse) {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.changed.Broadcast()
	id := e.GetAlert().GetAlertId()
	switch e.GetEvent() {
	case bus.Accepted:
		put(p.got, code, id, time.Now())
	case bus.Quarantined, bus.Replayed, bus.Refused, bus.Contested:
		p.aside[code] = append(p.aside[code], e)
	}
}

func put[K comparable, L comparable, V any](m map[K]map[L]V, k K, l L, v V) {
	if m[k] == nil {
		m[k] = map[L]V{}
	}
	m[k][l] = v
}

// await waits until a condition on what was heard holds; false if it does not
// within the time for arrivals.
func (p *player) await(ctx context.Context, cond func() bool) bool {
	ctx, cancel := context.WithTimeout(ctx, arrival)
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.changed.Broadcast()
	})
	defer stop()
	p.mu.Lock()
	defer p.mu.Unlock()
	for !cond() {
		if ctx.Err() != nil {
			return false
		}
		p.changed.Wait()
	}
	return true
}

// play plays the steps.
func (p *player) play(ctx context.Context) error {
	for i, st := range p.o.Script.Steps {
		p.step = i + 1
		if st.Note != "" {
			p.emit(Event{Event: "note", Text: st.Note})
		}
		if err := p.do(ctx, st); err != nil {
			return problem.Wrap(problem.KindOf(err), err, "step %d", i+1)
		}
		if p.o.Speed > 0 {
			select {
			case <-ctx.Done():
				return problem.Wrap(problem.Failed, ctx.Err(), "stopped in step %d", i+1)
			case <-time.After(time.Duration(float64(pause) / p.o.Speed)):
			}
		}
	}
	p.step = 0
	return nil
}

func (p *player) do(ctx context.Context, st Step) error {
	switch {
	case st.Say != nil:
		return p.say(ctx, *st.Say)
	case st.Cut != nil:
		return p.cutOff(st.Cut.Node)
	case st.Back != nil:
		return p.bringBack(ctx, st.Back.Node)
	case st.Suspend != nil:
		return p.act(ctx, *st.Suspend, notice.Suspend)
	case st.Resume != nil:
		return p.act(ctx, *st.Resume, notice.Resume)
	case st.Forge != nil:
		return p.forge(ctx, *st.Forge)
	case st.Replay != nil:
		return p.replay(ctx, *st.Replay)
	case st.Trespass != nil:
		return p.trespass(ctx, *st.Trespass)
	default:
		return nil
	}
}

// node gives a node that is on.
func (p *player) node(code string) (*nodes.Node, error) {
	n := p.stage.nodes[code]
	if n == nil {
		return nil, problem.New(problem.Invalid, "node %q is off, or there is none", code)
	}
	return n, nil
}

// officer is who acts at every node of the demo.
func officer(ctx context.Context) context.Context {
	return desk.AsOfficer(ctx, desk.Officer{ID: "demo", Role: "supervisor"})
}

// cutOff takes a node off the network: its broker and its gateway are gone.
func (p *player) cutOff(code string) error {
	n, err := p.node(code)
	if err != nil {
		return err
	}
	p.mu.Lock()
	p.cut[code] = true
	p.mu.Unlock()
	p.stage.nodes[code] = nil
	p.emit(Event{Event: "cut", Party: code, Text: code + " is cut off"})
	return n.Stop()
}

// bringBack starts a node again and waits until it has what it missed.
func (p *player) bringBack(ctx context.Context, code string) error {
	n, err := p.stage.startOne(ctx, code)
	if err != nil {
		return err
	}
	p.listen(code, n)
	p.stage.nodes[code] = n
	p.mu.Lock()
	delete(p.cut, code)
	p.mu.Unlock()
	p.emit(Event{Event: "back", Party: code, Text: code + " is back"})
	if err := p.readList(ctx, code); err != nil {
		return err
	}
	return p.showArrivals(ctx, code)
}

// act suspends or resumes an agreement, and waits until partners know.
func (p *player) act(ctx context.Context, a Act, what notice.Act) error {
	n, err := p.node(a.Party)
	if err != nil {
		return err
	}
	if _, err := nodes.GiveNotice(n.Layout.Dir, nil, a.Agreement, what, a.Reason, time.Now()); err != nil {
		return err
	}
	word := map[notice.Act]string{notice.Suspend: "suspended", notice.Resume: "resumed"}[what]
	p.emit(
		Event{
			Event:   word,
			Party:   a.Party,
			Channel: a.Agreement,
			Why:     a.Reason,
			Text:    a.Party + " has " + word + " " + a.Agreement,
		},
	)
	p.mu.Lock()
	put(p.suspended, a.Agreement, a.Party, what == notice.Suspend)
	p.mu.Unlock()
	return p.allKnow(ctx, a, what)
}

// allKnow waits until every party that is on has heard of a notice.
func (p *player) allKnow(ctx context.Context, a Act, what notice.Act) error {
	ctx, cancel := context.WithTimeout(ctx, arrival)
	defer cancel()
	for _, code := range p.stage.agreements[a.Agreement].Codes() {
		n := p.stage.nodes[code]
		for n != nil {
			list := n.Register.View().Notices(a.Party)
			if len(list) > 0 && list[len(list)-1].Act == what {
				break
			}
			select {
			case <-ctx.Done():
				return problem.New(problem.Failed, "%s does not hear that %s has given notice", code, a.Party)
			case <-time.After(10 * time.Millisecond):
			}
		}
	}
	return nil
}

// serve keeps the nodes until the context ends, and says how to talk to them.
func (p *player) serve(ctx context.Context) {
	p.emit(Event{Event: "serving", Text: "the nodes go on until you press Ctrl-C; talk to them from another terminal:"})
	for _, code := range codes() {
		if n := p.stage.nodes[code]; n != nil {
			p.emit(Event{Event: "serving", Party: code, Text: "karaula status --dir " + n.Layout.Dir})
		}
	}
	p.emit(Event{Event: "serving", Text: "karaula alert watch --dir " + p.stage.nodes[codes()[0]].Layout.Dir})
	<-ctx.Done()
}

// typeWord gives the word of an alert's type.
func typeWord(t karaulav1.AlertType) string { return terms.TypeWord(t) }
