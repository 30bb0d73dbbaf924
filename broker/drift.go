package broker

import (
	"bytes"
	"os"

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
	switch same, err := a.server.runs(a.o.Config); {
	case err != nil:
		return problem.Wrap(problem.KindOf(err), err, "what the broker runs is not known")
	case !same:
		return problem.New(problem.Verification, "the broker runs another configuration than the one on disk").
			WithHint("restart the broker")
	}
	return nil
}
