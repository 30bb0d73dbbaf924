package demo

import (
	"bytes"
	_ "embed"
	"errors"
	"io"

	"go.yaml.in/yaml/v4"

	"karaula/internal/problem"
	"karaula/internal/terms"
)

// MaxScript is the largest script, in bytes.
const MaxScript = 256 << 10

// Script is what the six nodes play.
type Script struct {
	// Title is shown at the start.
	Title string `yaml:"title"`
	// Steps are played in order.
	Steps []Step `yaml:"steps"`
}

// Step is one step; exactly one of its actions is set.
type Step struct {
	// Note is shown before the step, or alone.
	Note string `yaml:"note"`
	// Say has a party send an example alert on a channel.
	Say *Say `yaml:"say"`
	// Cut takes a node off the network, Back brings it back.
	Cut  *At `yaml:"cut"`
	Back *At `yaml:"back"`
	// Suspend and Resume are acts of one party about an agreement.
	Suspend *Act `yaml:"suspend"`
	Resume  *Act `yaml:"resume"`
	// Forge has a hostile partner say something as somebody else, Replay
	// something that was said before, Trespass fetch a channel of others.
	Forge    *Forge    `yaml:"forge"`
	Replay   *Replay   `yaml:"replay"`
	Trespass *Trespass `yaml:"trespass"`
}

// Say is an alert to send.
type Say struct {
	From    string `yaml:"from"`
	Channel string `yaml:"channel"`
	// Alert names an example file without its ending.
	Alert string `yaml:"alert"`
	// Refused expects that no agreement allows it.
	Refused bool `yaml:"refused"`
}

// At names a node.
type At struct {
	Node string `yaml:"node"`
}

// Act is a suspension or resumption.
type Act struct {
	Party     string `yaml:"party"`
	Agreement string `yaml:"agreement"`
	Reason    string `yaml:"reason"`
}

// Forge is a forged statement.
type Forge struct {
	By      string `yaml:"by"`
	As      string `yaml:"as"`
	Channel string `yaml:"channel"`
}

// Replay is a repeated statement.
type Replay struct {
	By      string `yaml:"by"`
	Channel string `yaml:"channel"`
}

// Trespass is an attempt to fetch a channel that is not one's own.
type Trespass struct {
	By      string `yaml:"by"`
	At      string `yaml:"at"`
	Channel string `yaml:"channel"`
}

//go:embed script.yaml
var builtIn []byte

// BuiltIn gives the script that the demo plays by default.
func BuiltIn() (*Script, error) { return ParseScript(builtIn) }

// Text gives the built-in script as a file holds it.
func Text() []byte { return builtIn }

// ParseScript reads a script. Unknown fields are refused.
func ParseScript(body []byte) (*Script, error) {
	if len(body) > MaxScript {
		return nil, problem.New(problem.Invalid, "the script has more than %d bytes", MaxScript)
	}
	dec := yaml.NewDecoder(bytes.NewReader(body))
	dec.KnownFields(true)
	var s Script
	if err := dec.Decode(&s); err != nil {
		return nil, problem.Wrap(problem.Invalid, err, "the script cannot be read").
			WithHint("an example: karaula demo --print-script")
	}
	if err := dec.Decode(&Script{}); !errors.Is(err, io.EOF) {
		return nil, problem.New(problem.Invalid, "the script has more than one document")
	}
	for i, st := range s.Steps {
		if err := st.check(); err != nil {
			return nil, problem.Wrap(problem.Invalid, err, "step %d of the script", i+1)
		}
	}
	return &s, nil
}

// check holds a step to its form.
func (s *Step) check() error {
	n := 0
	var parties []string
	add := func(set bool, codes ...string) {
		if set {
			n++
			parties = append(parties, codes...)
		}
	}
	add(s.Say != nil, deref(s.Say).From)
	add(s.Cut != nil, deref(s.Cut).Node)
	add(s.Back != nil, deref(s.Back).Node)
	add(s.Suspend != nil, deref(s.Suspend).Party)
	add(s.Resume != nil, deref(s.Resume).Party)
	add(s.Forge != nil, deref(s.Forge).By, deref(s.Forge).As)
	add(s.Replay != nil, deref(s.Replay).By)
	add(s.Trespass != nil, deref(s.Trespass).By, deref(s.Trespass).At)
	if n > 1 || n == 0 && s.Note == "" {
		return problem.New(problem.Invalid, "a step has one action, or a note")
	}
	for _, p := range parties {
		if !terms.ValidParty(p) {
			return problem.New(problem.Invalid, "%q is no party code", p)
		}
	}
	return nil
}

func deref[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}
