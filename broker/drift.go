package broker

import (
	"bytes"
	"os"

	"github.com/nats-io/nats-server/v2/server"

	"karaula/internal/problem"
)

// given remembers the text of the configuration that the server was given.
func (a *Agent) given(p Plan) {
	text, err := Compile(p)
	if err != nil {
		return // [Prepare] has compiled the same plan
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.text = text
}

// Drift says how the broker differs from what its agreements give: the plan is
// not in force, the file on disk is not what was compiled, or the server runs
// something else than the file. Nil if nothing differs. A change that is just
// being put in force may show as a difference for a moment.
func (a *Agent) Drift() error {
	a.mu.Lock()
	failed, text := a.status.Problem, a.text
	a.mu.Unlock()
	if failed != "" {
		return problem.New(problem.Failed, "the plan is not in force: %s", failed).WithHint("the broker's log says more")
	}
	onDisk, err := os.ReadFile(a.o.Config)
	if err != nil || !bytes.Equal(onDisk, text) {
		return problem.New(problem.Verification, "the configuration on disk is not the one that was compiled").
			WithHint("restart the broker: it is compiled anew; and ask who changed it")
	}
	return a.broker.Runs(a.o.Config)
}

// Runs reports, as an error, that the server runs another configuration than the
// file holds: by the digest that the server took when it read the file.
func (e *Embedded) Runs(configFile string) error {
	opts, err := server.ProcessConfigFile(configFile)
	if err != nil {
		return problem.Wrap(problem.Invalid, err, "%s is not taken by the broker", configFile)
	}
	stats, err := e.Varz()
	if err != nil {
		return problem.Wrap(problem.Unreachable, err, "the broker gives no statistics")
	}
	if opts.ConfigDigest() != stats.ConfigDigest {
		return problem.New(problem.Verification, "the broker runs another configuration than the one on disk").
			WithHint("restart the broker")
	}
	return nil
}
