// Package imports sends the rows of a register's file as alerts, and keeps what it
// needs to know so that the same row is never two alerts: a file of records, each
// the keyed hash of a row's key, the id and version of its alert, and the keyed
// hash of its content. A record is synced before its alert is sent, so that an
// import can be killed at any moment and begun again. The node is asked first which
// alerts of the register stand: the ids have a mark, and one that the file does not
// know means that the file was lost, cut or put back from an older copy.
//
// It must never write a value of a row anywhere but into the alert, never take back
// an alert because a row could not be read, and never send anything by a file that
// knows less than the node.
package imports

import (
	"context"
	"time"

	"karaula/gateway/desk"
	"karaula/internal/table"
	karaulav1 "karaula/proto/gen/karaula/v1"
	"karaula/proto/gen/karaula/v1/karaulav1connect"
)

// Options says what to import.
type Options struct {
	// Node takes the alerts.
	Node    karaulav1connect.NodeServiceClient
	Channel string
	// Register is the register's name.
	Register string
	Rows     *table.Reader
	State    *State
	// Missing says to take back the alerts of rows that are gone, with Assessment
	// as the reason, and AtMost how many at the most (below 0: a tenth).
	Missing    bool
	AtMost     int
	Assessment string
	// ReplaceUnknown goes on where the state does not know all alerts of the register
	// that stand: rows are sent as it says, and then those alerts are taken back.
	ReplaceUnknown bool
	// DryRun reads, translates and checks, sends nothing and asks the node nothing.
	DryRun bool
	// Wait is how long a node that does not answer is asked again.
	Wait time.Duration
	// Fault is told what is wrong with each bad row, one at a time.
	Fault func(table.Fault)
	// Progress is told how far it is, after every batch.
	Progress func(Counts)
	Now      func() time.Time
}

// Counts is what became of the rows.
type Counts struct {
	Rows      int `json:"rows"`      // that were read
	New       int `json:"new"`       // sent as new alerts
	Updated   int `json:"updated"`   // sent as the next version
	Unchanged int `json:"unchanged"` // sent before, with the same content
	Repeated  int `json:"repeated"`  // stand in the file a second time, the same
	Bad       int `json:"bad"`       // could not be read, translated or sent
	Withdrawn int `json:"withdrawn"` // alerts of rows that are gone
	Missing   int `json:"missing"`   // rows that are gone and whose alerts stand
	Ended     int `json:"ended"`     // unchanged, but their alerts stand no more
	Replaced  int `json:"replaced"`  // alerts taken back that the state did not know
	Warnings  int `json:"warnings"`  // of the rules; they do not stop an alert
}

// job is one alert on its way.
type job struct {
	row   table.Row
	key   hash
	rec   Record
	alert *karaulav1.Alert
	isNew bool
}

// node is what the senders ask.
type node interface {
	send(ctx context.Context, list []*karaulav1.Alert) (at int, warnings int, err error)
	withdraw(ctx context.Context, id string) error
	version(ctx context.Context, id string) (version uint32, status string, err error)
	imported(ctx context.Context, register string) (mark desk.Mark, standing [][16]byte, err error)
}
