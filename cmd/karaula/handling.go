package main

import (
	"fmt"
	"time"

	"karaula/gateway/book"
	"karaula/internal/alert"
	"karaula/internal/lexicon"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// descentLine says whose alert it is that another party has passed on.
type descentLine struct {
	Originator string     `json:"originator"`
	Channel    string     `json:"channel"` // on which the originator said it
	Alert      string     `json:"alert"`   // its id there
	Version    uint32     `json:"version"` // which was passed on
	Digest     string     `json:"digest"`  // of the originator's statement
	Hash       string     `json:"hash"`    // of the version: the commitment to its content
	Consent    string     `json:"consent"` // digest of the originator's act of consent
	Purpose    string     `json:"purpose"` // what it agreed to it for
	Until      *time.Time `json:"until,omitempty"`
}

func newDescentLine(d *karaulav1.Descent) *descentLine {
	if d == nil || len(d.GetAlertId()) != 16 {
		return nil
	}
	return &descentLine{
		Originator: d.GetOriginator(), Channel: d.GetChannel(), Alert: book.IDText([16]byte(d.GetAlertId())),
		Version: d.GetVersion(), Digest: fmt.Sprintf("%x", d.GetDigest()), Hash: fmt.Sprintf("%x", d.GetCommitment()),
		Consent: fmt.Sprintf("%x", d.GetConsent()), Purpose: alert.PurposeWord(d.GetPurpose()), Until: when(d.GetUntil()),
	}
}

// short says it in one line.
func (d *descentLine) short(in lang) string {
	return fmt.Sprintf("%s %s, %s %d", in.party(d.Originator), d.Alert, in.label("version"), d.Version)
}

// fields say it for people, in full.
func (d *descentLine) fields(in lang) []field {
	if d == nil {
		return nil
	}
	text := d.short(in) + ", " + d.Channel
	consent := d.Consent + ", " + in.word(karaulav1.Purpose(0), d.Purpose)
	if d.Until != nil {
		consent += ", " + d.Until.Format(shortTime)
	}
	return []field{{in.label("passed on"), text}, {"", "sha256 " + d.Hash}, {"", "consent " + consent}}
}

// handlingText says a handling code in words, in English where no language is asked
// for: it binds whoever reads it.
func handlingText(in lang, code string) string {
	if code == "" {
		return ""
	}
	if in.none() {
		in = lang{lexicon.English}
	}
	return code + ": " + in.word(karaulav1.Handling(0), code)
}

// courtWord says what something needs to be evidence in court: its originator's
// consent, or what the restriction says in words; empty where it needs nothing. What
// may not be passed on without consent may not be passed on to a court either.
func courtWord(h karaulav1.Handling) string {
	switch h {
	case karaulav1.Handling_HANDLING_H1, karaulav1.Handling_HANDLING_H2:
		return "consent"
	case karaulav1.Handling_HANDLING_H3:
		return "restriction"
	default:
		return ""
	}
}
