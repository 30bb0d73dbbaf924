package gateway

import (
	"bytes"
	"log/slog"
	"testing"

	"karaula/internal/problem"
)

// What a partner offers is for the partner to decide, and how often; how much of
// it we log is not.
func TestTheSameFailureIsLoggedOnce(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	p := &partner{code: "me", g: &Gateway{log: slog.New(slog.NewTextHandler(&log, nil))}}
	for range 1000 {
		p.try("notice", problem.New(problem.Invalid, "no notice"))
	}
	p.try("notice", problem.New(problem.Invalid, "no notice either"))
	if n := bytes.Count(log.Bytes(), []byte("\n")); n != 2 {
		t.Errorf("%d lines, want 2", n)
	}
}
