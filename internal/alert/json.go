package alert

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"

	"karaula/internal/problem"
)

// jsonReader turns JSON tokens into trees and knows the line that it is in.
type jsonReader struct {
	data  []byte
	dec   *json.Decoder
	count *counter
	line  int
	at    int64 // offset up to which lines are counted
}

// readJSON gives the values of a JSON file, one or many, one a line or not.
func readJSON(data []byte) ([]*tree, *mistake, error) {
	r := &jsonReader{data: data, dec: json.NewDecoder(bytes.NewReader(data)), count: &counter{left: maxValues}, line: 1}
	r.dec.UseNumber()
	var docs []*tree
	for {
		t, bad, err := r.value(0)
		switch {
		case errors.Is(err, io.EOF):
			return docs, nil, nil
		case err != nil:
			return nil, nil, problem.Wrap(problem.Invalid, err, "not JSON that can be read, near line %d", r.here())
		case bad != nil:
			return nil, bad, nil
		}
		if !t.null {
			docs = append(docs, t)
		}
	}
}

// here gives the line of the token that was read last.
func (r *jsonReader) here() int {
	if off := r.dec.InputOffset(); off > r.at {
		r.line += bytes.Count(r.data[r.at:off], []byte{'\n'})
		r.at = off
	}
	return r.line
}

// value reads one value. io.EOF comes back only where a value could begin.
func (r *jsonReader) value(depth int) (*tree, *mistake, error) {
	tok, err := r.dec.Token()
	if err != nil {
		if depth > 0 && errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, nil, err
	}
	t := &tree{line: r.here()}
	if bad := r.count.take(t.line); bad != nil {
		return nil, bad, nil
	}
	if depth > maxDepth {
		return nil, &mistake{line: t.line, text: "is nested too deep"}, nil
	}
	switch v := tok.(type) {
	case nil:
		t.null = true
	case bool:
		t.form, t.text = truth, map[bool]string{false: "false", true: "true"}[v]
	case json.Number:
		t.form, t.text = number, v.String()
	case string:
		t.form, t.text = quoted, v
	case json.Delim:
		bad, err := r.inside(t, v, depth)
		return t, bad, err
	}
	return t, nil, nil
}

// inside reads what a list or mapping holds, and its closing bracket.
func (r *jsonReader) inside(t *tree, open json.Delim, depth int) (*mistake, error) {
	t.list, t.dict = open == '[', open == '{'
	for r.dec.More() {
		var k key
		if t.dict {
			tok, err := r.dec.Token()
			if err != nil {
				return nil, err
			}
			k.name, _ = tok.(string)
			k.line = r.here()
		}
		v, bad, err := r.value(depth + 1)
		if bad != nil || err != nil {
			return bad, err
		}
		if t.list {
			t.vals = append(t.vals, v)
		} else if bad := t.add(k, v); bad != nil {
			return bad, nil
		}
	}
	_, err := r.dec.Token()
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return nil, err
}
