package link

import (
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"

	"karaula/internal/subject"
)

// Message is one message of a partner's stream as it arrived.
//
// Only Data is the partner's word, and only after its signature has verified.
// The numbers come from the transport: they say what to acknowledge and help
// to see gaps early, nothing else.
type Message struct {
	// Data is the envelope's exact bytes, at most subject.MaxStreamMsg.
	Data []byte
	// StreamSeq is the number in the partner's stream; normally the statement's number plus a fixed offset.
	StreamSeq uint64
	// ConsumerSeq counts deliveries to us since the consumer was made.
	ConsumerSeq uint64
	// Delivered is how often this message has been delivered, from 1.
	Delivered uint64
	// Pending is how many more the partner says there are.
	Pending uint64

	reply string // where to acknowledge
}

// Tokens of an acknowledgement subject in the form that names domain and account
// (nats-server's feature flag js_ack_fc_v2):
//
//	$JS.ACK.<domain>.<account hash>.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time>.<pending>
const ackTokens = 11

// parseAck reads the reply subject of a message of our consumer. It accepts
// nothing else, so that what [Puller.Ack] publishes is always an
// acknowledgement on the channel that was meant.
func parseAck(reply string, channel subject.Channel, self string) (Message, bool) {
	t := strings.SplitN(reply, ".", ackTokens+1)
	if len(t) != ackTokens || t[0] != "$JS" || t[1] != "ACK" ||
		t[4] != subject.Out(channel) || t[5] != subject.Consumer(self) {
		return Message{}, false
	}
	m := Message{reply: reply}
	for i, into := range []*uint64{&m.Delivered, &m.StreamSeq, &m.ConsumerSeq, nil, &m.Pending} {
		n, err := strconv.ParseUint(t[6+i], 10, 64)
		if err != nil {
			return Message{}, false
		}
		if into != nil {
			*into = n
		}
	}
	if m.Delivered == 0 || m.StreamSeq == 0 || m.ConsumerSeq == 0 {
		return Message{}, false
	}
	return m, true
}

// arrival is what one NATS message means to a puller.
type arrival int

// The meanings.
const (
	arrivedMessage   arrival = iota // a message of the stream
	arrivedHeartbeat                // the pull is still waiting
	arrivedEnd                      // the pull has ended in the normal way: time, number or bytes used up
	arrivedAbsent                   // there is no consumer behind the subject (503, consumer deleted)
	arrivedRefusal                  // the consumer does not take the pull (other statuses)
	arrivedJunk                     // none of these
)

// classify reads one NATS message. A message with an acknowledgement subject
// is a message of the stream whatever its headers say; only one without it may
// be a status.
func classify(m *nats.Msg, channel subject.Channel, self string) (Message, arrival) {
	if len(m.Data) > subject.MaxStreamMsg {
		return Message{}, arrivedJunk
	}
	if msg, ok := parseAck(m.Reply, channel, self); ok {
		msg.Data = m.Data
		return msg, arrivedMessage
	}
	if m.Reply != "" || len(m.Data) > 0 {
		return Message{}, arrivedJunk
	}
	switch m.Header.Get("Status") {
	case "100":
		return Message{}, arrivedHeartbeat
	case "404", "408":
		return Message{}, arrivedEnd
	case "503":
		return Message{}, arrivedAbsent
	case "409":
		switch text := strings.ToLower(m.Header.Get("Description")); {
		case strings.Contains(text, "maxbytes"), strings.Contains(text, "batch completed"):
			return Message{}, arrivedEnd
		case strings.Contains(text, "deleted"), strings.Contains(text, "leadership"), strings.Contains(text, "shutdown"):
			return Message{}, arrivedAbsent
		}
		return Message{}, arrivedRefusal
	case "":
		return Message{}, arrivedJunk
	}
	return Message{}, arrivedRefusal
}
