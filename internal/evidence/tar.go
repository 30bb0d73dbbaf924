package evidence

import (
	"archive/tar"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"karaula/internal/problem"
	"karaula/internal/signedtext"
)

// tarWriter writes the files of a bundle, so that the same files give the same
// bytes: plain headers, no owner, no time.
type tarWriter struct{ w *tar.Writer }

func (t tarWriter) file(name string, body []byte) error {
	err := t.w.WriteHeader(&tar.Header{
		Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(body)), ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR,
	})
	if err == nil {
		_, err = t.w.Write(body)
	}
	if err != nil {
		return problem.Wrap(problem.Failed, err, "the bundle cannot be written; what is there of it is useless")
	}
	return nil
}

// tarReader reads the files of a bundle in their order, and knows where each begins.
type tarReader struct {
	src *counted
	tr  *tar.Reader
}

// counted is a reader that knows where it stands. Package tar reads exactly the
// blocks that it needs, and seeks over the rest.
type counted struct {
	*io.SectionReader
}

func (c counted) here() int64 {
	at, _ := c.Seek(0, io.SeekCurrent) // a section reader tells always
	return at
}

func newTarReader(r io.ReaderAt, from, size int64) *tarReader {
	src := &counted{io.NewSectionReader(r, from, size-from)}
	return &tarReader{src, tar.NewReader(src)}
}

const tarBlock = 512

// next gives the next file's name and size and where its header begins, counted
// from where the reader began; "" at the end.
func (t *tarReader) next() (name string, size, at int64, err error) {
	h, err := t.tr.Next()
	if errors.Is(err, io.EOF) {
		return "", 0, 0, nil
	}
	if err != nil {
		return "", 0, 0, problem.Wrap(problem.Invalid, err, "the bundle is no tar file, or is cut off")
	}
	if h.Typeflag != tar.TypeReg || len(h.PAXRecords) > 0 || h.Size < 0 || strings.Contains(h.Name, "..") {
		return "", 0, 0, problem.New(problem.Invalid, "the bundle holds something that is no plain file")
	}
	return h.Name, h.Size, t.src.here() - tarBlock, nil
}

// read gives the content of the file that next has named.
func (t *tarReader) read(name string, size, limit int64) ([]byte, error) {
	if size > limit {
		return nil, problem.New(problem.Invalid, "%s in the bundle is larger than %d bytes", printable(name), limit)
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(t.tr, body); err != nil {
		return nil, problem.Wrap(problem.Invalid, err, "the bundle is cut off in %s", printable(name))
	}
	return body, nil
}

// printable is a name that somebody else chose, for a message.
func printable(name string) string {
	clean := strings.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7e {
			return '?'
		}
		return r
	}, name)
	return clean[:min(len(clean), 100)]
}

func newTarWriter(w io.Writer) tarWriter { return tarWriter{tar.NewWriter(w)} }

func sortedNames(files map[string][]byte) []string { return slices.Sorted(maps.Keys(files)) }

// parseHex reads lower-case hexadecimal of exactly the length of into.
func parseHex(s string, into []byte) bool { return signedtext.ParseHex(s, into) }
