package bench

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/csv"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"karaula/cmd/karaula/internal/imports"
	"karaula/gateway/desk"
	"karaula/internal/alert"
	"karaula/internal/problem"
	"karaula/internal/table"
)

// registerMap is the map of the invented register that is imported.
//
//go:embed register.map.yaml
var registerMap []byte

// measureImport imports as many rows as alerts were sent, of the same size, as
// `karaula alert import` does: over the socket, with the state of the import synced.
func (s *stage) measureImport(ctx context.Context, res *Result) (err error) {
	file, err := registerFile(s.o.Alerts, s.o.Size)
	if err != nil {
		return err
	}
	m, err := table.ParseMap(registerMap)
	if err != nil {
		return err
	}
	rows, err := m.NewReader(bytes.NewReader(file))
	if err != nil {
		return err
	}
	state, err := imports.OpenState(filepath.Join(s.dir, "import.state"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, state.Close()) }()
	s.o.Progress(fmt.Sprintf("import: a register of %d rows", s.o.Alerts))
	runtime.GC() // what the parts before left behind is theirs
	began, cpu := time.Now(), cpuTime()
	counts, err := imports.Run(ctx, imports.Options{
		Node: desk.Dial(s.from.Layout.Socket()), Channel: channel, Register: m.Register, Rows: rows, State: state, Wait: readyTimeout,
		Fault: func(table.Fault) {}, Progress: func(imports.Counts) {}, Now: time.Now,
	})
	if err != nil {
		return err
	}
	if counts.New != s.o.Alerts {
		return problem.New(problem.Failed, "of %d rows %d became alerts, %d are bad", s.o.Alerts, counts.New, counts.Bad)
	}
	own, err := status(ctx, s.from)
	if err != nil {
		return err
	}
	if err := s.awaitReceipts(ctx, own.GetSaid()); err != nil {
		return err
	}
	took := time.Since(began).Seconds()
	res.Import = Import{
		Rows: s.o.Alerts, Seconds: took, PerSecond: float64(s.o.Alerts) / took, CPUMicros: micros(cpuTime()-cpu, s.o.Alerts),
	}
	res.Import.OfEndToEnd = res.Import.PerSecond / res.EndToEnd.PerSecond
	res.Import.OfEndToEndCPU = res.EndToEnd.CPUMicros / res.Import.CPUMicros
	return nil
}

// registerFile makes a register of n rows whose alerts are of size bytes.
func registerFile(n, size int) ([]byte, error) {
	first, err := registerRows(1, "x")
	if err != nil {
		return nil, err
	}
	a, err := firstAlert(first)
	if err != nil {
		return nil, err
	}
	want := max(size-proto.Size(a), 1)
	return registerRows(n, strings.TrimSpace(strings.Repeat(filler, want/len(filler)+1)[:want]))
}

func registerRows(n int, text string) ([]byte, error) {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	list := [][]string{{"ROW", "PLATE", "VIN", "MAKE", "FROM", "UNTIL", "TEXT"}}
	for i := range n {
		list = append(list, []string{
			fmt.Sprint(i), fmt.Sprintf("ZZ %06d", i), fmt.Sprintf("ZZZTESTZ1Z%07d", i), "PRIMER",
			"2026-01-14 22:00", "2026-01-15 02:00", text,
		})
	}
	if err := w.WriteAll(list); err != nil {
		return nil, fmt.Errorf("the register: %w", err)
	}
	return b.Bytes(), nil
}

// firstAlert reads the alert of the first row.
func firstAlert(file []byte) (proto.Message, error) {
	m, err := table.ParseMap(registerMap)
	if err != nil {
		return nil, err
	}
	rows, err := m.NewReader(bytes.NewReader(file))
	if err != nil {
		return nil, err
	}
	row, fault, err := rows.Next()
	if err != nil || fault != nil {
		return nil, problem.New(problem.Failed, "the register cannot be read: %v, %v", err, fault)
	}
	a, fault := rows.Alert(row)
	if fault != nil {
		return nil, problem.New(problem.Failed, "the register has a bad row: %v", fault)
	}
	alert.Complete(a)
	return a, nil
}
