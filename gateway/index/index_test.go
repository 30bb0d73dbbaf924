package index_test

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"karaula/gateway/index"
	"karaula/internal/ledger"
	"karaula/internal/searchkey"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

var (
	key = make([]byte, index.KeySize)
	now = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
)

func newIndex() *index.Index { return index.New(index.NewHasher(key)) }

func place(channel, origin string) index.Place {
	return index.Place{
		Ledger: ledger.NewID(channel, origin, karaulav1.Mode_MODE_ACTUAL, [32]byte{1}), Channel: channel, Origin: origin,
	}
}

func plate(number, country string) []searchkey.Term {
	q := &karaulav1.Question{About: &karaulav1.Question_Plate{
		Plate: &karaulav1.PlateQuestion{Number: number, Country: country},
	}}
	list, err := searchkey.Ask(q)
	if err != nil {
		panic(err)
	}
	return list
}

// entry is a vehicle with a plate.
func entry(x *index.Index, n byte, version uint32, at index.Place, number string) index.Entry {
	return index.Entry{
		Place: at, ID: [16]byte{15: n}, Version: version, Type: karaulav1.AlertType_ALERT_TYPE_VEHICLE,
		EraseAfter: now.Add(time.Hour).UnixMicro(), Terms: x.Terms("", plate(number, "AL")),
	}
}

func find(x *index.Index, number, country string) []index.Match {
	m, _ := x.Find(x.Terms("", plate(number, country)), now)
	return m
}

// A term of an exercise is a term of no other, and of nothing that is meant.
func TestExercisesShareNoTerms(t *testing.T) {
	t.Parallel()
	x := newIndex()
	list := plate("AA 000 TT", "AL")
	e := entry(x, 1, 1, place("x", "al"), "AA 000 TT")
	e.Terms = x.Terms("drina-26", list)
	x.Put(e)
	for exercise, want := range map[string]int{"drina-26": 1, "drina-2": 0, "una-26": 0, "": 0} {
		if m, _ := x.Find(x.Terms(exercise, list), now); len(m) != want {
			t.Errorf("%q finds %v, want %d", exercise, m, want)
		}
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	x := newIndex()
	b1, b2 := place("b01-al-me", "al"), place("t01-plav", "al")
	x.Put(entry(x, 1, 1, b1, "AA 000 TT"))
	x.Put(entry(x, 1, 1, b2, "AA 000 TT")) // said on two channels: one match
	x.Put(entry(x, 2, 1, b1, "AA 00O TT")) // looks alike
	got := find(x, "AA000TT", "AL")
	if len(got) != 2 || got[0].ID[15] != 1 || got[0].Rank() != searchkey.Exact || got[1].Rank() != searchkey.Possible {
		t.Fatalf("%+v", got)
	}
	if diff := cmp.Diff([]string{"b01-al-me", "t01-plav"}, got[0].Channels); diff != "" {
		t.Error(diff)
	}
	if got := find(x, "AA000TT", "ME"); got[0].Rank() != searchkey.Likely {
		t.Errorf("another country: %+v", got)
	}
	if got := find(x, "ZZ 999", "AL"); len(got) != 0 {
		t.Errorf("nothing is found as %+v", got)
	}
}

func TestCurrent(t *testing.T) {
	t.Parallel()
	at := place("b01-al-me", "al")
	t.Run("a correction", func(t *testing.T) {
		t.Parallel()
		x := newIndex()
		x.Put(entry(x, 1, 2, at, "BB 111"))
		x.Put(entry(x, 1, 1, at, "AA 000")) // comes late
		if len(find(x, "AA 000", "AL")) != 0 || len(find(x, "BB 111", "AL")) != 1 {
			t.Error("not version 2")
		}
	})
	t.Run("withdrawn", func(t *testing.T) {
		t.Parallel()
		x := newIndex()
		e := entry(x, 1, 2, at, "AA 000")
		e.Withdrawn = true
		x.Put(e)
		x.Put(entry(x, 1, 1, at, "AA 000"))
		if len(find(x, "AA 000", "AL")) != 0 {
			t.Error("found")
		}
	})
	t.Run("erased", func(t *testing.T) {
		t.Parallel()
		x := newIndex()
		x.Put(entry(x, 1, 1, at, "AA 000"))
		x.Put(entry(x, 2, 1, at, "BB 111"))
		x.Forget(at.Ledger, [16]byte{15: 1}, 1)
		x.Forget(at.Ledger, [16]byte{15: 2}, 2) // not the version that counts
		if len(find(x, "AA 000", "AL")) != 0 || len(find(x, "BB 111", "AL")) != 1 {
			t.Error("the wrong one is forgotten")
		}
	})
	t.Run("at its end", func(t *testing.T) {
		t.Parallel()
		x := newIndex()
		e := entry(x, 1, 1, at, "AA 000")
		e.EraseAfter = now.UnixMicro()
		x.Put(e)
		if len(find(x, "AA 000", "AL")) != 0 {
			t.Error("found")
		}
	})
	t.Run("another party's use of the id", func(t *testing.T) {
		t.Parallel()
		x := newIndex()
		x.Put(entry(x, 1, 1, at, "AA 000"))
		x.Put(entry(x, 1, 9, place("b01-al-me", "me"), "BB 111"))
		if len(find(x, "AA 000", "AL")) != 1 || len(find(x, "BB 111", "AL")) != 1 {
			t.Error("one party took the other's alert away")
		}
	})
}

// TestOneTermManyAlerts: the newest are found, and the answer says that it is cut.
func TestOneTermManyAlerts(t *testing.T) {
	t.Parallel()
	x := newIndex()
	for n := range 1000 {
		e := entry(x, 0, 1, place("b01-al-me", "al"), "AA 000")
		e.ID = [16]byte{0: byte(n >> 8), 1: byte(n)}
		x.Put(e)
	}
	got, more := x.Find(x.Terms("", plate("AA 000", "AL")), now)
	if len(got) != index.MaxMatches || !more || got[0].ID != [16]byte{0: 999 >> 8, 1: 999 & 0xff} {
		t.Errorf("%d matches, more: %v, first %x", len(got), more, got[0].ID)
	}
}

// TestAnyOrder: whatever the order in which versions arrive, and however often,
// the same is found; also over the index's own tidying.
func TestAnyOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		x, y := newIndex(), newIndex()
		var all []index.Entry
		for range rapid.IntRange(1, 40).Draw(t, "n") {
			e := entry(x, byte(rapid.IntRange(0, 3).Draw(t, "id")), uint32(rapid.IntRange(1, 4).Draw(t, "version")),
				place("b01-al-me", rapid.SampledFrom([]string{"al", "me"}).Draw(t, "origin")), "AA 000")
			e.Terms = x.Terms("", plate(fmt.Sprint("P", e.ID[15], e.Version, e.Origin), "AL"))
			e.Withdrawn = e.Version == 4
			all = append(all, e)
		}
		for _, e := range all {
			x.Put(e)
		}
		for _, e := range rapid.Permutation(slices.Concat(all, all)).Draw(t, "order") {
			y.Put(e)
		}
		y.Sweep(now)
		for _, e := range all {
			a, _ := x.Find(e.Terms, now)
			b, _ := y.Find(e.Terms, now)
			if diff := cmp.Diff(a, b); diff != "" {
				t.Fatal(diff)
			}
		}
	})
}

// TestTidying: what is superseded leaves no posting behind, what is current stays.
func TestTidying(t *testing.T) {
	t.Parallel()
	x := newIndex()
	at := place("b01-al-me", "al")
	for version := range uint32(12_000) {
		x.Put(entry(x, 1, version+1, at, fmt.Sprintf("AA %d", version)))
	}
	x.Put(entry(x, 2, 1, at, "BB 111"))
	alerts, terms := x.Size()
	if alerts != 2 || terms > 3*6000 {
		t.Errorf("%d alerts, %d terms", alerts, terms)
	}
	if len(find(x, "AA 11999", "AL")) != 1 || len(find(x, "BB 111", "AL")) != 1 {
		t.Error("what is current was tidied away")
	}
}

// BenchmarkFind is one plate among a million alerts, and beside it the bare read
// of a Go map of that size.
func BenchmarkFind(b *testing.B) {
	const n = 1_000_000
	x := newIndex()
	at := place("b01-al-me", "al")
	bare := make(map[index.Hash]uint32, n)
	for i := range n {
		e := entry(x, 0, 1, at, fmt.Sprintf("AA %06d", i))
		sum := sha256.Sum256(fmt.Append(nil, i))
		copy(e.ID[:], sum[:])
		x.Put(e)
		bare[e.Terms[0].Hash] = uint32(i) //nolint:gosec // a million
	}
	hasher := index.NewHasher(key)
	b.Run("look-up", func(b *testing.B) {
		i := 0
		for b.Loop() {
			i = (i + 7919) % n
			if len(find(x, fmt.Sprintf("AA %06d", i), "AL")) == 0 {
				b.Fatal("not found")
			}
		}
	})
	b.Run("bare map", func(b *testing.B) {
		i := 0
		for b.Loop() {
			i = (i + 7919) % n
			if _, ok := bare[hasher.Hash("", plate(fmt.Sprintf("AA %06d", i), "AL")[0])]; !ok {
				b.Fatal("not found")
			}
		}
	})
}
