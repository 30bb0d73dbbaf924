package table

import (
	"errors"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // a register's zone must not depend on the machine

	"go.yaml.in/yaml/v4"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
	"google.golang.org/protobuf/proto"

	"karaula/internal/alert"
	"karaula/internal/problem"
	"karaula/internal/terms"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// The formats of a file.
const (
	CSV    = "csv"
	NDJSON = "ndjson"
)

// document is a map as it is written.
type document struct {
	Register  string           `yaml:"register"`
	Format    string           `yaml:"format"`
	Encoding  string           `yaml:"encoding"`
	Delimiter string           `yaml:"delimiter"`
	Quote     string           `yaml:"quote"`
	Header    *bool            `yaml:"header"`
	Key       []string         `yaml:"key"`
	Constants yaml.Node        `yaml:"constants"`
	Fields    map[string]Field `yaml:"fields"`
}

// Field says what fills one field of an alert.
type Field struct {
	// Column is its title, or its number from 1.
	Column string `yaml:"column"`
	// When names a column: the field is filled only in rows where that one is not empty.
	When string `yaml:"when"`
	// Value fills the field in all rows (where When allows it), in place of a column.
	Value string `yaml:"value"`
	// Values translates coded values. A value that is not listed is a fault.
	Values map[string]string `yaml:"values"`
	// Date is how the column writes a time, in Go's form: "02.01.2006 15:04".
	Date string `yaml:"date"`
	// Zone is the time zone of the register, "Europe/Tirane"; UTC if empty.
	Zone string `yaml:"zone"`

	path alert.Path
	zone *time.Location
}

// Map is a map that was read and checked.
type Map struct {
	// Register names the register: rows of two registers are never the same row.
	Register string
	// Format is CSV or NDJSON.
	Format string

	encoding  encoding.Encoding
	delimiter byte
	quote     bool
	header    bool
	key       []string
	constants *karaulav1.Alert
	fields    []Field // in the order of their paths
}

// ParseMap reads a map.
func ParseMap(body []byte) (*Map, error) {
	if len(body) > MaxMap {
		return nil, badMap("larger than %d bytes", MaxMap)
	}
	d := document{Format: CSV, Encoding: "utf-8", Delimiter: ",", Quote: `"`}
	if err := yaml.Load(body, &d, yaml.WithKnownFields(), yaml.WithUniqueKeys()); err != nil {
		return nil, badMap("not a YAML file with the fields of a map: %s", oneLine(err))
	}
	m := &Map{Register: d.Register, Format: d.Format, header: d.Header == nil || *d.Header, key: d.Key}
	switch {
	case !terms.ValidID(d.Register):
		return nil, badMap("register: must be a name of lower-case letters, digits and hyphens")
	case d.Format != CSV && d.Format != NDJSON:
		return nil, badMap("format: must be csv or ndjson")
	case len(d.Delimiter) != 1 || strings.ContainsAny(d.Delimiter, "\"\r\n"):
		return nil, badMap("delimiter: must be one ASCII character, as in %q", ";")
	case d.Quote != `"` && d.Quote != "none":
		return nil, badMap(`quote: must be '"' or none`)
	case len(d.Key) == 0:
		return nil, badMap("key: must name the columns that tell one row from all others")
	}
	m.delimiter, m.quote = d.Delimiter[0], d.Quote != "none"
	var err error
	if m.encoding, err = htmlindex.Get(d.Encoding); err != nil || m.encoding == encoding.Replacement {
		return nil, badMap("encoding: must be a name of the WHATWG Encoding Standard, such as utf-8, utf-16le, windows-1250 or windows-1251")
	}
	if m.constants, err = constants(&d.Constants); err != nil {
		return nil, err
	}
	return m, m.addFields(d.Fields)
}

// addFields checks the fields of a map.
func (m *Map) addFields(fields map[string]Field) error {
	if len(fields) == 0 {
		return badMap("fields: must say which column fills which field")
	}
	for name, f := range fields {
		var err error
		if f.path, err = alert.ParsePath(name); err != nil {
			return problem.Wrap(problem.Invalid, err, "map: fields").WithHint("%s", problem.HintOf(err))
		}
		switch name {
		case "id", "version", "lifecycle", "assessment":
			return badMap("fields: %s is set by the import itself", name)
		}
		switch {
		case (f.Column == "") == (f.Value == ""):
			return badMap("fields: %s: must have either a column or a value", name)
		case f.Value != "" && (f.Values != nil || f.Date != ""):
			return badMap("fields: %s: values and date are for columns", name)
		case f.Date != "" && f.Values != nil:
			return badMap("fields: %s: must have values or a date, not both", name)
		case f.Zone != "" && f.Date == "":
			return badMap("fields: %s: a zone is for a date", name)
		}
		if f.zone, err = time.LoadLocation(f.Zone); err != nil || f.Zone == "Local" {
			return badMap("fields: %s: zone must be a name of the time zone database, such as Europe/Tirane", name)
		}
		for _, v := range f.fixed() {
			if err := f.path.Set(&karaulav1.Alert{}, v); err != nil {
				return problem.Wrap(problem.Invalid, err, "map: fields: a value that the map sets").
					WithHint("%s", problem.HintOf(err))
			}
		}
		m.fields = append(m.fields, f)
	}
	slices.SortFunc(m.fields, func(a, b Field) int { return strings.Compare(a.path.String(), b.path.String()) })
	return nil
}

// fixed lists the values that the map itself sets.
func (f *Field) fixed() []string {
	var out []string
	if f.Value != "" {
		out = append(out, f.Value)
	}
	for _, v := range f.Values {
		if v != "" { // an empty one leaves the field out
			out = append(out, v)
		}
	}
	return out
}

// constants reads what is the same in all rows: an alert as in a file of alerts.
func constants(n *yaml.Node) (*karaulav1.Alert, error) {
	if n.Kind == 0 {
		return &karaulav1.Alert{}, nil
	}
	body, err := yaml.Dump(n)
	if err != nil {
		return nil, badMap("constants: %s", oneLine(err))
	}
	list, err := alert.ParseBytes(body, "constants.yaml")
	if err != nil {
		return nil, problem.Wrap(problem.Invalid, err, "map: constants").WithHint("%s", problem.HintOf(err))
	}
	a := list[0]
	if len(list) != 1 || a.GetId() != "" || a.GetVersion() != 0 || a.GetAssessment() != "" {
		return nil, badMap("constants: must be one alert without id, version and assessment")
	}
	a.Lifecycle, a.Type = 0, 0 // set again when the row is complete
	return proto.CloneOf(a), nil
}

// oneLine gives an error of the YAML reader in one line.
func oneLine(err error) string {
	var list *yaml.LoadErrors
	if errors.As(err, &list) && len(list.Errors) > 0 {
		err = list.Errors[0]
	}
	return strings.Join(strings.Fields(err.Error()), " ")
}

// Columns lists the columns that the map names, each once.
func (m *Map) Columns() []string {
	var out []string
	add := func(name string) {
		if name != "" && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	for _, k := range m.key {
		add(k)
	}
	for _, f := range m.fields {
		add(f.Column)
		add(f.When)
	}
	return out
}
