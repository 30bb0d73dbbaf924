package broker

import (
	"os"
	"strings"
	"testing"

	"karaula/internal/problem"
)

// What the agreements give, what is on disk and what the server runs are one.
func TestDriftBetweenPlanFileAndServer(t *testing.T) {
	t.Parallel()
	a := newSite(t).agency(t, nil)
	if err := a.agent.Drift(); err != nil {
		t.Fatalf("after the start: %v", err)
	}
	a.change(t, func(p *Plan) { fetches(p, "b01-al-me", "me", false) })
	eventually(t, "a change leaves a difference", func() bool { return a.agent.Drift() == nil })

	text, err := os.ReadFile(a.conf)
	if err != nil {
		t.Fatal(err)
	}
	wider := strings.Replace(string(text), "max_payload", "# by hand\nmax_payload", 1)
	if wider == string(text) {
		t.Fatal("the text has no max_payload any more")
	}
	write(t, a.conf, wider)
	if err := a.agent.Drift(); !problem.Is(err, problem.Verification) || !strings.Contains(err.Error(), "on disk") {
		t.Errorf("with a file edited by hand: %v", err)
	}

	// The server has read a file that was put back afterwards.
	narrow := strings.Replace(string(text), "max_payload", "ping_max: 3\nmax_payload", 1)
	write(t, a.conf, narrow)
	if err := a.agent.Broker().Reload(); err != nil {
		t.Fatal(err)
	}
	write(t, a.conf, string(text))
	if err := a.agent.Drift(); !problem.Is(err, problem.Verification) || !strings.Contains(err.Error(), "runs another") {
		t.Errorf("with a server that runs something else: %v", err)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
