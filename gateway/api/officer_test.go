package api

import (
	"net/http"
	"testing"

	"karaula/gateway/desk"
	"karaula/internal/access"
	"karaula/internal/node"
)

// What a client says of its officer can be told from every id that the node knows
// itself: it has a slash.
func TestAVouchedOfficerIsNoOtherOfficer(t *testing.T) {
	t.Parallel()
	cases := &client{Client: access.Client{Name: "cases", Role: node.RoleSystem, NamesOfficers: true}}
	h := http.Header{}
	h.Set(HeaderOfficer, "officer-117")
	got, err := officer(cases, h)
	if want := (desk.Officer{ID: "cases/officer-117", Role: node.RoleSystem}); err != nil || got != want {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	if node.ValidOfficer(got.ID) {
		t.Error("an officer or client of the node could have the same id")
	}
	plates := &client{Client: access.Client{Name: "plates", Role: node.RoleSystem}}
	if got, err := officer(plates, http.Header{}); err != nil || got.ID != "plates" {
		t.Errorf("%+v, %v", got, err)
	}
}
