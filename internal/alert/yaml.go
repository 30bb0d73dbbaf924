package alert

import (
	"bytes"
	"errors"
	"io"

	"go.yaml.in/yaml/v4"
	"go.yaml.in/yaml/v4/plugin/loaderlimits"

	"karaula/internal/problem"
)

// readYAML gives the documents of a YAML file. Anchors, aliases, tags and merge
// keys are refused: a file says what it says, where it says it.
func readYAML(data []byte) ([]*tree, *mistake, error) {
	// The reader needs a kilobyte and more for each value, before any is seen here.
	if bytes.Count(data, []byte{'\n'})+bytes.Count(data, []byte{','}) > maxSigns {
		return nil, nil, problem.New(problem.Invalid, "more lines and commas than %d", maxSigns).WithHint("split the file")
	}
	deep := loaderlimits.New(loaderlimits.DepthValue(maxDepth))
	loader, err := yaml.NewLoader(bytes.NewReader(data), yaml.WithPlugin(deep))
	if err != nil {
		return nil, nil, problem.Wrap(problem.Failed, err, "the YAML reader could not be made")
	}
	var docs []*tree
	count := &counter{left: maxValues}
	for {
		var n yaml.Node
		switch err := loader.Load(&n); {
		case errors.Is(err, io.EOF):
			return docs, nil, nil
		case err != nil:
			return nil, nil, problem.Wrap(problem.Invalid, err, "not YAML that can be read")
		}
		t, bad := fromYAML(&n, count)
		if bad != nil {
			return nil, bad, nil
		}
		if !t.null {
			docs = append(docs, t)
		}
	}
}

// fromYAML turns a node into a tree.
func fromYAML(n *yaml.Node, count *counter) (*tree, *mistake) {
	if bad := count.take(n.Line); bad != nil {
		return nil, bad
	}
	refuse := func(text string) (*tree, *mistake) { return nil, &mistake{line: n.Line, text: text} }
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		return refuse("anchors and aliases are not taken: write the value out")
	case n.Style&yaml.TaggedStyle != 0:
		return refuse("tags are not taken: the field decides what the value is")
	}
	t := &tree{line: n.Line}
	switch n.Kind {
	case yaml.DocumentNode:
		if len(n.Content) != 1 {
			return &tree{line: n.Line, null: true}, nil
		}
		return fromYAML(n.Content[0], count)
	case yaml.SequenceNode:
		t.list = true
		for _, c := range n.Content {
			v, bad := fromYAML(c, count)
			if bad != nil {
				return nil, bad
			}
			t.vals = append(t.vals, v)
		}
	case yaml.MappingNode:
		t.dict = true
		for i := 0; i+1 < len(n.Content); i += 2 {
			if bad := t.addYAML(n.Content[i], n.Content[i+1], count); bad != nil {
				return nil, bad
			}
		}
	case yaml.ScalarNode:
		t.text = n.Value
		if n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
			t.form = quoted
		} else {
			t.null = n.ShortTag() == "!!null"
		}
	default:
		return refuse("is nothing that an alert can hold")
	}
	return t, nil
}

func (t *tree) addYAML(k, v *yaml.Node, count *counter) *mistake {
	name, bad := fromYAML(k, count)
	if bad != nil {
		return bad
	}
	if name.list || name.dict {
		return &mistake{line: k.Line, text: "a field's name must be a word"}
	}
	val, bad := fromYAML(v, count)
	if bad != nil {
		return bad
	}
	return t.add(key{name: name.text, line: k.Line}, val)
}
