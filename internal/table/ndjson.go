package table

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strconv"
)

// What is wrong with a row of NDJSON.
var (
	errJSON  = errors.New("is not one JSON object in one line")
	errTwice = errors.New("has a name twice")
	errDeep  = errors.New("is nested too deep")
)

// flatten gives the values of a JSON object by their names: those of inner
// objects by "outer.inner", of lists by "list.0". A null is a value that is empty.
func flatten(text []byte) (map[string]string, error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	f := flattener{dec: dec, out: map[string]string{}}
	tok, err := dec.Token()
	if err != nil || tok != json.Delim('{') {
		return nil, errJSON
	}
	if err := f.inside("", tok, 0); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errJSON
	}
	return f.out, nil
}

type flattener struct {
	dec *json.Decoder
	out map[string]string
}

// inside reads what an object or list holds, and its end.
func (f *flattener) inside(prefix string, open json.Token, depth int) error {
	if depth > maxDepth {
		return errDeep
	}
	for i := 0; f.dec.More(); i++ {
		name := strconv.Itoa(i)
		if open == json.Delim('{') {
			tok, err := f.dec.Token()
			if err != nil {
				return errJSON
			}
			name, _ = tok.(string)
		}
		if err := f.value(prefix+name, depth); err != nil {
			return err
		}
	}
	if _, err := f.dec.Token(); err != nil {
		return errJSON
	}
	return nil
}

func (f *flattener) value(name string, depth int) error {
	tok, err := f.dec.Token()
	if err != nil {
		return errJSON
	}
	text := ""
	switch v := tok.(type) {
	case json.Delim:
		return f.inside(name+".", v, depth+1)
	case bool:
		text = strconv.FormatBool(v)
	case json.Number:
		text = v.String()
	case string:
		text = v
	}
	if _, ok := f.out[name]; ok {
		return errTwice
	}
	if len(f.out) >= MaxColumns {
		return errWide
	}
	f.out[name] = text
	return nil
}
