package problem_test

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"karaula/internal/problem"
)

func TestProblemKeepsKindCauseAndHintThroughWrapping(t *testing.T) {
	t.Parallel()
	inner := problem.Wrap(problem.Locked, io.EOF, "key file %q is sealed; nothing was signed", "x").
		WithHint("give --passphrase-file")
	err := fmt.Errorf("outer: %w", inner)

	if got := problem.KindOf(err); got != problem.Locked {
		t.Errorf("KindOf = %v, want Locked", got)
	}
	if got := problem.HintOf(err); got != "give --passphrase-file" {
		t.Errorf("HintOf = %q", got)
	}
	if !errors.Is(err, io.EOF) {
		t.Error("the cause is lost")
	}
	if want := `key file "x" is sealed; nothing was signed: EOF`; inner.Error() != want {
		t.Errorf("Error = %q, want %q", inner.Error(), want)
	}
	if !problem.Is(err, problem.Locked) || problem.Is(err, problem.Failed) || problem.Is(nil, problem.Failed) {
		t.Error("Is does not follow the kind")
	}
}

func TestHintOfLooksBehindAProblemWithoutHint(t *testing.T) {
	t.Parallel()
	inner := problem.New(problem.NotFound, "no such file").WithHint("look elsewhere")
	if got := problem.HintOf(problem.Wrap(problem.Failed, inner, "could not read")); got != "look elsewhere" {
		t.Errorf("HintOf = %q", got)
	}
}

func TestKindOfPlainErrors(t *testing.T) {
	t.Parallel()
	if got := problem.KindOf(io.EOF); got != problem.Failed {
		t.Errorf("KindOf(EOF) = %v, want Failed", got)
	}
	if got := problem.KindOf(nil); got != 0 {
		t.Errorf("KindOf(nil) = %v, want 0", got)
	}
	if problem.HintOf(io.EOF) != "" {
		t.Error("a plain error has no hint")
	}
}

func TestExitCodesAreStable(t *testing.T) {
	t.Parallel()
	want := map[problem.Kind]string{
		1: "failed", 2: "invalid", 3: "not-allowed", 4: "locked", 5: "not-found",
		6: "verification-failed", 7: "unreachable", 8: "conflict", 10: "findings",
	}
	for kind, word := range want {
		if kind.String() != word {
			t.Errorf("kind %d is %q, want %q", int(kind), kind, word)
		}
	}
}
