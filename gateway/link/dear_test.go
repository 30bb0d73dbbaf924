package link

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"
)

// A partner that asks what takes long (the right edge of a ledger with millions
// of statements, for instance) is not admitted again until that is paid for.
func TestDearQuestionsCountAsMany(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	var mu sync.Mutex
	clock := time.Now()
	now := func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return clock
	}
	slow := &slowOwner{testOwner: new(testOwner), work: func() {
		mu.Lock()
		defer mu.Unlock()
		clock = clock.Add(2 * time.Second) // 2 s of work are 80 requests at 10 a second
	}}
	n.serve(slow.testOwner, func(o *ServeOptions) { o.Owner, o.Now = slow, now })
	nc, err := n.dial(nil)
	must(t, err)
	c := n.client(nc, func(o *ClientOptions) { o.Now = now })
	if _, err := c.GetFrontier(t.Context(), testLedger, 1, 9); err != nil {
		t.Fatal(err)
	}
	_, err = c.GetFrontier(t.Context(), testLedger, 1, 9)
	var r *Refused
	if !errors.As(err, &r) || r.Code != CodeTooOften {
		t.Errorf("the next one: %v, want %s", err, CodeTooOften)
	}
}

// slowOwner works on frontiers.
type slowOwner struct {
	*testOwner
	work func()
}

func (o *slowOwner) Frontier(ctx context.Context, p string, l [32]byte, epoch, size uint64) ([][]byte, error) {
	o.work()
	return o.testOwner.Frontier(ctx, p, l, epoch, size)
}
