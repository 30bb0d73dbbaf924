package agreement

import (
	"fmt"
	"slices"
	"strings"

	"karaula/internal/terms"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// The readers of the lines channel and say.

func (p *parser) channel(line int, args []field) (err error) {
	// A broken channel line is one too, so that the clauses below it have a place.
	p.a.Channels = append(p.a.Channels, Channel{Line: line})
	c := &p.a.Channels[len(p.a.Channels)-1]
	if c.ID, err = args[0].word(""); err != nil {
		return err
	}
	p.validID(line, "channel id", c.ID)
	modeWord, err := args[1].word("mode=")
	if err != nil {
		return err
	}
	var ok bool
	if c.Mode, ok = terms.ParseMode(modeWord); !ok {
		return fmt.Errorf("%q is not a mode (actual, exercise, test)", clip(modeWord))
	}
	typesWord, err := args[2].word("types=")
	if err != nil {
		return err
	}
	if typesWord != "open" && typesWord != "sealed" {
		return fmt.Errorf("types are open or sealed, not %q", clip(typesWord))
	}
	c.SealedTypes = typesWord == "sealed"
	return nil
}

func (p *parser) say(line int, args []field) error {
	s := Say{Clause: p.says, Line: line}
	var err error
	if s.Parties, err = listArg(args[0]); err != nil {
		return err
	}
	if s.Types, err = typesArg(args[1]); err != nil {
		return err
	}
	if s.Personal, err = args[2].yesNo("personal="); err != nil {
		return err
	}
	if s.Handling, err = handlingArg(args[3]); err != nil {
		return err
	}
	if s.Retain, err = args[4].duration("retain<="); err != nil {
		return err
	}
	if len(args) == 6 {
		if s.Article, err = args[5].quoted("article="); err != nil {
			return err
		}
	}
	if len(p.a.Channels) == 0 {
		p.fail(line, "order", "a say line stands below a channel line").hint("channel %s mode=actual types=open", p.a.ID)
		return nil
	}
	c := &p.a.Channels[len(p.a.Channels)-1]
	c.Says = append(c.Says, s)
	return nil
}

// listArg reads a comma-separated list without spaces or repetitions.
func listArg(f field) ([]string, error) {
	s, err := f.word("")
	if err != nil {
		return nil, err
	}
	items := strings.Split(s, ",")
	for i, item := range items {
		if item == "" {
			return nil, fmt.Errorf("%q has an empty item", clip(s))
		}
		if slices.Contains(items[:i], item) {
			return nil, fmt.Errorf("%q stands twice in a list", clip(item))
		}
	}
	return items, nil
}

// typesArg reads a list of alert types.
func typesArg(f field) ([]karaulav1.AlertType, error) {
	words, err := listArg(f)
	if err != nil {
		return nil, err
	}
	out := make([]karaulav1.AlertType, len(words))
	for i, w := range words {
		typ, ok := terms.ParseType(w)
		if !ok {
			return nil, fmt.Errorf("%q is not an alert type (%s)", clip(w), strings.Join(terms.TypeWords(), ", "))
		}
		out[i] = typ
	}
	return out, nil
}

// handlingArg reads a handling ceiling.
func handlingArg(f field) (karaulav1.Handling, error) {
	s, err := f.word("handling<=")
	if err != nil {
		return 0, err
	}
	h, ok := terms.ParseHandling(s)
	if !ok {
		return 0, fmt.Errorf("%q is not a handling code (H0, H1, H2, H3)", clip(s))
	}
	return h, nil
}
