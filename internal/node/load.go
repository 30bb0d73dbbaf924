package node

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"karaula/internal/problem"
)

// MaxConfig is the most that node.yaml may have, in bytes.
const MaxConfig = 64 << 10

// lostHint is for who has no good node.yaml any more.
const lostHint = "put node.yaml back from a backup (karaula restore makes a new folder), or write it again: docs/configuration.md"

// Load reads and checks the configuration of the node in dir, and says
// everything that is wrong with it at once.
func Load(dir string) (*Config, error) {
	path := Layout{Dir: dir}.Config()
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(Layout{Dir: dir}.GatewayKeys()); err == nil {
			return nil, problem.New(problem.NotFound, "%s is not there, but the rest of a node is", path).
				WithHint(lostHint)
		}
		return nil, problem.New(problem.NotFound, "no node at %s", dir).
			WithHint("karaula init --party CODE --name NAME --dir %s", dir)
	}
	if err != nil {
		return nil, problem.Wrap(problem.Failed, err, "the configuration cannot be read")
	}
	defer f.Close() //nolint:errcheck // only read
	body, err := io.ReadAll(io.LimitReader(f, MaxConfig+1))
	if err != nil {
		return nil, problem.Wrap(problem.Failed, err, "the configuration cannot be read")
	}
	c, err := Parse(body)
	if err != nil {
		hint := problem.HintOf(err)
		if hint == "" {
			hint = lostHint
		}
		return nil, problem.Wrap(problem.Invalid, err, "%s", path).WithHint("%s", hint)
	}
	return c, nil
}

// Parse reads and checks a configuration. Fields that are not there keep their
// defaults; unknown ones are refused.
func Parse(body []byte) (*Config, error) {
	if len(body) > MaxConfig {
		return nil, problem.New(problem.Invalid, "configuration is above the limit of %d bytes", MaxConfig)
	}
	var tree yaml.Node
	if err := yaml.Load(body, &tree); err != nil {
		return nil, problem.New(problem.Invalid, "not valid YAML: %s", said(err))
	}
	if findings := plain(&tree); len(findings) > 0 {
		return nil, invalid(findings)
	}
	c := Default()
	if err := yaml.Load(body, c, yaml.WithKnownFields(), yaml.WithUniqueKeys()); err != nil {
		return nil, problem.New(problem.Invalid, "%s", said(err)).WithHint("fields are listed in docs/configuration.md")
	}
	v := &validator{lines: map[string]int{}}
	v.learn("", &tree)
	v.config(c)
	if len(v.findings) > 0 {
		slices.SortStableFunc(v.findings, func(a, b finding) int { return a.line - b.line })
		return nil, invalid(v.findings)
	}
	return c, nil
}

// said writes a YAML error on one line, with its line numbers.
func said(err error) string {
	text := err.Error()
	if many, ok := errors.AsType[*yaml.LoadErrors](err); ok {
		parts := make([]string, 0, len(many.Errors))
		for _, e := range many.Errors {
			message := strings.TrimPrefix(e.Message, "yaml: ")
			if e.Mark.Line > 0 && !strings.HasPrefix(message, "line ") { // Size says its line itself
				message = fmt.Sprintf("line %d: %s", e.Mark.Line, message)
			}
			parts = append(parts, message)
		}
		text = strings.Join(parts, "; ")
	}
	return strings.Join(strings.Fields(strings.TrimPrefix(text, "yaml: ")), " ")
}

// finding is one fault of a configuration.
type finding struct {
	line int // 0: nowhere, the field is missing
	text string
}

func invalid(findings []finding) error {
	parts := make([]string, 0, len(findings))
	for _, f := range findings {
		if f.line > 0 {
			parts = append(parts, fmt.Sprintf("line %d: %s", f.line, f.text))
		} else {
			parts = append(parts, f.text)
		}
	}
	return problem.New(problem.Invalid, "%s", strings.Join(parts, "; ")).
		WithHint("fields are listed in docs/configuration.md")
}

// plain refuses what makes YAML say something else than it shows: anchors,
// aliases, merge keys and tags.
func plain(n *yaml.Node) []finding {
	var out []finding
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		out = append(out, finding{n.Line, "anchors and aliases are not allowed"})
	case n.Style&yaml.TaggedStyle != 0:
		out = append(out, finding{n.Line, "tags are not allowed"})
	case n.Kind == yaml.ScalarNode && n.Value == "<<":
		out = append(out, finding{n.Line, "merge keys are not allowed"})
	}
	for _, child := range n.Content {
		out = append(out, plain(child)...)
	}
	return out
}
