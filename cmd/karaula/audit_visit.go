package main

import (
	"context"

	"karaula/cmd/karaula/internal/visit"
	"karaula/gateway/book"
	"karaula/internal/border"
	"karaula/internal/keyring"
	"karaula/internal/problem"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// visit begins an audit at a party's broker, as the auditor whose folder it is.
func (a *app) visit(ctx context.Context, f *auditFlags, req *karaulav1.AuditRequest) (*inspection, error) {
	n, err := a.open(f.dir)
	if err != nil {
		return nil, err
	}
	keys, err := keyring.LoadAuditor(n.AuditorKeys(), f.pass())
	if err != nil {
		return nil, err
	}
	in, nc, err := visit.Begin(ctx, visit.Options{
		Layout: n.Layout, Register: n.reg, Keys: keys, Party: f.broker, Address: f.address, Channel: f.channel,
		Deed: req.GetDeed(), Reason: f.reason, Skew: n.ClockSkew, Now: a.now,
	})
	if err != nil {
		return nil, err //nolint:wrapcheck // it says what was not done
	}
	return &inspection{in, visitorKeys(keys), nc.Close}, nil
}

// contentKeys are the keys with which content is read: the visiting auditor's
// own, or those of a file.
func (a *app) contentKeys(n *inspection, file string) (code string, opener border.Opener, err error) {
	keys := n.keys
	if file != "" {
		if keys, err = a.identityFile(file); err != nil {
			return "", nil, err
		}
	}
	return auditor(n.View, keys)
}

// alertUUID reads the id of an alert.
func alertUUID(text string) ([16]byte, error) {
	id, ok := book.ParseID(text)
	if !ok {
		return id, problem.New(problem.Invalid, "%q is no alert id (a UUID of version 7); nothing was read", text)
	}
	return id, nil
}
