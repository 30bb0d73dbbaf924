// Package bench measures the whole way of an alert between two real nodes in
// one process: their own folders, keys, brokers and disks, and nothing between
// them but TLS on loopback. Everything is synced as in production.
//
// All figures come from one run on one machine, so that their ratios mean
// something: what the cryptography alone would allow (the floor), what the
// product does with it (end to end), and what the obvious loop would do.
//
// It must never take a short cut that an officer's console could not take:
// alerts go in at the desk, and count only when the recipient's border check
// has accepted them and its signed receipts are back.
package bench

import (
	"log/slog"
	"time"

	"karaula/internal/problem"
)

// Limits of a run.
const (
	// MinAlerts is the fewest alerts of the end-to-end part.
	MinAlerts = 10
	// MaxAlerts is the most.
	MaxAlerts = 200_000
	// MinSize is the least content, in bytes of protobuf.
	MinSize = 1000
	// MaxSize is the most.
	MaxSize = 4500
)

// Options say what to measure.
type Options struct {
	// Alerts is how many go end to end, and how many operations the floor does.
	Alerts int
	// Size is how long one alert is as protobuf, before it is framed and sealed.
	Size int
	// Dir is where the nodes' folders are made, and kept; empty: a temporary
	// folder. The disk under it is what is measured.
	Dir string
	// Progress is told what begins; may be nil.
	Progress func(text string)
	// Loaded is called around the end-to-end part, for a profile; may be nil.
	Loaded  func() (done func())
	Version string
	Logger  *slog.Logger
}

// Result is what a run found out.
type Result struct {
	Setting  Setting  `json:"setting"`
	Floor    Floor    `json:"floor"`
	EndToEnd EndToEnd `json:"end_to_end"`
	Import   Import   `json:"import"`
	Loop     Loop     `json:"loop"`
	Latency  Latency  `json:"latency"`
}

// Setting is what was measured on.
type Setting struct {
	Cores      int     `json:"cores"`
	Go         string  `json:"go"`
	Size       int     `json:"alert_bytes"` // content as protobuf
	Sealed     int     `json:"sealed_bytes"`
	Filesystem string  `json:"filesystem"`
	SyncMillis float64 `json:"sync_ms"` // one synced write of 4 KiB, mean
}

// Floor is the cryptography alone: seal to two recipients, sign, verify, open
// one copy, on all cores, with nothing stored, sent or checked.
type Floor struct {
	Operations int     `json:"operations"`
	Seconds    float64 `json:"seconds"`
	PerSecond  float64 `json:"per_second"`
	CPUMicros  float64 `json:"cpu_us"` // processor time of one operation
}

// EndToEnd is the product: from the sender's desk until the recipient has
// accepted every alert and its receipts for all of them are back.
type EndToEnd struct {
	Alerts    int     `json:"alerts"`
	Callers   int     `json:"callers"`
	Batch     int     `json:"batch"` // alerts in one request
	Seconds   float64 `json:"seconds"`
	PerSecond float64 `json:"per_second"`
	CPUMicros float64 `json:"cpu_us"`   // processor time of one alert, both nodes
	OfFloor   float64 `json:"of_floor"` // PerSecond / Floor.PerSecond
	// OfFloorCPU is the same by processor time: Floor.CPUMicros / CPUMicros. It
	// hardly changes when others use the machine too.
	OfFloorCPU float64 `json:"of_floor_cpu"`
	Receipts   uint64  `json:"receipts"` // statements that the recipient said
	Share      float64 `json:"receipts_per_alert"`
	SenderDisk int64   `json:"sender_bytes_per_alert"` // stream, journal, desk
	OtherDisk  int64   `json:"recipient_bytes_per_alert"`
}

// Import is a register's file on the same way: read, translated, sent over the
// socket, each row remembered on disk before its alert is sent, until the receipts
// for all of them are back.
type Import struct {
	Rows          int     `json:"rows"`
	Seconds       float64 `json:"seconds"`
	PerSecond     float64 `json:"per_second"`
	CPUMicros     float64 `json:"cpu_us"`            // processor time of one row, both nodes and the import
	OfEndToEnd    float64 `json:"of_end_to_end"`     // PerSecond / EndToEnd.PerSecond
	OfEndToEndCPU float64 `json:"of_end_to_end_cpu"` // EndToEnd.CPUMicros / CPUMicros
}

// Loop is what a caller gets who says one alert and waits until the recipient
// has accepted it and the receipt is back, before he says the next.
type Loop struct {
	Alerts         int     `json:"alerts"`
	Seconds        float64 `json:"seconds"`
	PerSecond      float64 `json:"per_second"`
	AcceptedMillis float64 `json:"accepted_ms"` // median
	ReceiptMillis  float64 `json:"receipt_ms"`  // median
	Times          float64 `json:"times"`       // EndToEnd.PerSecond / PerSecond
	// AcceptedPerSecond is what the loop would have done if it had not waited
	// for receipts, which gateways gather: 1 / the mean time until accepted.
	AcceptedPerSecond float64 `json:"accepted_per_second"`
	AcceptedTimes     float64 `json:"accepted_times"` // EndToEnd.PerSecond / AcceptedPerSecond
}

// Latency is the time from handing an alert to the sender's desk until the
// recipient has accepted it, when there is little to do.
type Latency struct {
	Alerts         int     `json:"alerts"`
	IntervalMillis float64 `json:"interval_ms"`
	P50Millis      float64 `json:"p50_ms"`
	P99Millis      float64 `json:"p99_ms"`
}

// check refuses what cannot be measured.
func (o *Options) check() error {
	if o.Alerts < MinAlerts || o.Alerts > MaxAlerts {
		return problem.New(problem.Invalid, "%d alerts; a run takes %d to %d", o.Alerts, MinAlerts, MaxAlerts)
	}
	if o.Size < MinSize || o.Size > MaxSize {
		return problem.New(problem.Invalid, "alerts of %d bytes; a run takes %d to %d", o.Size, MinSize, MaxSize)
	}
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	if o.Loaded == nil {
		o.Loaded = func() func() { return func() {} }
	}
	return nil
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
