package erase

import "container/heap"

// message is one message of a stream with the content of an entry. It is in at most
// one queue.
type message struct {
	entry     *entry
	streamSeq uint64
	due       int64
	in        *queue
	index     int
}

// leave takes a message out of its queue.
func (m *message) leave() {
	if m.in != nil {
		heap.Remove(m.in, m.index)
	}
}

// queue is messages in an order, the first one first; a heap of container/heap.
type queue struct {
	list []*message
	less func(a, b *message) bool
}

func (q *queue) add(m *message) { heap.Push(q, m) }

// first gives the first ones in order, at most most, and leaves them where they are.
func (q *queue) first(most int) []*message {
	var out []*message
	for len(out) < most && len(q.list) > 0 {
		out = append(out, heap.Pop(q).(*message)) //nolint:forcetypeassert // there is nothing else in it
	}
	for _, m := range out {
		q.add(m)
	}
	return out
}

// Len, Less, Swap, Push and Pop are what container/heap needs.
func (q *queue) Len() int { return len(q.list) }

func (q *queue) Less(i, j int) bool { return q.less(q.list[i], q.list[j]) }

func (q *queue) Swap(i, j int) {
	q.list[i], q.list[j] = q.list[j], q.list[i]
	q.list[i].index, q.list[j].index = i, j
}

func (q *queue) Push(x any) {
	m := x.(*message) //nolint:forcetypeassert // nothing else is ever pushed
	m.in, m.index = q, len(q.list)
	q.list = append(q.list, m)
}

func (q *queue) Pop() any {
	last := len(q.list) - 1
	m := q.list[last]
	q.list[last] = nil
	q.list = q.list[:last]
	m.in = nil
	return m
}
