package main

import (
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/reflect/protoreflect"

	"karaula/internal/alert"
	"karaula/internal/lexicon"
	"karaula/internal/node"
	"karaula/internal/terms"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// lang is the language of a page. The zero value leaves every word as files and
// the JSON form have it.
type lang struct{ lexicon.Language }

// languageFlag adds --language.
func languageFlag(c *cobra.Command, tag *string) {
	c.Flags().StringVar(tag, "language", "", "language of the page: "+list(lexicon.Tags())+" (default: language of node.yaml)")
	_ = c.RegisterFlagCompletionFunc("language", cobra.FixedCompletions(lexicon.Tags(), cobra.ShellCompDirectiveNoFileComp))
}

// language is what the flag says, or else the configuration of the node.
func language(c *cobra.Command, dir, tag string) (lang, error) {
	if tag == "" {
		config, err := node.Load(dir)
		if err != nil {
			return lang{}, err
		}
		return lang{lexicon.Language(config.Language)}, nil
	}
	l, ok := lexicon.Parse(tag)
	if !ok {
		return lang{}, errUsage(c, "%q is not a language; there are %s", tag, list(lexicon.Tags()))
	}
	return lang{l}, nil
}

// none reports whether words stay as they are.
func (l lang) none() bool { return l.Language == "" }

// label gives the head of a column or of a value.
func (l lang) label(word string) string {
	if s := l.Label(strings.ReplaceAll(word, " ", "-")); s != "" {
		return s
	}
	return word
}

// labels gives the heads of a table.
func (l lang) labels(head ...string) []string {
	for i, word := range head {
		head[i] = l.label(word)
	}
	return head
}

// word gives the term of a coded word of an enum, of which e is any value; the
// word itself where there is none.
func (l lang) word(e protoreflect.Enum, word string) string {
	n, ok := alert.Number(e.Descriptor(), strings.ReplaceAll(word, " ", "-"))
	if s := l.Term(e.Descriptor(), n); ok && s != "" {
		return s
	}
	return word
}

// act gives what an act says in the terms of its coded values.
func (l lang) act(a *karaulav1.Act) string {
	var text strings.Builder
	text.WriteString(l.Term(a.GetDeed().Descriptor(), a.GetDeed().Number()))
	for _, e := range []protoreflect.Enum{a.GetGround(), a.GetRelation()} {
		if term := l.Term(e.Descriptor(), e.Number()); term != "" {
			text.WriteString(" (" + term + ")")
		}
	}
	if a.GetOnward() != "" {
		text.WriteString(": " + a.GetOnward())
	}
	return text.String()
}

// party gives the name of a party; its code where there is none.
func (l lang) party(code string) string {
	if s := l.Party(code); s != "" {
		return s
	}
	return code
}

// since says what became of something, by whom if a party is named, and where it
// stood before.
func (l lang) since(what, party, before string) string {
	what = strings.ToUpper(what)
	switch {
	case l.none() && party != "":
		return what + " by " + party + ", was " + before
	case l.none():
		return what + ", was " + before
	case party != "":
		what += " (" + l.party(party) + ")"
	}
	return what + "; " + l.label("was") + ": " + before
}

// footnote writes the footnote that belongs to what a page shows of these
// parties, in the wording that was agreed: it is not translated.
func (l lang) footnote(p *page, parties map[string]bool) {
	if parties["xk"] && !l.none() {
		p.blank()
		p.line("%s", terms.KosovoFootnote)
	}
}
