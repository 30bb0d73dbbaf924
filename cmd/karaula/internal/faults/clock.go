package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// clockFile names, for a command that [BuildClock] built, the file that says by how
// many seconds its clock is wrong.
const clockFile = "KARAULA_CLOCK"

// BuildClock builds the command so that its clock can be set wrong while it runs. The
// program's source is untouched: Go's own package time is replaced as it is compiled
// (go build -overlay), so that everything in the process sees the same wrong clock,
// nats-server and TLS too. Timers go on, as they do when a clock is set.
func BuildClock(ctx context.Context, dir string) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return "", err
	}
	std := filepath.Join(strings.TrimSpace(string(out)), "src", "time")
	source, err := os.ReadFile(filepath.Join(std, "time.go"))
	if err != nil {
		return "", err
	}
	const now = "func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n"
	changed := strings.Replace(string(source), now, now+"\tsec += wrongBy()\n", 1)
	if changed == string(source) {
		return "", fmt.Errorf("%s is not as expected: no clock can be set wrong with this Go", std)
	}
	overlay := map[string]map[string]string{"Replace": {}}
	for name, text := range map[string]string{"time.go": changed, "wrong.go": wrongClock} {
		path := filepath.Join(dir, "overlay-"+name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return "", err
		}
		overlay["Replace"][filepath.Join(std, name)] = path
	}
	raw, err := json.Marshal(overlay)
	if err != nil {
		return "", err
	}
	list, bin := filepath.Join(dir, "overlay.json"), filepath.Join(dir, "karaula-clock")
	if err := os.WriteFile(list, raw, 0o600); err != nil {
		return "", err
	}
	if out, err := exec.CommandContext(ctx, "go", "build", "-overlay", list, "-o", bin, "karaula/cmd/karaula").CombinedOutput(); err != nil {
		return "", fmt.Errorf("the command was not built: %w: %s", err, out)
	}
	return bin, nil
}

// wrongClock is the file that comes to package time: twenty times a second it looks
// how wrong the clock is to be. Now is also called where no system call may be made.
const wrongClock = `package time

import (
	"sync/atomic"
	"syscall"
)

var wrongSec atomic.Int64

func wrongBy() int64 { return wrongSec.Load() }

func init() {
	name, ok := syscall.Getenv("` + clockFile + `")
	if !ok {
		return
	}
	lookHowWrong(name)
	go func() {
		for {
			Sleep(50 * Millisecond)
			lookHowWrong(name)
		}
	}()
}

func lookHowWrong(name string) {
	fd, err := open(name)
	if err != nil {
		return
	}
	var b [32]byte
	n, _ := read(fd, b[:])
	closefd(fd)
	sec, sign := int64(0), int64(1)
	for _, c := range b[:max(n, 0)] {
		switch {
		case c == '-':
			sign = -1
		case c >= '0' && c <= '9':
			sec = sec*10 + int64(c-'0')
		}
	}
	wrongSec.Store(sign * sec)
}
`

// SetClock sets the clock of a node wrong by so much, from now on, while it runs.
func (n *Node) SetClock(wrong time.Duration) error {
	name := n.Dir + ".clock"
	if err := os.WriteFile(name+".new", fmt.Appendf(nil, "%d\n", int64(wrong.Seconds())), 0o600); err != nil {
		return err
	}
	n.Env = []string{clockFile + "=" + name}
	if err := os.Rename(name+".new", name); err != nil {
		return err
	}
	time.Sleep(100 * time.Millisecond) // until it is looked at
	return nil
}
