package gateway

import (
	"slices"
	"testing"

	"connectrpc.com/connect"

	"karaula/gateway/book"
	"karaula/gateway/desk"
	"karaula/internal/problem"
	"karaula/internal/testworld"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// imported gives the ids that stand of a register on the channel.
func (h *house) imported(channel, register string) (ids [][16]byte, err error) {
	h.t.Helper()
	stream, err := h.desk.Imported(h.ctx, connect.NewRequest(&karaulav1.ImportedRequest{Channel: channel, Register: register}))
	must(h.t, err)
	defer stream.Close() //nolint:errcheck // read to its end
	for stream.Receive() {
		for id := range slices.Chunk(stream.Msg().GetAlertIds(), 16) {
			ids = append(ids, [16]byte(id))
		}
	}
	return ids, desk.FromConnect(stream.Err())
}

// What an import has made is known from the streams alone, also after a start; what
// was withdrawn, another register's or nobody's import, is not of it.
func TestImported(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start()
	mark, other := desk.MarkOf("al", channelID, "cars"), desk.MarkOf("al", channelID, "vans")
	ids := [][16]byte{
		mark.NewAlertID(testworld.Start), mark.NewAlertID(testworld.Start), other.NewAlertID(testworld.Start), desk.NewAlertID(testworld.Start),
	}
	for _, id := range ids {
		a := route()
		a.Id = book.IDText(id)
		_, err := h.send(h.ctx, a)
		must(t, err)
	}
	_, err := h.desk.Change(h.ctx, connect.NewRequest(&karaulav1.ChangeRequest{
		AlertId: book.IDText(ids[1]), Lifecycle: karaulav1.Lifecycle_LIFECYCLE_WITHDRAW, Assessment: "Invented",
	}))
	must(t, err)
	for _, when := range []string{"at once", "after a start"} {
		for register, want := range map[string][][16]byte{"cars": ids[:1], "vans": ids[2:3], "ships": nil} {
			if got, err := h.imported(channelID, register); err != nil || !slices.Equal(got, want) {
				t.Errorf("%s: %s has %x, want %x; %v", when, register, got, want, err)
			}
		}
		h.stop()
		h.start()
		h.until("history is read", func() bool { return h.gateway.complete() })
	}
	if _, err := h.imported("nowhere", "cars"); !problem.Is(err, problem.NotFound) {
		t.Errorf("on no channel: %v", err)
	}
}
