// Package life derives where an alert stands from what was said about it: the
// versions of its originator, the acts of everybody else, and hits.
//
// [Fold] is a pure function of a set of statements. Whatever the order in which
// they arrive, and however often, everybody who has the same statements derives
// the same state; docs/spec/life.md states the rules for a second
// implementation.
//
// The package must never ask the clock, never hold content, and never let
// anybody but the originator change an alert.
package life

import (
	"bytes"
	"cmp"
	"slices"
	"time"

	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Statement is what versions, acts and hits have in common: who said it, where
// and when.
type Statement struct {
	Party      string
	Channel    string
	Epoch, Seq uint64
	SaidAt     int64 // microseconds since 1970 UTC
	Leaf       [32]byte
}

// Version is one version of an alert.
type Version struct {
	Statement
	Version    uint32
	Lifecycle  karaulav1.Lifecycle
	Commitment [32]byte // of its frame
	Supersedes [32]byte // commitment of the version before; zero in version 1
	EraseAfter int64    // microseconds since 1970 UTC
	Ordered    bool     // the originator has ordered it to be erased
}

// Act is what a party did, or has to say, about an alert.
type Act struct {
	Statement
	Version  uint32 // of the alert
	Deed     karaulav1.Deed
	Ground   karaulav1.Ground
	Other    [16]byte // of a link
	Relation karaulav1.LinkRelation
	Answers  [][32]byte // leaves of the statements that it answers

	// Of the deeds of consent: to which channel, who may pass it on, who would read
	// it there, what for, until when (microseconds since 1970 UTC), which version.
	Onward     string
	For        string
	Readers    []string
	Purpose    karaulav1.Purpose
	Until      int64
	Commitment [32]byte
}

// Hit is a report of a hit on the alert, an alert of its own.
type Hit struct {
	Statement
	ID [16]byte
}

// Alert is everything that is known of one alert of one originator.
type Alert struct {
	Origin   string
	Versions []Version
	Acts     []Act
	Hits     []Hit
}

// Status is where an alert stands.
type Status string

// The statuses.
const (
	Current   Status = "current"
	Withdrawn Status = "withdrawn" // for good
	Expired   Status = "expired"
	Erased    Status = "erased" // by order of the originator, before its end
)

// State is what follows from an [Alert].
type State struct {
	Version Version // the one that counts; zero if there is none
	Status  Status
	// Broken are versions that do not continue the one before them, ascending.
	Broken []uint32
	Flags  []Act // the flag of each party that has one, by party
	Deeds  []Act // the last of seen, acted and not-executed of each party, by party
	Links  []Act // links that hold, by party and alert
	Errors []Act // error notices
	Hits   []Hit // each alert once, as it was said first
	// Consents are the requests to pass it on.
	Consents []Consent
}

// Consent is a request to pass an alert on, and the originator's last answer.
type Consent struct {
	Request Act
	Answer  Act // Deed is zero while there is none
}

// Fold derives the state at a time.
func Fold(a Alert, now time.Time) State {
	s := State{Status: Current}
	s.foldVersions(a)
	acts := distinct(a.Acts, func(x Act) Statement { return x.Statement })
	flags := map[string]Act{}
	links := map[link]Act{}
	for _, x := range acts {
		switch x.Deed { //nolint:exhaustive // deeds and consents follow below
		case karaulav1.Deed_DEED_FLAG:
			flags[x.Party] = x
		case karaulav1.Deed_DEED_UNFLAG:
			delete(flags, x.Party)
		case karaulav1.Deed_DEED_LINK:
			links[link{x.Party, x.Other}] = x
		case karaulav1.Deed_DEED_UNLINK:
			delete(links, link{x.Party, x.Other})
		case karaulav1.Deed_DEED_ERROR:
			s.Errors = append(s.Errors, x)
		}
	}
	s.Flags, s.Links, s.Deeds = sorted(flags), sorted(links), Deeds(acts)
	s.Consents = consents(a.Origin, acts)
	s.foldHits(a.Hits)
	if s.Status == Current && s.Version.EraseAfter <= now.UnixMicro() {
		s.Status = Expired
	}
	if s.Status == Current && s.Version.Ordered {
		s.Status = Erased
	}
	return s
}

// Deeds gives the last of seen, acted and not-executed of each party, by party.
// What was done is not undone by a later reading.
func Deeds(acts []Act) []Act {
	last := map[string]Act{}
	for _, x := range distinct(acts, func(x Act) Statement { return x.Statement }) {
		done := x.Deed == karaulav1.Deed_DEED_ACTED || x.Deed == karaulav1.Deed_DEED_NOT_EXECUTED
		before, ok := last[x.Party]
		if done || x.Deed == karaulav1.Deed_DEED_SEEN && (!ok || before.Deed == karaulav1.Deed_DEED_SEEN) {
			last[x.Party] = x
		}
	}
	return sorted(last)
}

type link struct {
	party string
	other [16]byte
}

// foldVersions finds the version that counts: the highest one of the originator,
// or the withdrawal, behind which nothing counts.
func (s *State) foldVersions(a Alert) {
	versions := distinct(a.Versions, func(v Version) Statement { return v.Statement })
	first := map[uint32]Version{} // of several with one number, said on several channels, the one that was said first
	for _, v := range versions {
		if _, ok := first[v.Version]; !ok && v.Party == a.Origin {
			first[v.Version] = v
		}
	}
	for _, v := range first {
		if v.Version > 1 && !continues(v, versions) {
			s.Broken = append(s.Broken, v.Version)
		}
		gone := v.Lifecycle == karaulav1.Lifecycle_LIFECYCLE_WITHDRAW
		switch {
		case s.Status == Withdrawn && (!gone || v.Version > s.Version.Version):
		case gone, v.Version > s.Version.Version:
			s.Version = v
		}
		if gone {
			s.Status = Withdrawn
		}
	}
	slices.Sort(s.Broken)
}

// continues reports whether a version follows one that is known. Where the one
// before is unknown, nothing is wrong: it was said before this party read along,
// or is erased.
func continues(v Version, all []Version) bool {
	known := false
	for _, before := range all {
		if before.Party == v.Party && before.Version == v.Version-1 && before.Channel == v.Channel {
			known = true
			if before.Commitment == v.Supersedes {
				return true
			}
		}
	}
	return !known
}

// consents pairs requests with the originator's answers. The last answer counts: a
// consent can be taken back.
func consents(origin string, acts []Act) []Consent {
	var out []Consent
	for _, x := range acts {
		if x.Deed == karaulav1.Deed_DEED_CONSENT_REQUEST && x.Party != origin {
			out = append(out, Consent{Request: x})
		}
	}
	for _, x := range acts {
		if x.Party != origin || x.Deed != karaulav1.Deed_DEED_CONSENT && x.Deed != karaulav1.Deed_DEED_NO_CONSENT {
			continue
		}
		for i := range out {
			if r := out[i].Request; r.Onward == x.Onward && r.Party == x.For && slices.Contains(x.Answers, r.Leaf) {
				out[i].Answer = x
			}
		}
	}
	return out
}

// foldHits leaves each hit once. Hits of several countries all stand.
func (s *State) foldHits(hits []Hit) {
	seen := map[link]bool{}
	for _, h := range distinct(hits, func(h Hit) Statement { return h.Statement }) {
		if key := (link{h.Party, h.ID}); !seen[key] {
			seen[key] = true
			s.Hits = append(s.Hits, h)
		}
	}
}

// Compare orders statements: by the time they were said, and where that is the
// same by party, place and leaf. It is a total order of different statements.
func Compare(a, b Statement) int {
	return cmp.Or(
		cmp.Compare(a.SaidAt, b.SaidAt), cmp.Compare(a.Party, b.Party), cmp.Compare(a.Channel, b.Channel),
		cmp.Compare(a.Epoch, b.Epoch), cmp.Compare(a.Seq, b.Seq), bytes.Compare(a.Leaf[:], b.Leaf[:]),
	)
}

// distinct gives statements in their order, each once.
func distinct[T any](list []T, of func(T) Statement) []T {
	out := slices.Clone(list)
	slices.SortStableFunc(out, func(a, b T) int { return Compare(of(a), of(b)) })
	return slices.CompactFunc(out, func(a, b T) bool { return of(a) == of(b) })
}

// sorted gives the acts of a map in the order of party, other alert and time.
func sorted[K comparable](acts map[K]Act) []Act {
	out := make([]Act, 0, len(acts))
	for _, x := range acts {
		out = append(out, x)
	}
	slices.SortFunc(out, func(a, b Act) int {
		return cmp.Or(cmp.Compare(a.Party, b.Party), bytes.Compare(a.Other[:], b.Other[:]), Compare(a.Statement, b.Statement))
	})
	return out
}
