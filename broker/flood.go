package broker

import (
	"sync"
	"time"

	"karaula/internal/subject"
)

// FloodOptions say when a partner sends too much and for how long it is thrown
// out. NATS itself limits no rate; an honest gateway sends one request and one
// ack per batch. Zero values stand for the defaults.
type FloodOptions struct {
	Messages int64         // messages per second, refused ones included; default 5,000
	Bytes    int64         // bytes per second; default 32 MiB
	Window   time.Duration // time over which the rate is taken; default 1 s
	Bar      time.Duration // how long the first time; doubled every time; default 30 s
	MaxBar   time.Duration // the longest, and how long a quiet partner is remembered; default 10 min
}

// floodWatch counts what each partner's account sends, whatever connection it
// comes by, and decides who is barred until when.
type floodWatch struct {
	o FloodOptions

	mu    sync.Mutex
	last  time.Time
	peers map[string]*flooder
}

type flooder struct {
	watched     bool
	account     string
	known       bool // msgs and bytes are of the last look
	msgs, bytes int64
	strikes     int // times barred in a row
	total       int // times barred at all
	until       time.Time
}

func newFloodWatch(o FloodOptions) *floodWatch {
	setDefault(&o.Messages, 5000)
	setDefault(&o.Bytes, 32<<20)
	setDefault(&o.Window, time.Second)
	setDefault(&o.Bar, 30*time.Second)
	setDefault(&o.MaxBar, 10*time.Minute)
	return &floodWatch{o: o, peers: map[string]*flooder{}}
}

func setDefault[T ~int64](v *T, d T) {
	if *v == 0 {
		*v = d
	}
}

// watch says which partners and auditors there are.
func (w *floodWatch) watch(p Plan) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, f := range w.peers {
		f.watched = false
	}
	watch := func(code, account string) {
		f := w.peers[code]
		if f == nil {
			f = &flooder{}
			w.peers[code] = f
		}
		if f.account != account {
			f.account, f.known = account, false
		}
		f.watched = true
	}
	for _, peer := range p.Peers {
		watch(peer.Code, subject.PeerAccount(peer.Code))
	}
	for _, a := range p.Auditors {
		watch(a.Code, subject.AuditorAccount(a.Code))
	}
}

// look takes the counters once per window and gives the partners that it bars.
func (w *floodWatch) look(now time.Time, traffic func(account string) (msgs, bytes int64)) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	span := now.Sub(w.last)
	if span < w.o.Window {
		return nil
	}
	first := w.last.IsZero()
	w.last = now
	var out []string
	for code, f := range w.peers {
		if !f.watched {
			f.known = false
			continue
		}
		msgs, bytes := traffic(f.account)
		newMsgs, newBytes := msgs-f.msgs, bytes-f.bytes
		known := f.known && !first
		f.known, f.msgs, f.bytes = true, msgs, bytes
		if f.strikes > 0 && now.Sub(f.until) > w.o.MaxBar {
			f.strikes = 0
		}
		if !known || now.Before(f.until) || !w.tooMuch(newMsgs, newBytes, span) {
			continue
		}
		bar := w.o.MaxBar
		if f.strikes < 16 {
			bar = min(w.o.Bar<<f.strikes, w.o.MaxBar)
		}
		f.strikes++
		f.total++
		f.until = now.Add(bar)
		out = append(out, code)
	}
	return out
}

func (w *floodWatch) tooMuch(msgs, bytes int64, span time.Duration) bool {
	return float64(msgs) > float64(w.o.Messages)*span.Seconds() ||
		float64(bytes) > float64(w.o.Bytes)*span.Seconds()
}

// barred gives the partners that are out now, and until when.
func (w *floodWatch) barred(now time.Time) map[string]time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := map[string]time.Time{}
	for code, f := range w.peers {
		if now.Before(f.until) {
			out[code] = f.until
		}
	}
	return out
}

// counts gives how often each partner was barred since the start.
func (w *floodWatch) counts() map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := map[string]int{}
	for code, f := range w.peers {
		if f.total > 0 {
			out[code] = f.total
		}
	}
	return out
}
