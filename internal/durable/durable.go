// Package durable makes what was written to folders outlive a loss of power: a
// new or renamed file is found again only after its folder was synced, too
// (fsync(2)).
//
// It must never write or remove anything itself.
package durable

import (
	"errors"
	"os"
)

// SyncDir makes new names in a folder durable. Errors are the operating system's;
// the caller says what was written and what was not.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
