package faults

import (
	"os/exec"
	"runtime"
	"sync"
	"syscall"
)

// starts hands commands to the one thread that starts them all. The kernel
// kills a child when the thread that started it ends, so that thread must live
// as long as the test process.
var starts = sync.OnceValue(func() chan func() {
	ch := make(chan func())
	go func() {
		runtime.LockOSThread()
		for f := range ch {
			f()
		}
	}()
	return ch
})

// startTied starts a command that is killed when this process ends, however
// that happens.
func startTied(c *exec.Cmd) error {
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	done := make(chan error, 1)
	starts() <- func() { done <- c.Start() }
	return <-done
}
