package faults

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"karaula/internal/node"
)

// Build builds the real command into a folder and gives its path. GOFLAGS
// applies: with GOFLAGS=-race the nodes look for data races.
func Build(ctx context.Context, dir string) (string, error) {
	path := filepath.Join(dir, "karaula")
	c := exec.CommandContext(ctx, "go", "build", "-o", path, "karaula/cmd/karaula")
	if out, err := c.CombinedOutput(); err != nil {
		return "", fmt.Errorf("the command was not built: %w: %s", err, out)
	}
	return path, nil
}

// Part is a process of a node.
type Part string

// The parts: a whole node, or its halves.
const (
	Whole   Part = "run"
	Broker  Part = "broker"
	Gateway Part = "gateway"
)

// The parts of a machine of a cluster besides the gateway.
const (
	Server Part = "nats-server" // the stock server
	Agent  Part = "agent"       // what keeps its configuration
)

// order is how parts are stopped.
var order = []Part{Whole, Gateway, Broker, Agent, Server}

// command gives the command line that runs a part.
func (n *Node) command(p Part) (bin string, args []string) {
	switch p {
	case Whole:
		return n.Bin, []string{"run", "--dir", n.Dir}
	case Server:
		return n.NATS, []string{"-c", node.Layout{Dir: n.Dir}.NATSConf()}
	case Agent:
		return n.Bin, []string{"broker", "agent", "--dir", n.Dir}
	default:
		return n.Bin, []string{string(p), "run", "--dir", n.Dir}
	}
}

// Node is one party's node: a folder, and the processes that run from it.
type Node struct {
	Party string
	// Dir is the node's folder.
	Dir string
	// Bin is the command, and NATS the stock nats-server.
	Bin, NATS string
	// Cluster is the node's broker, where it is one of several servers.
	Cluster *Cluster
	// Listen is where the node really listens.
	Listen string
	// Log collects what its processes write to standard error.
	Log string
	// Env is added to the environment of every process and command.
	Env []string
	// In is put before the command line of every process, to run it on another host.
	In []string
	// Before is put before the command line of a part, such as a tracer.
	Before map[Part][]string

	mu    sync.Mutex
	procs map[Part]*process
}

// process is one running process.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	err  error         // how it ended; set before done is closed
}

// readyTimeout bounds how long a part may take until it says that it runs.
const readyTimeout = 90 * time.Second

// Start starts parts one after the other and waits until each says that it
// runs: a gateway, that its channels are open.
func (n *Node) Start(ctx context.Context, parts ...Part) error {
	for _, p := range parts {
		if err := n.startOne(ctx, p, true); err != nil {
			return err
		}
	}
	return nil
}

// Launch starts parts and does not wait.
func (n *Node) Launch(ctx context.Context, parts ...Part) error {
	for _, p := range parts {
		if err := n.startOne(ctx, p, false); err != nil {
			return err
		}
	}
	return nil
}

func (n *Node) startOne(ctx context.Context, part Part, wait bool) error {
	log, err := os.OpenFile(n.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close() //nolint:errcheck // the process has its own copy
	bin, args := n.command(part)
	if before := slices.Concat(n.In, n.Before[part]); len(before) > 0 {
		bin, args = before[0], slices.Concat(before[1:], []string{bin}, args)
	}
	c := exec.Command(bin, args...)                        //nolint:noctx // it outlives the call; Kill and Stop end it
	fmt.Fprintf(log, "--- %s %s\n", n.Party, string(part)) //nolint:errcheck // for people
	c.Stderr = log
	c.Env = append(os.Environ(), n.Env...)
	out, err := c.StdoutPipe()
	if err != nil {
		return err
	}
	if err := startTied(c); err != nil {
		return err
	}
	p := &process{cmd: c, done: make(chan struct{})}
	ready := make(chan struct{})
	go func() {
		line, readErr := bufio.NewReader(out).ReadString('\n')
		if readErr == nil && line != "" {
			close(ready)
		}
		_, _ = io.Copy(io.Discard, out) // until it ends
		p.err = c.Wait()
		close(p.done)
	}()
	n.mu.Lock()
	if n.procs == nil {
		n.procs = map[Part]*process{}
	}
	n.procs[part] = p
	n.mu.Unlock()
	if !wait {
		return nil
	}
	select {
	case <-ready:
		return nil
	case <-p.done:
		return fmt.Errorf("%s of %s ended before it was ready: %w: %s", part, n.Party, p.err, n.Tail(1500))
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(readyTimeout):
		return fmt.Errorf("%s of %s does not get ready: %s", part, n.Party, n.Tail(1500))
	}
}

// take forgets a running process and gives it; nil if there is none.
func (n *Node) take(part Part) *process {
	n.mu.Lock()
	defer n.mu.Unlock()
	p := n.procs[part]
	delete(n.procs, part)
	return p
}

// Kill ends parts as kill -9 does, all at the same moment, and waits until they
// are gone.
func (n *Node) Kill(parts ...Part) error {
	var killed []*process
	for _, part := range parts {
		p := n.take(part)
		if p == nil {
			return fmt.Errorf("%s of %s does not run", part, n.Party)
		}
		select {
		case <-p.done:
			return fmt.Errorf("%s of %s had ended by itself: %w: %s", part, n.Party, p.err, n.Tail(1500))
		default:
		}
		if err := p.cmd.Process.Kill(); err != nil {
			return err
		}
		killed = append(killed, p)
	}
	for _, p := range killed {
		<-p.done
	}
	return nil
}

// stopTimeout bounds a graceful stop.
const stopTimeout = 60 * time.Second

// Stop ends everything that runs of the node, the gateway first, as an operator
// does it. Each part must end by itself and without an error.
func (n *Node) Stop() error { return n.StopParts(order...) }

// StopParts ends parts in this order, as far as they run.
func (n *Node) StopParts(parts ...Part) error {
	for _, part := range parts {
		p := n.take(part)
		if p == nil {
			continue
		}
		_ = p.cmd.Process.Signal(syscall.SIGTERM) // fails if it has ended, which shows below
		select {
		case <-p.done:
		case <-time.After(stopTimeout):
			_ = p.cmd.Process.Kill() // what follows says so
			return fmt.Errorf("%s of %s does not stop: %s", part, n.Party, n.Tail(1500))
		}
		if p.err != nil {
			return fmt.Errorf("%s of %s stopped with an error: %w: %s", part, n.Party, p.err, n.Tail(1500))
		}
	}
	return nil
}

// Clean kills whatever still runs; for the end of a test.
func (n *Node) Clean() {
	for _, part := range order {
		if p := n.take(part); p != nil {
			_ = p.cmd.Process.Kill() // it may have ended
			<-p.done
		}
	}
}

// PID gives the id of a part's process; 0 if it does not run, or has ended.
func (n *Node) PID(part Part) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	p := n.procs[part]
	if p == nil {
		return 0
	}
	select {
	case <-p.done:
		return 0
	default:
		return p.cmd.Process.Pid
	}
}

// Tail gives the end of the node's log, for messages.
func (n *Node) Tail(size int) string {
	raw, err := os.ReadFile(n.Log)
	if err != nil {
		return err.Error()
	}
	return string(raw[max(0, len(raw)-size):])
}

// Answer is what a command printed and how it ended.
type Answer struct {
	Out, Err string
	Code     int
}

// Run runs a command of the real program. An error means that it could not be
// run; a command that fails gives its exit code.
func (n *Node) Run(ctx context.Context, stdin string, args ...string) (Answer, error) {
	if n.Cluster != nil { // officers go where the gateway answers
		n = n.Cluster.Speaking(ctx)
	}
	return n.run(ctx, stdin, append(args, "--dir", n.Dir)...)
}

// Offline runs a command that needs no node.
func (n *Node) Offline(ctx context.Context, args ...string) (Answer, error) {
	return n.run(ctx, "", args...)
}

func (n *Node) run(ctx context.Context, stdin string, args ...string) (Answer, error) {
	c := exec.CommandContext(ctx, n.Bin, args...)
	var out, errs bytes.Buffer
	c.Env = append(os.Environ(), n.Env...)
	c.Stdin, c.Stdout, c.Stderr = strings.NewReader(stdin), &out, &errs
	err := startTied(c)
	if err == nil {
		err = c.Wait()
	}
	a := Answer{Out: out.String(), Err: errs.String()}
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Exited() {
		a.Code, err = exit.ExitCode(), nil
	}
	return a, err
}

// Status is what `karaula status --output json` says, as far as it is needed here.
type Status struct {
	Broker bool `json:"broker"`
	Links  []struct {
		Party   string `json:"party"`
		State   string `json:"state"`
		Trouble string `json:"trouble"`
	} `json:"links"`
	Channels []struct {
		Channel  string `json:"channel"`
		Phase    string `json:"phase"`
		Said     uint64 `json:"said"`
		Partners []struct {
			Party       string `json:"party"`
			JudgedTo    uint64 `json:"judged_to"`
			Backlog     uint64 `json:"backlog"`
			Received    uint64 `json:"received"`
			Judged      uint64 `json:"judged"`
			Held        uint64 `json:"held"`
			Quarantined uint64 `json:"quarantined"`
			Contested   bool   `json:"contested"`
		} `json:"partners"`
	} `json:"channels"`
	Warnings []string `json:"warnings"`
}

// Status asks the running node.
func (n *Node) Status(ctx context.Context) (*Status, error) {
	a, err := n.Run(ctx, "", "status", "--output", "json")
	if err != nil {
		return nil, err
	}
	if a.Code != 0 {
		return nil, fmt.Errorf("status of %s: exit code %d: %s", n.Party, a.Code, a.Err)
	}
	var s Status
	return &s, json.Unmarshal([]byte(a.Out), &s)
}

// Link gives the state of the link to a party: up, down or unverified; empty if
// there is none.
func (s *Status) Link(party string) string {
	for _, l := range s.Links {
		if l.Party == party {
			return l.State
		}
	}
	return ""
}
