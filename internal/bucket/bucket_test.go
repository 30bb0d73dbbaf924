package bucket_test

import (
	"testing"
	"time"

	"karaula/internal/bucket"
)

func TestBucketAdmitsBurstThenRate(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_000, 0)
	b := bucket.New(10, 3, now)
	for i := range 3 {
		if !b.Take(now) {
			t.Fatalf("request %d of the burst was refused", i)
		}
	}
	if b.Take(now) {
		t.Fatal("a fourth one was admitted")
	}
	if w := b.Wait(); w <= 0 || w > 100*time.Millisecond {
		t.Errorf("wait = %s, want up to 100ms", w)
	}
	if !b.Take(now.Add(100 * time.Millisecond)) {
		t.Error("nothing was admitted after the wait")
	}
	now = now.Add(time.Hour)
	for range 3 {
		b.Take(now)
	}
	if b.Take(now) {
		t.Error("an hour saved up more than the burst")
	}
	if b.Take(now.Add(-time.Hour)) {
		t.Error("a clock that goes back gave a token")
	}
}

func TestBucketIsInDebtAfterADearRequest(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_000, 0)
	b := bucket.New(10, 3, now)
	b.Take(now)
	b.Spend(20)
	if b.Take(now.Add(1700 * time.Millisecond)) {
		t.Error("admitted before the debt was paid")
	}
	if !b.Take(now.Add(2 * time.Second)) {
		t.Error("not admitted afterwards")
	}
}
