package desk

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"connectrpc.com/connect"

	"karaula/internal/keyring"
	"karaula/internal/problem"
	"karaula/internal/terms"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// maxKeyIDs bounds how many keys one request names.
const maxKeyIDs = 256

// KeyUse says what the own keys are needed for. No content is opened; a drill is
// recorded as one.
func (d *Desk) KeyUse(
	ctx context.Context, req *connect.Request[karaulav1.KeyUseRequest],
) (*connect.Response[karaulav1.KeyUseResponse], error) {
	resp, err := d.keyUse(ctx, req.Msg)
	return reply(d, resp, err)
}

func (d *Desk) keyUse(ctx context.Context, m *karaulav1.KeyUseRequest) (*karaulav1.KeyUseResponse, error) {
	officer, err := who(ctx, "supervisor", "auditor", "admin")
	if err != nil {
		return nil, err
	}
	if len(m.GetKeys()) > maxKeyIDs {
		return nil, problem.New(problem.Invalid, "%d key ids in one request, up to %d are taken", len(m.GetKeys()), maxKeyIDs)
	}
	deed, words := "keys", make([]string, 0, len(m.GetKeys()))
	if m.GetDrill() {
		deed = "drill"
	}
	for _, id := range m.GetKeys() {
		if len(id) != 16 {
			return nil, problem.New(problem.Invalid, "a key id has 16 bytes")
		}
		words = append(words, fmt.Sprintf("%x", id))
	}
	if len(words) == 0 {
		words = append(words, "all keys")
	}
	if err := d.record(ctx, officer, deed, &karaulav1.DeskEntry{Reason: strings.Join(words, " ")}); err != nil {
		return nil, err
	}
	return d.cfg.KeyUse(ctx, m)
}

// PruneKeys destroys old keys that nothing needs any more.
func (d *Desk) PruneKeys(
	ctx context.Context, req *connect.Request[karaulav1.PruneKeysRequest],
) (*connect.Response[karaulav1.PruneKeysResponse], error) {
	resp, err := d.pruneKeys(ctx, req.Msg.GetDryRun())
	return reply(d, resp, err)
}

// errDryRun stops a destruction that was only to be shown.
var errDryRun = errors.New("dry run")

func (d *Desk) pruneKeys(ctx context.Context, dry bool) (*karaulav1.PruneKeysResponse, error) {
	officer, err := who(ctx, "supervisor", "admin")
	if err != nil {
		return nil, err
	}
	var old []keyring.Held
	_, err = d.cfg.PruneKeys(ctx, func(keys []keyring.Held) error {
		if old = keys; dry {
			return errDryRun
		}
		return d.record(ctx, officer, "prune", &karaulav1.DeskEntry{Reason: keyWords(keys)})
	})
	if err != nil && !errors.Is(err, errDryRun) {
		return nil, err
	}
	resp := &karaulav1.PruneKeysResponse{}
	for _, k := range old {
		resp.Keys = append(resp.Keys, &karaulav1.PrunedKey{Key: k.ID[:], Use: k.Use})
	}
	return resp, nil
}

// RecordPruned records that the gateway by itself is about to destroy old keys.
func (d *Desk) RecordPruned(ctx context.Context, old []keyring.Held) error {
	return d.record(ctx, Officer{ID: "gateway", Role: "system"}, "prune", &karaulav1.DeskEntry{Reason: keyWords(old)})
}

func keyWords(keys []keyring.Held) string {
	words := make([]string, 0, len(keys))
	for _, k := range keys {
		words = append(words, fmt.Sprintf("%s %x", terms.UseWord(k.Use), k.ID))
	}
	return strings.Join(words, ", ")
}
