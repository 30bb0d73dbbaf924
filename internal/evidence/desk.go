package evidence

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protodelim"

	"karaula/internal/card"
	"karaula/internal/envelope"
	"karaula/internal/problem"
	"karaula/internal/seal"
	"karaula/internal/wire"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// An export of the desk stream (docs/spec/desk.md) is the magic line and
// [karaulav1.DeskPiece]s, each with its length before it.
const (
	deskMagic = "karaula desk v1\n"
	// DeskHeadType is the payload type of the signature of a desk head.
	DeskHeadType = "application/vnd.karaula.desk-head.v1"
	// MaxDeskPiece bounds one piece, in bytes.
	MaxDeskPiece = 128 << 10
	maxDeskTold  = 100 // findings that are kept
)

// IsDesk reports whether a file begins like an export of the desk stream.
func IsDesk(head []byte) bool { return bytes.HasPrefix(head, []byte(deskMagic)) }

// DeskLink chains the records of the desk: SHA-256 over a domain, the number, the
// link of the record before, and the commitment of the frame.
func DeskLink(number uint64, previous, commitment [32]byte) [32]byte {
	b := binary.BigEndian.AppendUint64([]byte("karaula/desk-link/v1\x00"), number)
	return sha256.Sum256(append(append(b, previous[:]...), commitment[:]...))
}

// WriteDesk begins an export; put adds a piece.
func WriteDesk(w io.Writer) (put func(*karaulav1.DeskPiece) error, err error) {
	_, err = io.WriteString(w, deskMagic)
	return func(p *karaulav1.DeskPiece) error {
		_, err := protodelim.MarshalTo(w, p)
		return err
	}, err
}

// DeskReport is what an export of the desk stream shows.
type DeskReport struct {
	Party          string
	Records        uint64 // shown with who, what and why
	Closed         uint64 // of which only the commitment is shown
	Before, Last   *karaulav1.DeskPlace
	Head           *karaulav1.DeskPlace
	SignedAt       time.Time
	Findings       []string // what does not verify, the first ones
	findingsBeyond int
}

// Verified reports whether nothing was found.
func (r *DeskReport) Verified() bool { return len(r.Findings) == 0 }

func (r *DeskReport) find(format string, args ...any) {
	if len(r.Findings) == maxDeskTold {
		r.findingsBeyond++
		return
	}
	r.Findings = append(r.Findings, fmt.Sprintf(format, args...))
}

// DeskChain follows the pieces of an export, one after the other.
type DeskChain struct {
	report DeskReport
	place  *karaulav1.DeskPlace // nil before the first piece
	end    *karaulav1.DeskSigned
	tell   func(number uint64, e *karaulav1.DeskEntry) error
}

// NewDeskChain begins; tell is shown each entry.
func NewDeskChain(tell func(number uint64, e *karaulav1.DeskEntry) error) *DeskChain {
	return &DeskChain{tell: tell}
}

// Take follows a piece. It fails for what is no piece at this place: nothing after
// it can be believed.
func (c *DeskChain) Take(p *karaulav1.DeskPiece) error {
	if c.end != nil || c.place == nil && (p.GetFrame() != nil || p.GetCommitment() != nil || p.GetEnd() != nil) {
		return problem.New(problem.Verification, "the export has pieces before its beginning or after its end")
	}
	switch piece := p.GetPiece().(type) {
	case *karaulav1.DeskPiece_Begin:
		return c.begin(piece.Begin)
	case *karaulav1.DeskPiece_Frame:
		c.step(seal.Commitment(piece.Frame))
		return c.entry(piece.Frame)
	case *karaulav1.DeskPiece_Commitment:
		if len(piece.Commitment) != 32 {
			return problem.New(problem.Verification, "the export has a commitment of another length")
		}
		c.step([32]byte(piece.Commitment))
		c.report.Closed++
	case *karaulav1.DeskPiece_Finding:
		c.report.find("the gateway says: %q", piece.Finding)
	case *karaulav1.DeskPiece_End:
		c.end = piece.End
	default:
		return problem.New(problem.Verification, "the export has a piece of an unknown kind")
	}
	return nil
}

func (c *DeskChain) begin(at *karaulav1.DeskPlace) error {
	if len(at.GetLink()) != 32 || at.GetNumber() == 0 && [32]byte(at.GetLink()) != [32]byte{} {
		return problem.New(problem.Verification, "the export begins at a place without a link")
	}
	if c.place == nil {
		c.report.Before = at
	} else {
		c.report.find("after record %d the export goes on with %d, which does not follow", c.place.GetNumber(), at.GetNumber()+1)
	}
	c.place = at
	return nil
}

func (c *DeskChain) step(commitment [32]byte) {
	link := DeskLink(c.place.GetNumber()+1, [32]byte(c.place.GetLink()), commitment)
	c.place = &karaulav1.DeskPlace{Number: c.place.GetNumber() + 1, Link: link[:]}
}

func (c *DeskChain) entry(frame []byte) error {
	content, err := seal.Unframe(frame)
	e := &karaulav1.DeskEntry{}
	if err != nil || wire.Unmarshal(content, e, MaxDeskPiece) != nil {
		c.report.find("record %d holds no entry", c.place.GetNumber())
		return nil
	}
	c.report.Records++
	return c.tell(c.place.GetNumber(), e)
}

// Close checks the signature and gives the report.
func (c *DeskChain) Close(roots []string) (*DeskReport, error) {
	if c.end == nil {
		return nil, problem.New(problem.Verification, "the export has no end: it was cut off")
	}
	head := &karaulav1.DeskHead{}
	if err := wire.Unmarshal(c.end.GetHead(), head, MaxDeskPiece); err != nil {
		return nil, problem.New(problem.Verification, "the export's head cannot be read")
	}
	cd, err := card.Open(c.end.GetCard())
	switch {
	case err != nil:
		return nil, problem.Wrap(problem.Verification, err, "the card in the export does not verify")
	case cd.Party != head.GetParty() || !bytes.Equal(cd.Digest[:], head.GetCard()):
		return nil, problem.New(problem.Verification, "the export's head names another card than the one in it")
	case !slices.Contains(roots, cd.Root):
		return nil, problem.New(problem.Verification, "the export is by %s, under another root than was given", cd.Party)
	}
	key, ok := cd.Key(karaulav1.KeyUse_KEY_USE_SIGN, c.end.GetKeyId())
	if !ok || !ed25519.Verify(key.Ed25519, envelope.PAE(DeskHeadType, c.end.GetHead()), c.end.GetSignature()) {
		return nil, problem.New(problem.Verification, "the signature of the export's head does not verify")
	}
	r := &c.report
	r.Party, r.Last, r.Head, r.SignedAt = cd.Party, head.GetLast(), head.GetHead(), time.UnixMicro(head.GetSignedAt()).UTC()
	for _, pair := range []struct {
		what       string
		said, here *karaulav1.DeskPlace
	}{{"first", head.GetBefore(), r.Before}, {"last", head.GetLast(), c.place}} {
		if pair.said.GetNumber() != pair.here.GetNumber() || !bytes.Equal(pair.said.GetLink(), pair.here.GetLink()) {
			r.find("the %s record is not the one that was signed: a record was changed, moved, added or left out", pair.what)
		}
	}
	last, newest := head.GetLast(), head.GetHead()
	if last.GetNumber() > newest.GetNumber() || last.GetNumber() == newest.GetNumber() && !bytes.Equal(last.GetLink(), newest.GetLink()) {
		r.find("the last record, %d, is not before the head, %d", last.GetNumber(), newest.GetNumber())
	}
	if r.findingsBeyond > 0 {
		r.Findings = append(r.Findings, fmt.Sprintf("and %d more findings", r.findingsBeyond))
	}
	return r, nil
}

// VerifyDesk reads an export from its first byte, and shows each entry to tell.
func VerifyDesk(f io.Reader, roots []string, tell func(number uint64, e *karaulav1.DeskEntry) error) (*DeskReport, error) {
	in := bufio.NewReader(f)
	head := make([]byte, len(deskMagic))
	if _, err := io.ReadFull(in, head); err != nil || !IsDesk(head) {
		return nil, problem.New(problem.Invalid, "the file is no export of the desk stream")
	}
	c := NewDeskChain(tell)
	for {
		p := &karaulav1.DeskPiece{}
		err := protodelim.UnmarshalOptions{MaxSize: MaxDeskPiece}.UnmarshalFrom(in, p)
		if errors.Is(err, io.EOF) {
			return c.Close(roots)
		}
		if err != nil {
			return nil, problem.Wrap(problem.Verification, err, "the export is damaged or cut off")
		}
		if err := c.Take(p); err != nil {
			return nil, err
		}
	}
}
