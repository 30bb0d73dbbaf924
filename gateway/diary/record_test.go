package diary_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	"karaula/gateway/diary"
	"karaula/gateway/mac"
	"karaula/internal/keyring"
	"karaula/internal/problem"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

var markKey = bytes.Repeat([]byte{3}, mac.KeySize)

func current(keys *keyring.Gateway) func() *keyring.Gateway {
	return func() *keyring.Gateway { return keys }
}

func gatewayKeys(t testing.TB) *keyring.Gateway {
	t.Helper()
	keys, err := keyring.NewGateway("al", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func look() *karaulav1.DeskEntry {
	return &karaulav1.DeskEntry{
		At: 1, Officer: "officer-17", Role: "officer", Deed: "show", Channel: "b01-al-me",
		Ledger: make([]byte, 32), Epoch: 1, Seq: 7, Reason: "case 12/2026 (invented)",
	}
}

// seal writes an entry down as number 1.
func seal(r *diary.Records, e *karaulav1.DeskEntry) ([]byte, error) {
	rec, err := r.Seal(e)
	if err != nil {
		return nil, err
	}
	data, _, err := r.Place(rec, diary.Place{})
	return data, err
}

func TestRecordsOpenForTheGatewayOnly(t *testing.T) {
	t.Parallel()
	keys := gatewayKeys(t)
	r := diary.NewRecords(current(keys), markKey)
	data, err := seal(r, look())
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"officer", "case", "invented", "b01"} {
		if strings.Contains(string(data), word) {
			t.Errorf("the broker reads %q", word)
		}
	}
	if short, err := seal(r, &karaulav1.DeskEntry{Officer: "o"}); err != nil || len(short) != len(data) {
		t.Errorf("the length tells what is inside: %d and %d bytes (%v)", len(short), len(data), err)
	}
	if err := keys.Rotate(time.Now()); err != nil {
		t.Fatal(err)
	}
	got, err := r.Open(data)
	if diff := cmp.Diff(look(), got, protocmp.Transform()); diff != "" || err != nil {
		t.Errorf("after a rotation: %v\n%s", err, diff)
	}
	other := gatewayKeys(t)
	if _, err := diary.NewRecords(current(other), markKey).Open(data); !problem.Is(err, problem.Locked) {
		t.Errorf("without the archive key: %v", err)
	}
}

// The archive key stands in the card. Whoever writes to the broker could seal to
// it what an officer never did.
func TestNobodyElseSaysWhatAnOfficerDid(t *testing.T) {
	t.Parallel()
	keys := gatewayKeys(t)
	r := diary.NewRecords(current(keys), markKey)
	forged, err := seal(diary.NewRecords(current(keys), bytes.Repeat([]byte{4}, mac.KeySize)), look())
	if err != nil {
		t.Fatal(err)
	}
	genuine, err := seal(r, look())
	if err != nil {
		t.Fatal(err)
	}
	changed := bytes.Clone(genuine)
	changed[len(changed)/2] ^= 1
	for name, data := range map[string][]byte{
		"nothing": nil, "forged": forged, "changed": changed, "without its code": genuine[:len(genuine)-34],
		"longer": append(bytes.Clone(genuine), 0), "endless": make([]byte, diary.MaxRecord+1),
	} {
		if _, err := r.Open(data); !problem.Is(err, problem.Verification) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzOpenRecord(f *testing.F) {
	keys := gatewayKeys(f)
	r := diary.NewRecords(current(keys), markKey)
	data, err := seal(r, look())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte{})
	mark := mac.Mark{Domain: "karaula/desk/v1\x00", Field: 6}
	f.Add(data[:len(data)-34])
	f.Fuzz(func(t *testing.T, data []byte) {
		// whatever the broker holds, marked as if it were the gateway's own
		for _, d := range [][]byte{data, mark.Add(markKey, bytes.Clone(data))} {
			if e, err := r.Open(d); (e == nil) == (err == nil) {
				t.Errorf("%v %v", e, err)
			}
		}
	})
}
