package node

import (
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"karaula/internal/problem"
)

// Size is a number of bytes, written in YAML as such or with a unit, "32GiB".
type Size int64

// units from the largest.
var units = []struct {
	word string
	size int64
}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}}

// String writes the size with the largest unit that leaves a whole number.
func (s Size) String() string {
	for _, u := range units {
		if s > 0 && int64(s)%u.size == 0 {
			return strconv.FormatInt(int64(s)/u.size, 10) + u.word
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// Round writes the size for people, with one decimal: "31.9 GiB".
func (s Size) Round() string {
	for _, u := range units {
		if int64(s) >= u.size {
			return strconv.FormatFloat(float64(s)/float64(u.size), 'f', 1, 64) + " " + u.word
		}
	}
	return strconv.FormatInt(int64(s), 10) + " B"
}

// ParseSize reads a number of bytes with or without a unit.
func ParseSize(text string) (Size, error) {
	number, unit := text, int64(1)
	for _, u := range units {
		if n, ok := strings.CutSuffix(text, u.word); ok {
			number, unit = strings.TrimSpace(n), u.size
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n > (1<<62)/unit {
		return 0, problem.New(problem.Invalid, "%q is not a size like 1073741824 or 1GiB", text)
	}
	return Size(n * unit), nil
}

// UnmarshalYAML implements yaml.Unmarshaler.
func (s *Size) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind != yaml.ScalarNode {
		return problem.New(problem.Invalid, "line %d: not a size", n.Line)
	}
	size, err := ParseSize(n.Value)
	if err != nil {
		return problem.New(problem.Invalid, "line %d: %s", n.Line, err.Error())
	}
	*s = size
	return nil
}

// MarshalYAML implements yaml.Marshaler.
func (s Size) MarshalYAML() (any, error) { return s.String(), nil }
