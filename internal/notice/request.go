package notice

import (
	"karaula/internal/problem"
	"karaula/internal/signedtext"
)

// Request writes a root change as far as the node knows it, for the machine that
// has the roots: without the next root and the one after it, and unsigned.
func (n *Notice) Request() []byte {
	open := *n
	open.Next, open.After = "", [32]byte{}
	return open.Encode()
}

// OpenRequest reads what Request has written.
func OpenRequest(text []byte) (*Notice, error) {
	if len(text) > MaxFile {
		return nil, problem.New(problem.Invalid, "request of %d bytes is above the limit of %d", len(text), MaxFile)
	}
	r := &reader{}
	findings := signedtext.CheckText(text, signedtext.Human{"reason": signedtext.Quoted})
	if len(findings) == 0 {
		findings = signedtext.ReadForm(text, Head, r.rules())
	}
	if len(findings) > 0 {
		return nil, signedtext.Problem(problem.Invalid, "request for a root change", findings)
	}
	n := &r.n
	if n.Act != RootChange || n.Root == "" || n.Next != "" || n.After != [32]byte{} || string(n.Encode()) != string(text) {
		return nil, problem.New(problem.Invalid, "this is no request for a root change").
			WithHint("karaula key root change --request FILE --dir DIR writes one")
	}
	return n, nil
}
