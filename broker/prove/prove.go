package prove

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"karaula/broker"
	"karaula/internal/problem"
	"karaula/internal/register"
	"karaula/internal/subject"
)

// Site is one party's broker: the text of its configuration, and what it should
// follow from.
type Site struct {
	// View is the register as the broker's owner sees it.
	View *register.View
	// Plan is what its keeper makes; the judges do not read it.
	Plan broker.Plan
	// Text is the configuration that is judged.
	Text []byte
}

// Mismatch is a counterexample: something that the judges do not agree on.
type Mismatch struct {
	Broker  string // whose broker it is, party code
	Who     string // who tries: "partner me", "auditor dpa", "audit of al", "-" if it is about nobody
	What    string // for people
	Subject string // by which subject; may be empty
	Agreed  bool   // the agreements allow it
	Text    string // "yes", "no" or "-" if the text was not asked
	Live    string // the same for what happened
	Why     string // the clause that allows it, or that none does
}

// Report is what was tried and found.
type Report struct {
	At       time.Time
	Brokers  []string // party codes of the owners
	Parties  []string // everybody who is known
	Channels int      // channels, over all brokers
	// Deliveries counts combinations of origin, channel, type and reader, and
	// Allowed those that the agreements allow.
	Deliveries, Allowed int
	// Law, Text and Live count what each judge was asked, deliveries included.
	Law, Text, Live int
	// Coarser says where the broker is no wall by design.
	Coarser []string
	// Mismatches are the counterexamples, at most [MostShown] of one broker and
	// one who; Found counts them all.
	Mismatches []Mismatch
	Found      int
}

// MostShown is how many counterexamples of one kind a report holds.
const MostShown = 40

// Run judges brokers at a moment. It writes into dir, which the caller removes.
func Run(ctx context.Context, sites []Site, at time.Time, dir string) (*Report, error) {
	r := &Report{At: at}
	var mu sync.Mutex
	var wg sync.WaitGroup
	room := make(chan struct{}, runtime.GOMAXPROCS(0))
	errs := make([]error, len(sites))
	for i, site := range sites {
		wg.Go(func() {
			room <- struct{}{}
			defer func() { <-room }()
			b := &bench{law: newLaw(site.View, at), site: site}
			if errs[i] = b.run(ctx, filepath.Join(dir, site.View.Self())); errs[i] != nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			r.add(b)
		})
	}
	wg.Wait()
	for i, site := range sites {
		if err := errs[i]; err != nil {
			return nil, problem.Wrap(problem.KindOf(err), err, "the broker of %s was not judged", site.View.Self())
		}
	}
	slices.Sort(r.Brokers)
	slices.Sort(r.Parties)
	r.Parties = slices.Compact(r.Parties)
	slices.Sort(r.Coarser)
	slices.SortStableFunc(r.Mismatches, func(a, b Mismatch) int {
		return slices.Compare([]string{a.Broker, a.Who}, []string{b.Broker, b.Who})
	})
	return r, nil
}

func (r *Report) add(b *bench) {
	r.Brokers = append(r.Brokers, b.law.owner)
	r.Parties = append(r.Parties, b.law.parties...)
	r.Channels += len(b.law.channels)
	r.Deliveries += b.deliveries
	r.Allowed += b.allowed
	r.Law += b.asked[0]
	r.Text += b.asked[1]
	r.Live += b.asked[2]
	r.Coarser = append(r.Coarser, b.law.coarser()...)
	r.Found += len(b.found)
	shown := map[string]int{}
	for _, m := range b.found {
		if shown[m.Who]++; shown[m.Who] <= MostShown {
			r.Mismatches = append(r.Mismatches, m)
		}
	}
}

// bench puts one broker before the three judges.
type bench struct {
	law  *law
	site Site

	cast   *cast
	config *config
	trial  *trial

	asked               [3]int // by the agreements, the text, the live broker
	deliveries, allowed int
	found               []Mismatch
}

func (b *bench) run(ctx context.Context, dir string) error {
	conf, err := b.read(dir)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if b.trial, err = newTrial(ctx, b.law, b.cast, b.site.Plan, conf); err != nil {
		return err
	}
	defer b.trial.stop()
	if err := b.trial.serve(ctx); err != nil {
		return err
	}
	for _, text := range b.config.structure(b.law, b.known()) {
		b.about("-", text, "yes", "-")
	}
	if err := b.matrix(); err != nil {
		return err
	}
	if err := b.questions(); err != nil {
		return err
	}
	for _, text := range b.trial.trouble {
		b.about("-", text, "-", "no")
	}
	b.asked[2] += b.trial.tried
	return nil
}

// read puts test keys into the text, and reads it.
func (b *bench) read(dir string) (conf string, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", problem.Wrap(problem.Failed, err, "no folder for the test broker")
	}
	if b.cast, err = newCast(b.law, b.site.Plan.Own); err != nil {
		return "", err
	}
	if conf, err = b.cast.files(b.site.Text, b.law, dir); err != nil {
		return "", err
	}
	b.config, err = readConfig(conf)
	return conf, err
}

// known are the test nkeys of everybody who may be in the text.
func (b *bench) known() map[string]who {
	known := map[string]who{}
	for genuine, w := range b.cast.of {
		if public, err := b.cast.nkeys[genuine].PublicKey(); err == nil {
			known[public] = w
		}
	}
	return known
}

// about notes something that is wrong whoever asks.
func (b *bench) about(who, what, text, live string) {
	b.found = append(b.found, Mismatch{
		Broker: b.law.owner, Who: who, What: what, Text: text, Live: live, Why: "no agreement and no role asks for it",
	})
}

func word(yes bool) string {
	if yes {
		return "yes"
	}
	return "no"
}

// matrix compares all combinations of channel, type and reader.
func (b *bench) matrix() error {
	list := b.law.deliveries()
	arrived, err := b.trial.deliveries(list)
	if err != nil {
		return err
	}
	gw := b.cast.actors[who{b.law.owner, subject.RoleGateway}]
	for _, d := range list {
		key := d
		key.law = answer{}
		reader := b.law.guest(d.reader)
		text := b.config.delivers(gw, b.cast.actors[reader], d)
		live := arrived[key]
		if d.law.yes {
			b.allowed++
		}
		if text != d.law.yes || live != d.law.yes {
			b.found = append(b.found, Mismatch{
				Broker: b.law.owner, Who: reader.String(),
				What:    fmt.Sprintf("read %s that %s says on %s", d.token, d.origin, d.channel.ID),
				Subject: subject.Say(d.channel, d.origin, d.token) + " by " + subject.Next(d.channel, d.reader),
				Agreed:  d.law.yes, Text: word(text), Live: word(live), Why: d.law.why,
			})
		}
	}
	b.deliveries = len(list)
	for i := range b.asked {
		b.asked[i] += len(list)
	}
	return nil
}

// questions asks about everything else, partners first: what they are refused
// must leave the streams as they are.
func (b *bench) questions() error {
	everybody := b.law.everybody()
	slices.SortStableFunc(everybody, func(x, y who) int { return rank(x) - rank(y) })
	for _, w := range everybody {
		list := b.law.questions(w)
		may, mayNot := split(list)
		var err error
		if w.guest() {
			err = errors.Join(b.compare(w, may), b.untouched(w, mayNot))
		} else {
			err = b.compare(w, list)
		}
		if err = errors.Join(err, b.inject(w, may)); err != nil {
			return err
		}
	}
	return nil
}

// rank puts partners first, and the gateway last, which may change most.
func rank(w who) int {
	return slices.Index([]string{partner, auditor, subject.RoleOps, subject.RoleAudit, subject.RoleKeeper, subject.RoleGateway}, w.Role)
}

func split(list []question) (may, mayNot []question) {
	for _, q := range list {
		if q.law.yes {
			may = append(may, q)
		} else {
			mayNot = append(mayNot, q)
		}
	}
	return may, mayNot
}

// untouched compares what somebody may not, and that trying it changed nothing.
func (b *bench) untouched(w who, list []question) error {
	before, err := b.trial.state()
	if err != nil {
		return err
	}
	if err := b.compare(w, list); err != nil {
		return err
	}
	after, err := b.trial.state()
	if err != nil {
		return err
	}
	for name := range after {
		if after[name] != before[name] {
			b.about(w.String(), "change "+name+" by something that is refused", "-", "yes")
		}
	}
	return nil
}

// compare puts the same questions to the text and to the live broker.
func (b *bench) compare(w who, list []question) error {
	live, err := b.trial.ask(w, list)
	if err != nil {
		return err
	}
	b.asked[0] += len(list)
	b.asked[1] += len(list)
	for i, q := range list {
		text := b.text(w, q)
		if text == q.law.yes && live[i] == q.law.yes {
			continue
		}
		b.found = append(b.found, Mismatch{
			Broker: b.law.owner, Who: w.String(), What: q.means, Subject: q.subject, Agreed: q.law.yes,
			Text: word(text), Live: word(live[i]), Why: q.law.why,
		})
	}
	return nil
}

// text is what the text says to a question. Either fence alone, the user's
// permissions and the account, must say no to a guest, and both must say yes.
func (b *bench) text(w who, q question) bool {
	permitted, reaches := b.config.judge(b.cast.actors[w], q)
	if w.guest() && !q.law.yes {
		return permitted || reaches
	}
	return permitted && reaches
}

// inject tries to write by reply subjects. The gateway and the keeper are left
// out: the one writes into the streams anyway, the other makes them.
func (b *bench) inject(w who, may []question) error {
	if w.Role == subject.RoleGateway || w.Role == subject.RoleKeeper {
		return nil
	}
	may = slices.DeleteFunc(may, func(q question) bool { return q.act != publish })
	list, err := b.trial.injected(w, may)
	if err != nil {
		return err
	}
	for _, text := range list {
		b.about(w.String(), text, "-", "yes")
	}
	return nil
}
