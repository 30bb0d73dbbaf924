//go:build !linux

package faults

import "os/exec"

// startTied starts a command. Only on Linux is it killed with this process.
func startTied(c *exec.Cmd) error { return c.Start() }
