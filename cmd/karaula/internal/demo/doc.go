// Package demo starts six real nodes in one process and lets them play a
// script: every node with its own folder, keys, broker and TLS listener on
// loopback, and nothing shared between them but the network.
//
// It checks what it shows: what should have arrived by the agreements is
// compared with what every node's own list holds at the end, and any
// difference fails the demo. It must never take a short cut around a gateway,
// except where the script says that a partner is hostile.
package demo

import (
	"time"

	"karaula/internal/problem"
)

// Event is one thing that happened, as --output json prints it, one a line.
type Event struct {
	// At is when it happened.
	At time.Time `json:"at"`
	// Event is its word: ready, agreement, say, received, refused, note, cut,
	// back, suspended, resumed, hostile, put-aside, delivered, late, summary.
	Event string `json:"event"`
	// Step is the number of the step in the script, from 1; 0 outside of it.
	Step int `json:"step,omitempty"`
	// Party is who did it or saw it.
	Party string `json:"party,omitempty"`
	// Channel and Type say what it is about.
	Channel string `json:"channel,omitempty"`
	Type    string `json:"type,omitempty"`
	// Alert is the alert's id.
	Alert string `json:"alert,omitempty"`
	// Why is the clause or reason.
	Why string `json:"why,omitempty"`
	// Millis is how long after it was said, in milliseconds.
	Millis float64 `json:"ms,omitempty"`
	// Text says it for people.
	Text string `json:"text,omitempty"`
	// OK is set in a summary.
	OK *bool `json:"ok,omitempty"`
	// Counts are set in a summary.
	Counts *Counts `json:"counts,omitempty"`
}

// Counts sum up a demo.
type Counts struct {
	Nodes      int `json:"nodes"`
	Agreements int `json:"agreements"`
	Said       int `json:"alerts_said"`
	Deliveries int `json:"deliveries_expected"`
	Received   int `json:"deliveries_seen"`
	Receipts   int `json:"deliveries_receipted"`
	Forbidden  int `json:"alerts_not_allowed"`
	Hostile    int `json:"hostile_messages"`
	Repelled   int `json:"hostile_messages_repelled"`
	Missing    int `json:"missing"`
	Surplus    int `json:"surplus"`
}

// failed is the error of a demo in which something went otherwise than the
// agreements say.
func failed(missing, surplus int) error {
	return problem.New(problem.Failed, "the demo found %d missing and %d surplus deliveries", missing, surplus).
		WithHint("run it with --dir DIR to keep the nodes, and look with: karaula status --dir DIR/CODE")
}
