package faults

import (
	"net"
	"sync"
	"time"
)

// Proxy stands between two nodes: partners dial its address, and it dials the
// node. It can be cut, slowed down, or left with connections that carry nothing.
type Proxy struct {
	mu     sync.Mutex
	target string
	wake   *sync.Cond
	listen net.Listener // nil while cut
	addr   string
	conns  map[net.Conn]bool
	delay  time.Duration // one way
	frozen bool
	closed bool
	left   int64 // bytes until it cuts itself; negative: never
	passed int64
	work   sync.WaitGroup
}

// NewProxy listens on a loopback port of its own for connections to target.
func NewProxy(target string) (*Proxy, error) { return newProxyAt(loopback, target) }

// newProxyAt listens on another address.
func newProxyAt(host, target string) (*Proxy, error) {
	p := &Proxy{target: target, conns: map[net.Conn]bool{}, left: -1}
	p.wake = sync.NewCond(&p.mu)
	l, err := listenLow(host)
	if err != nil {
		return nil, err
	}
	p.addr = l.Addr().String()
	p.accept(l)
	return p, nil
}

// Addr is where partners dial.
func (p *Proxy) Addr() string { return p.addr }

// Divert leads new connections elsewhere.
func (p *Proxy) Divert(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = target
}

// Passed gives how many bytes went through so far, both ways.
func (p *Proxy) Passed() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.passed
}

func (p *Proxy) accept(l net.Listener) {
	p.mu.Lock()
	p.listen = l
	p.mu.Unlock()
	p.work.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			p.work.Go(func() { p.join(in) })
		}
	})
}

// join connects one incoming connection with the target.
func (p *Proxy) join(in net.Conn) {
	p.mu.Lock()
	target := p.target
	p.mu.Unlock()
	out, err := net.DialTimeout("tcp", target, 5*time.Second) //nolint:noctx // bounded
	if err != nil {
		_ = in.Close() // the partner sees that nobody is there
		return
	}
	p.mu.Lock()
	if p.listen == nil || p.closed {
		p.mu.Unlock()
		_, _ = in.Close(), out.Close()
		return
	}
	p.conns[in], p.conns[out] = true, true
	p.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { p.pump(in, out) })
	both.Go(func() { p.pump(out, in) })
	both.Wait()
	p.mu.Lock()
	delete(p.conns, in)
	delete(p.conns, out)
	p.mu.Unlock()
}

// chunk is what was read at once, and when it may go on.
type chunk struct {
	data []byte
	due  time.Time
}

// pump carries bytes one way until either end closes.
func (p *Proxy) pump(from, to net.Conn) {
	queue := make(chan chunk, 1024)
	var writer sync.WaitGroup
	writer.Go(func() {
		for c := range queue {
			time.Sleep(time.Until(c.due)) // the latency, not a wait for something
			if !p.mayPass(len(c.data)) {
				break
			}
			if _, err := to.Write(c.data); err != nil {
				break
			}
		}
		_, _ = from.Close(), to.Close()
		for range queue { //nolint:revive // let the reader end
		}
	})
	for {
		buf := make([]byte, 32<<10)
		n, err := from.Read(buf)
		if n > 0 {
			p.mu.Lock()
			due := time.Now().Add(p.delay)
			p.mu.Unlock()
			queue <- chunk{buf[:n], due}
		}
		if err != nil {
			break
		}
	}
	close(queue)
	writer.Wait()
}

// mayPass waits while the proxy is frozen, and counts. False: it is cut here.
func (p *Proxy) mayPass(n int) bool {
	p.mu.Lock()
	for p.frozen && p.listen != nil && !p.closed {
		p.wake.Wait()
	}
	p.passed += int64(n)
	cut := p.left >= 0 && p.left < int64(n)
	if p.left >= 0 {
		p.left = max(0, p.left-int64(n))
	}
	gone := p.listen == nil || p.closed
	p.mu.Unlock()
	if cut {
		p.Cut()
	}
	return !cut && !gone
}

// Cut closes every connection, in the middle of what they carry, and refuses
// new ones.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listen != nil {
		_ = p.listen.Close() // nobody gets in any more
		p.listen = nil
	}
	p.frozen, p.left = false, -1
	for c := range p.conns {
		_ = c.Close() // that is what is wanted
	}
	p.wake.Broadcast()
}

// CutAfter cuts when so many more bytes have gone through.
func (p *Proxy) CutAfter(bytes int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.left = bytes
}

// IsCut reports whether nobody gets through.
func (p *Proxy) IsCut() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.listen == nil
}

// Mend lets everything through again, at the same address.
func (p *Proxy) Mend() error {
	p.mu.Lock()
	p.frozen, p.delay, p.left = false, 0, -1
	p.wake.Broadcast()
	up := p.listen != nil
	p.mu.Unlock()
	if up {
		return nil
	}
	l, err := net.Listen("tcp", p.addr) //nolint:noctx // loopback, at once
	if err != nil {
		return err
	}
	p.accept(l)
	return nil
}

// Freeze leaves connections open and carries nothing any more, either way: what
// a router does that forgets a connection.
func (p *Proxy) Freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.frozen = true
}

// Delay makes everything take this much longer, each way.
func (p *Proxy) Delay(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = d
}

// Close ends the proxy and waits for its goroutines.
func (p *Proxy) Close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.Cut()
	p.work.Wait()
}
