package envelope

import (
	"google.golang.org/protobuf/proto"

	"karaula/internal/wire"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Body gives the body of an unsealed kind: a Receipt, CardBody, AgreementBody,
// NoticeBody, EpochBody or ExerciseBody, and nil for the kinds that have none. It refuses
// with bad-body what is not in strict wire form; what the body says is not
// checked. Errors are of type [*Refusal].
func (p *Parsed) Body() (proto.Message, error) {
	m := newBody(p.Statement.GetKind())
	if m == nil {
		return nil, nil //nolint:nilnil // no body is a fact, not an error
	}
	if err := wire.Unmarshal(p.Statement.GetBody(), m, MaxStatement); err != nil {
		return nil, Refuse(karaulav1.Code_CODE_BAD_BODY, err.Error())
	}
	return m, nil
}

// newBody gives an empty body of the kind's type; nil if it has none.
func newBody(kind karaulav1.Kind) proto.Message {
	switch kind {
	case karaulav1.Kind_KIND_RECEIPT:
		return &karaulav1.Receipt{}
	case karaulav1.Kind_KIND_CARD:
		return &karaulav1.CardBody{}
	case karaulav1.Kind_KIND_AGREEMENT:
		return &karaulav1.AgreementBody{}
	case karaulav1.Kind_KIND_NOTICE:
		return &karaulav1.NoticeBody{}
	case karaulav1.Kind_KIND_EPOCH:
		return &karaulav1.EpochBody{}
	case karaulav1.Kind_KIND_EXERCISE:
		return &karaulav1.ExerciseBody{}
	default:
		return nil
	}
}
