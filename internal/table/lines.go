package table

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"slices"

	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

// lines gives the lines of a file in UTF-8 without their ends, whatever its
// encoding, and takes lines back that were read too far.
type lines struct {
	in   *bufio.Reader
	next int // number of the line that comes next, from 1
	back [][]byte
}

// line is one line; long is true where it was longer than MaxRow and was dropped.
type line struct {
	number int
	text   []byte
	long   bool
}

// newLines decodes; a byte order mark says more than the map.
func (m *Map) newLines(r io.Reader) *lines {
	decoded := transform.NewReader(r, unicode.BOMOverride(m.encoding.NewDecoder()))
	return &lines{in: bufio.NewReaderSize(decoded, 64<<10), next: 1}
}

// read gives the next line; io.EOF behind the last.
func (l *lines) read() (line, error) {
	out := line{number: l.next}
	if n := len(l.back); n > 0 {
		out.text, l.back = l.back[n-1], l.back[:n-1]
		l.next++
		return out, nil
	}
	some := false
	for {
		part, err := l.in.ReadSlice('\n')
		some = some || len(part) > 0
		if out.long = out.long || len(out.text)+len(part) > MaxRow; !out.long {
			out.text = append(out.text, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF) && !some:
			return line{}, io.EOF
		case err != nil && !errors.Is(err, io.EOF):
			return line{}, err
		}
		break
	}
	l.next++
	out.text = bytes.TrimSuffix(bytes.TrimSuffix(out.text, []byte("\n")), []byte("\r"))
	return out, nil
}

// unread takes lines back, which were read one after the other, the last of them last.
func (l *lines) unread(list [][]byte) {
	for _, text := range slices.Backward(list) {
		l.back = append(l.back, text)
	}
	l.next -= len(list)
}
