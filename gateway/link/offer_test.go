package link

import (
	"errors"
	"testing"

	"google.golang.org/protobuf/proto"

	karaulav1 "karaula/proto/gen/karaula/v1"
)

// A partner's card comes with its question, and nobody else's does.
func TestACardIsOffered(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	n.serve(&testOwner{}, nil)
	nc, err := n.dial(nil)
	must(t, err)
	c := n.client(nc, nil)
	next := n.me.issue(t, 2, "127.0.0.1:9")
	if serial, err := c.Offer(t.Context(), next.Signed); err != nil || serial != 2 {
		t.Errorf("serial %d, %v", serial, err)
	}
	var refused *Refused
	for what, file := range map[string][]byte{"another party's card": n.al.card.Signed, "no card": []byte("card")} {
		if _, err := c.Offer(t.Context(), file); !errors.As(err, &refused) || refused.Code != CodeMalformed {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := c.Offer(t.Context(), nil); err == nil {
		t.Error("nothing was offered, and taken")
	}
}

// offer is the body of a request that offers a card.
func offer(t testing.TB, file []byte) []byte {
	t.Helper()
	raw, err := proto.Marshal(&karaulav1.LinkRequest{
		Format: 1, From: "me", To: "al", Id: make([]byte, idSize), AskedAt: 1,
		Ask: &karaulav1.LinkRequest_Offer{Offer: &karaulav1.Offer{Card: file}},
	})
	must(t, err)
	return raw
}
