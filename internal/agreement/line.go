package agreement

import (
	"fmt"
	"strings"
	"time"

	"karaula/internal/signedtext"
)

// maxQuoted is the longest quoted string, in bytes.
const maxQuoted = 300

// human names the machine lines whose quoted strings may hold other letters
// than ASCII ones.
var human = signedtext.Human{
	"title": signedtext.Quoted, "basis": signedtext.Quoted, "party": signedtext.Quoted,
	"auditor": signedtext.Quoted, "say": signedtext.Quoted,
}

// field is one part of a machine line after its keyword.
type field signedtext.Field

// key gives the field's key with its operator: "retain<=", "" for a bare word.
func (f field) key() string { return f.Key + f.Op }

// String writes the field as it stands in the text.
func (f field) String() string {
	if f.Quoted {
		return clip(f.key() + `"` + f.Value + `"`)
	}
	return clip(f.key() + f.Value)
}

// word reads an unquoted value with this key ("root=", "retain<=", "" for none).
func (f field) word(key string) (string, error) {
	if f.key() != key || f.Quoted {
		form := key + "…"
		if key == "" {
			form = "a word"
		}
		return "", fmt.Errorf("%s expected, not %s", form, f)
	}
	return f.Value, nil
}

// quoted reads a quoted value with this key.
func (f field) quoted(key string) (string, error) {
	switch {
	case f.key() != key || !f.Quoted:
		return "", fmt.Errorf(`%s"…" expected, not %s`, key, f)
	case f.Value == "" || strings.TrimSpace(f.Value) != f.Value:
		return "", fmt.Errorf("a quoted string is empty or has spaces at its ends")
	case len(f.Value) > maxQuoted:
		return "", fmt.Errorf("a quoted string is longer than %d bytes", maxQuoted)
	}
	return f.Value, nil
}

// digest reads a digest with this key.
func (f field) digest(key string) (d [32]byte, err error) {
	s, err := f.word(key)
	if err != nil {
		return d, err
	}
	return ParseDigest(s)
}

// time reads a bare time.
func (f field) time() (time.Time, error) {
	s, err := f.word("")
	if err != nil {
		return time.Time{}, err
	}
	return parseTime(s)
}

// duration reads a duration with this key.
func (f field) duration(key string) (time.Duration, error) {
	s, err := f.word(key)
	if err != nil {
		return 0, err
	}
	return ParseDuration(s)
}

// size reads a bare number of bytes.
func (f field) size() (int64, error) {
	s, err := f.word("")
	if err != nil {
		return 0, err
	}
	return ParseSize(s)
}

// yesNo reads yes or no with this key.
func (f field) yesNo(key string) (bool, error) {
	s, err := f.word(key)
	if err != nil {
		return false, err
	}
	if s != "yes" && s != "no" {
		return false, fmt.Errorf("yes or no expected, not %q", clip(s))
	}
	return s == "yes", nil
}

// clip shortens foreign words for messages.
func clip(s string) string {
	if len(s) > 60 {
		return strings.ToValidUTF8(s[:60], "") + "…"
	}
	return s
}
