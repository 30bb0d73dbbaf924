package gateway

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	"karaula/gateway/book"
	"karaula/gateway/desk"
	"karaula/gateway/diary"
	"karaula/gateway/index"
	"karaula/gateway/stream"
	"karaula/internal/ledger"
	"karaula/internal/problem"
	"karaula/internal/searchkey"
	"karaula/internal/subject"
	"karaula/internal/testworld"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

func askPlate(number, country string) *karaulav1.Question {
	return &karaulav1.Question{About: &karaulav1.Question_Plate{Plate: &karaulav1.PlateQuestion{Number: number, Country: country}}}
}

func lookUpOf(questions ...*karaulav1.Question) *connect.Request[karaulav1.LookUpRequest] {
	return connect.NewRequest(&karaulav1.LookUpRequest{
		Questions: questions, Purpose: karaulav1.Purpose_PURPOSE_PREVENTION, Reason: "check at the crossing (invented)",
	})
}

func (h *house) lookUp(questions ...*karaulav1.Question) *karaulav1.LookUpResponse {
	h.t.Helper()
	resp, err := h.desk.LookUp(h.ctx, lookUpOf(questions...))
	if err != nil {
		h.t.Fatal(desk.FromConnect(err))
	}
	return resp.Msg
}

// A plate that was said is found, also as somebody else would write it, also
// after a start, also when the index file is lost or damaged; what an update took out is not.
func TestLookUp(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start()
	a := testworld.Alert(karaulav1.AlertType_ALERT_TYPE_VEHICLE)
	a.Id = book.IDText(desk.NewAlertID(testworld.Start))
	if _, err := h.send(h.ctx, a); err != nil {
		t.Fatal(desk.FromConnect(err))
	}
	look := func(what string) {
		t.Helper()
		got := h.lookUp(askPlate("ZZ000ZZ", ""), askPlate("ZZ 001 ZZ", "ZZ"), askPlate("…", ""))
		if !got.GetComplete() || len(got.GetAnswers()) != 3 {
			t.Fatalf("%s: %v", what, got)
		}
		m := got.GetAnswers()[0].GetMatches()
		if len(m) != 1 || m[0].GetAlertId() != a.GetId() || m[0].GetOrigin() != "al" || !slices.Equal(m[0].GetChannels(), []string{channelID}) {
			t.Errorf("%s: %v", what, m)
		}
		if n := len(got.GetAnswers()[1].GetMatches()); n != 0 {
			t.Errorf("%s: %d matches of another plate", what, n)
		}
		if got.GetAnswers()[2].GetError() == "" {
			t.Errorf("%s: a question without a number has no error", what)
		}
	}
	look("at once")
	file := h.gateway.o.Layout.Index()
	again := func(what string, change func()) {
		h.stop()
		change()
		h.start()
		h.until("completeness", h.gateway.complete)
		look(what)
	}
	again("after a start", func() {})
	again("without the file", func() { must(t, os.Remove(file)) })
	again("with a damaged file", func() {
		b, err := os.ReadFile(file)
		must(t, err)
		b[len(b)-1] ^= 1
		must(t, os.WriteFile(file, b, 0o600))
	})
	again("with a file of something else", func() { must(t, os.WriteFile(file, bytes.Repeat([]byte("x"), 1000), 0o600)) })
	if b, err := os.ReadFile(filepath.Clean(file)); err != nil || bytes.Contains(b, []byte("ZZ")) && bytes.Contains(b, []byte("000")) {
		t.Error("the file shows the plate, or cannot be read:", err)
	}

	a.Version, a.Lifecycle = 2, karaulav1.Lifecycle_LIFECYCLE_UPDATE
	a.GetVehicle().Plates[0].Number = "ZZ 111 ZZ"
	if _, err := h.send(h.ctx, a); err != nil {
		t.Fatal(desk.FromConnect(err))
	}
	got := h.lookUp(askPlate("ZZ 000 ZZ", "ZZ"), askPlate("ZZ 111 ZZ", "ZZ"))
	if len(got.GetAnswers()[0].GetMatches()) != 0 || len(got.GetAnswers()[1].GetMatches()) != 1 {
		t.Errorf("after an update: %v", got)
	}
}

// Who asked, what for and why is kept, and not what was asked.
func TestALookUpIsRecorded(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start()
	h.lookUp(askPlate("AA 000 TT", "AL"))
	var last *karaulav1.DeskEntry
	must(t, stream.Open(h.broker.JS, subject.DeskStream).Read(t.Context(), 1, "", func(m stream.Stored) (err error) {
		last, err = diary.NewRecords(h.gateway.o.Keys.Keys, deskKey(h.gateway.o.Keys.Keys())).Open(m.Data)
		return err
	}))
	last.At = 0
	if last.GetDeed() != "look-up" || last.GetOfficer() != "operator" || last.GetPurpose() != karaulav1.Purpose_PURPOSE_PREVENTION ||
		len(last.GetAsked()) != 1 || len(last.GetMatched()) != 1 || strings.Contains(last.String(), "000") {
		t.Errorf("recorded: %v", last)
	}
	h.broker.Full(subject.DeskStream, true)
	if _, err := h.desk.LookUp(h.ctx, lookUpOf(askPlate("AA 000 TT", "AL"))); err == nil {
		t.Error("a look-up that could not be recorded was answered")
	}
}

func TestALookUpSaysEnough(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start()
	for what, change := range map[string]func(*karaulav1.LookUpRequest){
		"no purpose":         func(r *karaulav1.LookUpRequest) { r.Purpose = 0 },
		"an unknown purpose": func(r *karaulav1.LookUpRequest) { r.Purpose = 99 },
		"no reason":          func(r *karaulav1.LookUpRequest) { r.Reason = "" },
		"a long reason":      func(r *karaulav1.LookUpRequest) { r.Reason = string(make([]byte, 4097)) },
		"no questions":       func(r *karaulav1.LookUpRequest) { r.Questions = nil },
		"many questions":     func(r *karaulav1.LookUpRequest) { r.Questions = make([]*karaulav1.Question, 1001) },
		"a long tag":         func(r *karaulav1.LookUpRequest) { r.Questions[0].Tag = string(make([]byte, 65)) },
	} {
		req := lookUpOf(askPlate("AA 000 TT", "AL"))
		change(req.Msg)
		if _, err := h.desk.LookUp(h.ctx, req); !problem.Is(desk.FromConnect(err), problem.Invalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// BenchmarkLookUp is plates among a million current alerts: in the process; through
// the interface over the socket, each look-up recorded on disk before it is
// answered; and by a camera's batches of 1,000 from two callers.
func BenchmarkLookUp(b *testing.B) {
	const n = 1_000_000
	h := newHouse(b)
	h.start()
	fillIndex(h.gateway.index, n)
	plateAt := func(i int) *karaulav1.Question { return askPlate(fmt.Sprintf("AA %06d", i%n), "AL") }
	timed := func(b *testing.B, look func(i int) int) {
		b.Helper()
		var took []time.Duration
		for i := 0; b.Loop(); i += 7919 {
			before := time.Now()
			if look(i) == 0 {
				b.Fatal("not found")
			}
			took = append(took, time.Since(before))
		}
		slices.Sort(took)
		b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds())/1000, "p99-µs")
	}
	b.Run("in the process", func(b *testing.B) {
		timed(b, func(i int) int {
			list, err := searchkey.Ask(plateAt(i))
			must(b, err)
			m, _ := h.gateway.index.Find(h.gateway.index.Terms("", list), testworld.Start)
			return len(m)
		})
	})
	b.Run("recorded", func(b *testing.B) {
		timed(b, func(i int) int { return len(h.lookUp(plateAt(i)).GetAnswers()[0].GetMatches()) })
	})
	b.Run("batches", func(b *testing.B) {
		b.SetParallelism(2)
		b.RunParallel(func(pb *testing.PB) {
			for i := 0; pb.Next(); i += 7919 {
				questions := make([]*karaulav1.Question, 1000)
				for k := range questions {
					questions[k] = plateAt(i + k*31)
				}
				if _, err := h.desk.LookUp(h.ctx, lookUpOf(questions...)); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.ReportMetric(float64(b.N)*1000/b.Elapsed().Seconds(), "look-ups/s")
	})
}

// fillIndex enters alerts with the plates AA 000000 and on.
func fillIndex(x *index.Index, n int) {
	place := index.Place{Ledger: ledger.ID{1}, Channel: channelID, Origin: "me"}
	for i := range n {
		list, err := searchkey.Ask(askPlate(fmt.Sprintf("AA %06d", i), "AL"))
		if err != nil {
			panic(err)
		}
		e := index.Entry{
			Place: place, Version: 1, Type: karaulav1.AlertType_ALERT_TYPE_VEHICLE,
			EraseAfter: testworld.Start.AddDate(1, 0, 0).UnixMicro(), Terms: x.Terms("", list[:1]),
		}
		sum := sha256.Sum256(fmt.Append(nil, i))
		copy(e.ID[:], sum[:])
		x.Put(e)
	}
}

// BenchmarkRebuild is a start, until look-ups are complete, of a gateway that
// said 5,000 alerts: with the index file, and without, when every alert is opened.
func BenchmarkRebuild(b *testing.B) {
	const n = 5000
	h := newHouse(b)
	h.start()
	for range n / 500 {
		alerts := make([]*karaulav1.Alert, 500)
		for i := range alerts {
			alerts[i] = testworld.Alert(karaulav1.AlertType_ALERT_TYPE_VEHICLE)
			alerts[i].Id = book.IDText(desk.NewAlertID(testworld.Start))
		}
		if _, err := h.send(h.ctx, alerts...); err != nil {
			b.Fatal(desk.FromConnect(err))
		}
	}
	for _, file := range []string{"with", "without"} {
		b.Run(file+" the file", func(b *testing.B) {
			var sum time.Duration
			for b.Loop() {
				h.stop()
				if file == "without" {
					must(b, os.Remove(h.gateway.o.Layout.Index()))
				}
				before := time.Now()
				h.start()
				h.until("completeness", h.gateway.complete)
				sum += time.Since(before)
			}
			b.ReportMetric(sum.Seconds()/float64(b.N)*100_000/n, "s/100,000")
		})
	}
}
