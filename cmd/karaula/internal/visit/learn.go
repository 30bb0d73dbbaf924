package visit

import (
	"context"

	"karaula/internal/envelope"
	"karaula/internal/evidence"
	"karaula/internal/problem"
	"karaula/internal/register"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// maxRounds bounds how often texts that need each other are tried.
const maxRounds = 4

// learn takes the cards, texts and notices that statements carry into the
// auditor's register, by the register's own rules: what no pinned root has signed
// stays out, and the replay then says what is not known.
func (v *visitor) learn(ctx context.Context) error {
	var waiting []carried
	for _, in := range v.ledgers(v.o.Register.View()) {
		err := v.read(ctx, in, func(r evidence.Raw) bool {
			if c, ok := carries(r.Data); ok && c.take(v.o.Register) != nil {
				waiting = append(waiting, c)
			}
			return true
		})
		if err != nil {
			return err
		}
	}
	for range maxRounds {
		var still []carried
		for _, c := range waiting {
			if problem.Is(c.take(v.o.Register), problem.NotFound) {
				still = append(still, c)
			}
		}
		if len(still) == len(waiting) || len(still) == 0 {
			return nil
		}
		waiting = still
	}
	return nil
}

// carried is a signed text that a statement carries.
type carried struct {
	kind karaulav1.Kind
	file []byte
}

// carries finds it.
func carries(raw []byte) (carried, bool) {
	p, ok := envelope.Peek(raw)
	if !ok {
		return carried{}, false
	}
	kind := p.Said.GetKind()
	switch kind {
	case karaulav1.Kind_KIND_CARD, karaulav1.Kind_KIND_AGREEMENT, karaulav1.Kind_KIND_NOTICE:
	default:
		return carried{}, false
	}
	st, err := envelope.ParseOuter(raw)
	if err != nil {
		return carried{}, false
	}
	body, err := st.Body()
	if err != nil {
		return carried{}, false
	}
	switch b := body.(type) {
	case *karaulav1.CardBody:
		return carried{kind, b.GetCard()}, true
	case *karaulav1.AgreementBody:
		return carried{kind, b.GetAgreement()}, true
	case *karaulav1.NoticeBody:
		return carried{kind, b.GetNotice()}, true
	default:
		return carried{}, false
	}
}

func (c carried) take(reg *register.Register) error {
	var err error
	switch c.kind {
	case karaulav1.Kind_KIND_CARD:
		_, err = reg.AddCard(c.file, register.AddCardOptions{})
	case karaulav1.Kind_KIND_AGREEMENT:
		_, err = reg.AddAgreement(c.file)
	default:
		err = reg.AddNotice(c.file)
	}
	return err //nolint:wrapcheck // only its kind is looked at
}
