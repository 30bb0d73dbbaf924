package imports

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"karaula/gateway/book"
	"karaula/gateway/desk"
	"karaula/internal/problem"
	"karaula/internal/table"
	karaulav1 "karaula/proto/gen/karaula/v1"
	"karaula/proto/gen/karaula/v1/karaulav1connect"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// runHeader names the run that a request is of.
const runHeader = "Test-Run"

// fake is a node that keeps the rules of versions, and loses its answer, or the
// caller its life, when told to. The page test of docs/import.md has a real one.
type fake struct {
	karaulav1connect.UnimplementedNodeServiceHandler
	mu     sync.Mutex
	alerts map[string][]*karaulav1.Alert // versions by id
	die    func() bool                   // after it has stored
	kill   func()                        // the caller of the run that goes on
	run    int
}

// begin begins a run, whose caller can be killed, and gives what its requests carry:
// one of a caller that is dead may still be on its way.
func (f *fake) begin(kill func()) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.run++
	f.kill = kill
	return strconv.Itoa(f.run)
}

// dies says after which requests the caller is killed.
func (f *fake) dies(die func() bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.die = die
}

// made is how many alerts there are.
func (f *fake) made() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.alerts)
}

func kind(k problem.Kind, at int) error {
	err := connect.NewError(connect.CodeUnknown, errors.New("alert 1 of 2: refused; nothing was sent"))
	err.Meta().Set("Karaula-Kind", fmt.Sprint(int(k)))
	if at > 0 {
		err.Meta().Set("Karaula-Alert", fmt.Sprint(at))
	}
	return err
}

func (f *fake) Send(
	ctx context.Context, req *connect.Request[karaulav1.SendRequest],
) (*connect.Response[karaulav1.SendResponse], error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	for i, a := range req.Msg.GetAlerts() {
		list := f.alerts[a.GetId()]
		switch v := int(a.GetVersion()); {
		case a.GetVehicle().GetModel() == "refused":
			return nil, kind(problem.NotAllowed, i+1)
		case v == len(list) && !proto.Equal(list[v-1], a), v < len(list), v > len(list)+1:
			return nil, kind(problem.Conflict, i+1)
		}
	}
	for _, a := range req.Msg.GetAlerts() {
		if list := f.alerts[a.GetId()]; len(list) < int(a.GetVersion()) {
			f.alerts[a.GetId()] = append(list, proto.CloneOf(a))
		}
	}
	if req.Header().Get(runHeader) == strconv.Itoa(f.run) && f.die() {
		f.kill()
		return nil, context.Canceled
	}
	return connect.NewResponse(&karaulav1.SendResponse{}), nil
}

func (f *fake) Change(
	_ context.Context, req *connect.Request[karaulav1.ChangeRequest],
) (*connect.Response[karaulav1.ChangeResponse], error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	list := f.alerts[req.Msg.GetAlertId()]
	if len(list) == 0 {
		return nil, kind(problem.NotFound, 0)
	}
	if list[len(list)-1].GetLifecycle() != karaulav1.Lifecycle_LIFECYCLE_WITHDRAW {
		f.alerts[req.Msg.GetAlertId()] = append(list, &karaulav1.Alert{Lifecycle: karaulav1.Lifecycle_LIFECYCLE_WITHDRAW})
	}
	return connect.NewResponse(&karaulav1.ChangeResponse{}), nil
}

func (f *fake) History(
	_ context.Context, req *connect.Request[karaulav1.HistoryRequest],
) (*connect.Response[karaulav1.HistoryResponse], error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := len(f.alerts[req.Msg.GetAlertId()])
	if n == 0 {
		return nil, kind(problem.NotFound, 0)
	}
	return connect.NewResponse(&karaulav1.HistoryResponse{State: &karaulav1.AlertState{
		Version: uint32(n), Status: "current", //nolint:gosec // a few
	}}), nil
}

func (f *fake) Imported(
	_ context.Context, req *connect.Request[karaulav1.ImportedRequest], out *connect.ServerStream[karaulav1.ImportedResponse],
) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	mark := desk.MarkOf("al", req.Msg.GetChannel(), req.Msg.GetRegister())
	if err := out.Send(&karaulav1.ImportedResponse{Mark: mark[:]}); err != nil {
		return err
	}
	for text, list := range f.alerts {
		id, _ := book.ParseID(text)
		if list[len(list)-1].GetLifecycle() == karaulav1.Lifecycle_LIFECYCLE_WITHDRAW || !mark.On(id) {
			continue
		}
		if err := out.Send(&karaulav1.ImportedResponse{AlertIds: id[:]}); err != nil {
			return err
		}
	}
	return nil
}

// standing gives the models of the alerts that stand, each once.
func (f *fake) standing(t *testing.T) map[string]int {
	t.Helper()
	out := map[string]int{}
	for _, list := range f.alerts {
		if a := list[len(list)-1]; a.GetLifecycle() != karaulav1.Lifecycle_LIFECYCLE_WITHDRAW {
			out[a.GetVehicle().GetModel()]++
		}
	}
	return out
}

// place is an import with its state file and its node.
type place struct {
	t     *testing.T
	path  string
	node  *fake
	url   string
	fault []table.Fault
}

func newPlace(t *testing.T) *place {
	t.Helper()
	node := &fake{alerts: map[string][]*karaulav1.Alert{}, die: func() bool { return false }}
	mux := http.NewServeMux()
	mux.Handle(karaulav1connect.NewNodeServiceHandler(node))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return &place{t: t, path: filepath.Join(t.TempDir(), "imports", "x.state"), node: node, url: server.URL}
}

const mapText = `register: test
key: [id]
constants:
  authority: Invented
  legal_basis: [Invented]
  purpose: detection
  handling: H1
  evaluation: {source: A, information: 1}
  actions: [seize]
  contact: {point: Invented}
  event_time: 2026-01-01T00:00:00Z
  vehicle: {reason: stolen, plates: [{number: ZZ 1, country: AL, status: stolen}]}
fields: {vehicle.model: {column: model}}
`

// run imports rows of "id,model".
func (p *place) run(edit func(*Options), rows ...string) (Counts, error) {
	p.t.Helper()
	m, err := table.ParseMap([]byte(mapText))
	if err != nil {
		p.t.Fatal(err)
	}
	r, err := m.NewReader(strings.NewReader("id,model\n" + strings.Join(rows, "\n") + "\n"))
	if err != nil {
		p.t.Fatal(err)
	}
	state, err := OpenState(p.path)
	if err != nil {
		p.t.Fatal(err)
	}
	defer state.Close() //nolint:errcheck // as if killed
	ctx, cancel := context.WithCancel(p.t.Context())
	defer cancel()
	run := p.node.begin(cancel)
	marked := connect.UnaryInterceptorFunc(func(next connect.UnaryFunc) connect.UnaryFunc {
		return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
			req.Header().Set(runHeader, run)
			return next(ctx, req)
		}
	})
	p.fault = nil
	o := Options{
		Node:    karaulav1connect.NewNodeServiceClient(http.DefaultClient, p.url, connect.WithInterceptors(marked)),
		Channel: "c", Register: "test", Rows: r,
		State: state, AtMost: -1, Assessment: "gone", Wait: time.Minute,
		Fault: func(f table.Fault) { p.fault = append(p.fault, f) }, Progress: func(Counts) {}, Now: func() time.Time { return now },
	}
	if edit != nil {
		edit(&o)
	}
	return Run(ctx, o)
}

// must compares what came of a run.
func (p *place) must(want Counts, edit func(*Options), rows ...string) {
	p.t.Helper()
	got, err := p.run(edit, rows...)
	if err != nil {
		p.t.Fatal(err)
	}
	if got.Warnings = 0; got != want {
		p.t.Errorf("%+v, want %+v; faults %v", got, want, p.fault)
	}
}

func withdraw(o *Options) { o.Missing, o.AtMost = true, 1 }

func TestARowIsOneAlert(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.must(Counts{Rows: 3, New: 2, Repeated: 1}, nil, "1,a", "2,b", "1,a")
	p.must(Counts{Rows: 2, Unchanged: 2}, nil, "2,b", "1,a")
	p.must(Counts{Rows: 3, Updated: 1, Unchanged: 1, Bad: 1}, nil, "1,a", "2,c", "2,d")
	p.must(Counts{Rows: 1, Unchanged: 1, Missing: 1}, nil, "1,a")
	p.must(Counts{Rows: 1, Unchanged: 1, Withdrawn: 1}, withdraw, "1,a")
	p.must(Counts{Rows: 1, Unchanged: 1}, withdraw, "1,a")
	p.must(Counts{Rows: 2, Unchanged: 1, New: 1}, nil, "1,a", "2,c") // it is back: another alert
	if got := p.node.standing(t); p.node.made() != 3 || got["a"] != 1 || got["c"] != 1 {
		t.Errorf("%v stand, %d alerts were made", got, p.node.made())
	}
}

func TestBadRowsDoNotHinderOthers(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.must(
		Counts{Rows: 7, New: 3, Bad: 4}, nil,
		"1,refused", "2,b", "3,refused", "4,refused", ",x", "6,d", "7,e",
	)
	p.must(Counts{Rows: 7, New: 2, Unchanged: 3, Bad: 2}, nil, "1,refused", "2,b", "3,c", "4,f", ",x", "6,d", "7,e")
	for _, f := range p.fault {
		if f.Line != 2 && f.Line != 6 || strings.Contains(f.Why, "nothing was sent") {
			t.Errorf("%+v", f)
		}
	}
}

func TestNothingIsWithdrawnInDoubt(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.must(Counts{Rows: 3, New: 3}, nil, "1,a", "2,b", "3,c")
	all := func(o *Options) { o.Missing, o.AtMost = true, 3 }
	for name, err := range map[string]error{
		"a row that cannot be read": second(p.run(all, "1,a", "2,b,c")),
		"too many":                  second(p.run(withdraw, "1,a")),
		"more than a tenth":         second(p.run(func(o *Options) { o.Missing = true }, "1,a")),
	} {
		if !problem.Is(err, problem.Conflict) || !strings.HasSuffix(err.Error(), "nothing was withdrawn") {
			t.Errorf("%s: %v", name, err)
		}
	}
	p.must(Counts{Rows: 3, Unchanged: 1, Bad: 2}, all, "1,a", "2,refused", "3,refused") // bad, but there
	if got := p.node.standing(t); len(got) != 3 {
		t.Errorf("%v stand", got)
	}
}

func second(_ Counts, err error) error { return err }

// An import that dies behind any request, with the file changing meanwhile, ends
// with one alert for each row, and with what the row holds last.
func TestKilledAnywhere(t *testing.T) {
	t.Parallel()
	for seed := range uint64(3) {
		p := newPlace(t)
		rng := rand.New(rand.NewPCG(seed, 1))
		var lock sync.Mutex
		p.node.dies(func() bool {
			lock.Lock()
			defer lock.Unlock()
			return rng.IntN(3) > 0
		})
		rows := make([]string, 1100)
		for i := range rows {
			rows[i] = fmt.Sprintf("%d,m%d-0", i, i)
		}
		for n := 1; ; n++ {
			_, err := p.run(nil, rows...)
			if err == nil {
				break
			}
			for range 50 {
				lock.Lock()
				i := rng.IntN(len(rows))
				lock.Unlock()
				rows[i] = fmt.Sprintf("%d,m%d-%d", i, i, n)
			}
			if n == 8 {
				p.node.dies(func() bool { return false })
			}
		}
		got := p.node.standing(t)
		if p.node.made() != len(rows) || len(got) != len(rows) {
			t.Fatalf("seed %d: %d alerts, %d stand, of %d rows", seed, p.node.made(), len(got), len(rows))
		}
		for _, row := range rows {
			if _, model, _ := strings.Cut(row, ","); got[model] != 1 {
				t.Fatalf("seed %d: %d alerts with %s", seed, got[model], model)
			}
		}
	}
}

// A record that was not written to its end is no record; a damaged head is told.
func TestStateThatWasCutOff(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.must(Counts{Rows: 2, New: 2}, nil, "1,a", "2,b")
	file, err := os.ReadFile(p.path)
	if err != nil {
		t.Fatal(err)
	}
	for cut := recordSize * 3; cut <= len(file); cut++ { // both are intended: no new alert can come of it
		if err := os.WriteFile(p.path, file[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := p.run(nil, "1,a", "2,b"); err != nil || p.node.made() != 2 {
			t.Fatalf("cut at %d: %d alerts, %v", cut, p.node.made(), err)
		}
	}
}

// What was synced and has changed since is told, wherever it is: rows that the state
// has forgotten would be sent once more. Zeros at the end are what a crash leaves.
func TestDamagedState(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.must(Counts{Rows: 3, New: 3}, nil, "1,a", "2,b", "3,c")
	file, err := os.ReadFile(p.path)
	if err != nil {
		t.Fatal(err)
	}
	for at := 0; at < len(file); at += 7 {
		damaged := slices.Clone(file)
		damaged[at] ^= 1
		if err := os.WriteFile(p.path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenState(p.path); !problem.Is(err, problem.Verification) {
			t.Fatalf("byte %d of %d: %v", at, len(file), err)
		}
		if kept, err := os.ReadFile(p.path); err != nil || !bytes.Equal(kept, damaged) {
			t.Fatalf("the damaged file was changed: %v", err)
		}
	}
	if err := os.WriteFile(p.path, append(slices.Clone(file), make([]byte, 3*recordSize+5)...), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := p.run(nil, "1,a", "2,b", "3,c"); err != nil || p.node.made() != 3 {
		t.Errorf("zeros at the end: %d alerts, %v", p.node.made(), err)
	}
}

// Two imports of a register at once would send rows twice.
func TestOneImportAtATime(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "x.state")
	s, err := OpenState(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenState(path); !problem.Is(err, problem.Conflict) {
		t.Errorf("a second one: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// The file holds nothing of a row.
func TestStateHoldsNoContent(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.must(Counts{Rows: 1, New: 1}, nil, "SECRETKEY,SECRETMODEL")
	file, err := os.ReadFile(p.path)
	if err != nil || strings.Contains(string(file), "SECRET") {
		t.Errorf("%v, %q", err, file)
	}
}
