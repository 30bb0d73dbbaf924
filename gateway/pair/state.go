package pair

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	"karaula/gateway/mac"
	"karaula/internal/durable"
	"karaula/internal/problem"
	"karaula/internal/subject"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// The marks of what the two gateways say.
var (
	stateMark  = mac.Mark{Domain: "karaula/pair-state/v1\x00", Field: 15}
	helloMark  = mac.Mark{Domain: "karaula/pair-hello/v1\x00", Field: 15}
	recordMark = mac.Mark{Domain: "karaula/pair-record/v1\x00", Field: 15}
	answerMark = mac.Mark{Domain: "karaula/pair-answer/v1\x00", Field: 15}
)

var (
	errMoved  = errors.New("the state is another one by now")
	errForged = problem.New(problem.Verification, "the state of the pair was not written by one of its gateways")
)

// askTimeout bounds one question to the broker.
const askTimeout = 2 * time.Second

// pack writes a message down with its mark.
func pack(key []byte, m mac.Mark, msg proto.Message) ([]byte, error) {
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(msg)
	if err != nil {
		return nil, err
	}
	return m.Add(key, raw), nil
}

// unpack reads a message whose mark is right.
func unpack(key []byte, m mac.Mark, raw []byte, msg proto.Message) bool {
	return m.Check(key, raw) && proto.Unmarshal(raw, msg) == nil
}

// read asks the stream's leader for the state, and its place. Place 0: there is none.
func (c *Config) read(ctx context.Context) (*karaulav1.PairState, uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	ask, err := json.Marshal(map[string]string{"last_by_subj": subject.PairState})
	if err != nil {
		return nil, 0, err
	}
	msg, err := c.Conn.RequestWithContext(ctx, "$JS.API.STREAM.MSG.GET."+subject.PairStream, ask) // never a direct get
	if err != nil {
		return nil, 0, err
	}
	var answer struct {
		Error   *jetstream.APIError `json:"error"`
		Message struct {
			Seq  uint64 `json:"seq"`
			Data []byte `json:"data"`
		} `json:"message"`
	}
	if err := json.Unmarshal(msg.Data, &answer); err != nil {
		return nil, 0, err
	}
	if answer.Error != nil {
		if answer.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound {
			return nil, 0, nil
		}
		return nil, 0, answer.Error
	}
	st := new(karaulav1.PairState)
	if !unpack(c.Key, stateMark, answer.Message.Data, st) {
		return nil, answer.Message.Seq, errForged
	}
	st.Mark = nil
	return st, answer.Message.Seq, nil
}

// errOwn says that the state is a later one by this same life: how it was put there
// was never learnt.
type errOwn struct {
	state *karaulav1.PairState
	place uint64
}

func (errOwn) Error() string { return "the state was replaced by this gateway itself" }

// put replaces the state at a place, and gives the new one's place. It asks again
// until it knows what has become of it, or ctx ends. [errMoved]: another state is
// there; [errOwn] if it is of this life. One of an earlier place is what a server has
// that was cut off from the others, unless it stays.
func (c *Config) put(ctx context.Context, st *karaulav1.PairState, after uint64) (uint64, error) {
	raw, err := pack(c.Key, stateMark, st)
	if err != nil {
		return 0, err
	}
	var older time.Time // since when an older one is shown
	for {
		once, cancel := context.WithTimeout(ctx, askTimeout)
		ack, err := c.JS.PublishMsg(once, &nats.Msg{Subject: subject.PairState, Data: raw},
			jetstream.WithExpectStream(subject.PairStream), jetstream.WithExpectLastSequencePerSubject(after),
			jetstream.WithRetryAttempts(0))
		cancel()
		if err == nil {
			return ack.Sequence, nil
		}
		// It may be stored, or come to be stored yet: what is there now tells.
		now, at, readErr := c.read(ctx)
		switch {
		case readErr == nil && at != after && proto.Equal(now, st):
			return at, nil
		case readErr == nil && at > after && now.GetTerm() == st.GetTerm() && bytes.Equal(now.GetLife(), st.GetLife()):
			return 0, errOwn{now, at}
		case readErr == nil && at < after && !c.stays(&older):
		case readErr == nil && at != after, errors.Is(readErr, errForged):
			return 0, errMoved
		case readErr == nil:
			older = time.Time{}
		}
		if !pause(ctx, 50*time.Millisecond) {
			return 0, errors.Join(ctx.Err(), err)
		}
	}
}

// stays reports whether something has been so since a time for longer than a server
// that was cut off takes itself for the leader. A zero time is set to now.
func (c *Config) stays(since *time.Time) bool {
	if since.IsZero() {
		*since = time.Now()
	}
	return time.Since(*since) >= c.cutOff()
}

// inStep reports whether a gateway has everything that was published.
func inStep(st *karaulav1.PairState, name string) bool {
	return st != nil && slices.Contains(st.GetInStep(), name)
}

// lastTerm gives the highest term that was seen.
func (c *Config) lastTerm() (uint64, error) {
	raw, err := os.ReadFile(c.TermFile)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, problem.Wrap(problem.Failed, err, "the pair's term cannot be read")
	}
	last, err := strconv.ParseUint(strings.TrimSpace(string(raw)), 10, 64)
	if err != nil {
		return 0, problem.Wrap(problem.Failed, err, "%s does not hold a term", c.TermFile)
	}
	return last, nil
}

// seen checks that the broker does not show an older state than before, and
// remembers the term.
func (c *Config) seen(st *karaulav1.PairState) error {
	last, err := c.lastTerm()
	switch {
	case err != nil:
		return err
	case st.GetTerm() < last:
		return problem.New(problem.Verification,
			"the broker shows the pair's term %d, and %d was seen: its store was set back; nothing is said", st.GetTerm(), last).
			WithHint("look at the other gateway; if it is stopped: karaula gateway takeover --although-behind --dir DIR")
	case st.GetTerm() == last:
		return nil
	}
	if err := durable.Replace(c.TermFile, []byte(strconv.FormatUint(st.GetTerm(), 10)+"\n"), 0o600); err != nil {
		return problem.Wrap(problem.Failed, err, "the pair's term cannot be kept")
	}
	return nil
}
