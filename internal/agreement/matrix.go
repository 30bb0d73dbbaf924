package agreement

import (
	"cmp"
	"slices"
	"time"

	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Row says that one party may tell another one a type, and why.
type Row struct {
	// From says it, To reads it: party codes.
	From, To string
	// Type is what may be said.
	Type karaulav1.AlertType
	// Grants are the clauses that allow it, at least one, in the order of the texts.
	Grants []Grant
}

// Grant is one clause of a [Row] and what it allows.
type Grant struct {
	// Agreement and Channel are ids.
	Agreement, Channel string
	// Ref names the clause: "b01-al-me clause 2 (Art. 5)".
	Ref string
	// Personal, Handling and Retain are the clause's limits.
	Personal bool
	Handling karaulav1.Handling
	Retain   time.Duration
	// Mode of the channel.
	Mode karaulav1.Mode
}

// Refs lists the clauses of a row.
func (r Row) Refs() []string {
	out := make([]string, len(r.Grants))
	for i, g := range r.Grants {
		out[i] = g.Ref
	}
	return out
}

// Matrix says who may tell whom what under these texts, whatever their phase:
// one row per from, to and type that is possible, ordered by these three.
// Auditors read everything of their agreements and are not in it.
func Matrix(agreements ...*Agreement) []Row {
	index := map[rowKey]*Row{}
	for _, a := range agreements {
		for _, c := range a.Channels {
			for _, s := range c.Says {
				a.grants(c, s, index)
			}
		}
	}
	out := make([]Row, 0, len(index))
	for _, r := range index {
		out = append(out, *r)
	}
	slices.SortFunc(out, func(x, y Row) int {
		return cmp.Or(cmp.Compare(x.From, y.From), cmp.Compare(x.To, y.To), cmp.Compare(x.Type, y.Type))
	})
	return out
}

type rowKey struct {
	from, to string
	typ      karaulav1.AlertType
}

// grants enters one clause into the rows of all it lets somebody tell somebody.
func (a *Agreement) grants(c Channel, s Say, index map[rowKey]*Row) {
	g := Grant{
		Agreement: a.ID, Channel: c.ID, Ref: s.Ref(a.ID), Mode: c.Mode,
		Personal: s.Personal, Handling: s.Handling, Retain: s.Retain,
	}
	for _, from := range s.Parties {
		for _, to := range a.Parties {
			if to.Code == from {
				continue
			}
			for _, t := range s.Types {
				key := rowKey{from, to.Code, t}
				if index[key] == nil {
					index[key] = &Row{From: from, To: to.Code, Type: t}
				}
				index[key].Grants = append(index[key].Grants, g)
			}
		}
	}
}
