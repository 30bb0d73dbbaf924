// Package bucket bounds how often somebody may ask: a token bucket whose clock is
// given, so that nobody has to wait for it in a test.
//
// It must never block: whoever gets no token is told so.
package bucket

import "time"

// Bucket is a token bucket. It is not safe for concurrent use.
type Bucket struct {
	rate   float64 // tokens per second
	burst  float64
	tokens float64
	last   time.Time
}

// New makes a full bucket.
func New(rate float64, burst int, now time.Time) *Bucket {
	return &Bucket{rate: rate, burst: float64(burst), tokens: float64(burst), last: now}
}

// Take takes a token if there is one.
func (b *Bucket) Take(now time.Time) bool {
	if d := now.Sub(b.last); d > 0 {
		b.tokens = min(b.burst, b.tokens+d.Seconds()*b.rate)
	}
	b.last = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

// Spend takes tokens that were used without being there: nobody is admitted
// until they have come in.
func (b *Bucket) Spend(tokens float64) { b.tokens -= tokens }

// Wait says how long it takes until there is a token.
func (b *Bucket) Wait() time.Duration {
	if b.tokens >= 1 {
		return 0
	}
	return time.Duration((1 - b.tokens) / b.rate * float64(time.Second))
}
