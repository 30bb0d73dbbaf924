package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"karaula/cmd/karaula/internal/setup"
	"karaula/gateway/desk"
	"karaula/internal/problem"
	"karaula/internal/terms"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

func newKey(a *app) *cobra.Command {
	return group("key", "list, rotate and revoke the node's online keys, and ask what a thief would have",
		`The node's online keys stand in its card, signed by the root key. A rotation makes
new ones; the old ones stay, sealed, until nothing needs them any more. A revocation
ends a stolen key at a place of each ledger, and partners obey it at once. The root
key itself is replaced with karaula key root.`,
		newKeyList(a), newKeyRotate(a), newKeyRenew(a), newKeyRevoke(a), newKeyPrune(a), newKeyDrill(a), newKeyRoot(a))
}

// loadPatience is how long a running node may take to open new keys.
const loadPatience = 30 * time.Second

// loaded gives the function that waits until a running node has new keys, so that
// nothing is sealed to a key or signed under a card that the node does not have.
func (a *app) loaded(dir string) func(context.Context, [][16]byte) error {
	node, err := client(dir)
	if err != nil {
		return nil // it does not run: it reads them at its start
	}
	return func(ctx context.Context, ids [][16]byte) error {
		for deadline := time.Now().Add(loadPatience); ; {
			resp, err := node.Status(ctx, connect.NewRequest(&karaulav1.StatusRequest{}))
			if err != nil && problem.Is(desk.FromConnect(err), problem.Unreachable) {
				return nil // it has stopped
			}
			if err != nil {
				return desk.FromConnect(err)
			}
			if hasAll(resp.Msg.GetKeys(), ids) {
				return nil
			}
			if time.Now().After(deadline) {
				return problem.New(problem.Locked,
					"the running node does not open the new keys; no card was issued, and the old keys stay in use").
					WithHint("look at karaula status; then karaula card issue --dir %s names the new keys", dir)
			}
			select {
			case <-ctx.Done():
				return ctx.Err() //nolint:wrapcheck // the caller's own context
			case <-time.After(100 * time.Millisecond):
			}
		}
	}
}

func hasAll(have [][]byte, want [][16]byte) bool {
	held := map[string]bool{}
	for _, id := range have {
		held[string(id)] = true
	}
	for _, id := range want {
		if !held[string(id[:])] {
			return false
		}
	}
	return true
}

func newKeyRotate(a *app) *cobra.Command {
	var o setup.CardOptions
	var dir, request string
	var uses []string
	c := &cobra.Command{
		Use:   "rotate --dir DIR",
		Short: "make new online keys and the card that names them",
		Long: `Makes new keys and issues the card that names them, also while the node runs: it
has the new keys before the card is there. The old ones stay: partners with the older
card still seal to them, and what was sealed to them must still be opened. Without
--use all keys are renewed but the notice key, which lives longer, and the TLS and
NATS keys. No alert is lost across a rotation.`,
		Example: `  karaula key rotate --dir al
  karaula key rotate --dir al --use seal --use archive
  karaula key rotate --dir al --request al.request`,
		Args: positional(),
	}
	dirFlag(c, &dir)
	c.Flags().StringSliceVar(&uses, "use", nil, "only keys of this use: sign, seal, archive, notice, link, exercise-sign, exercise-seal")
	requestFlag(c, &request)
	pass := passphraseFlag(c, "the keys")
	rootPass := rootFlags(c, &o.RootKey, pass)
	c.RunE = func(c *cobra.Command, _ []string) error {
		for _, word := range uses {
			use, ok := parseUse(word)
			if !ok {
				return errUsage(c, "%q is not a use of keys that are rotated", word)
			}
			o.Uses = append(o.Uses, use)
		}
		o.Passphrase, o.RootPassphrase, o.Now, o.Rotate, o.Loaded = pass(), rootPass(), a.now(), true, a.loaded(dir)
		out, err := a.nextCard(c.Context(), dir, request, o)
		if err != nil {
			return err
		}
		return a.show(*out)
	}
	return c
}

// parseUse reads the use of a key that can be rotated.
func parseUse(word string) (karaulav1.KeyUse, bool) {
	for n := range karaulav1.KeyUse_name {
		use := karaulav1.KeyUse(n)
		if use != karaulav1.KeyUse_KEY_USE_UNSPECIFIED && use != karaulav1.KeyUse_KEY_USE_AUDIT && terms.UseWord(use) == word {
			return use, true
		}
	}
	return 0, false
}

// parseKeyID reads a key id as cards write it.
func parseKeyID(c *cobra.Command, text string) ([16]byte, error) {
	raw, err := hex.DecodeString(strings.TrimSpace(text))
	if err != nil || len(raw) != 16 {
		return [16]byte{}, errUsage(c, "%q is not a key id of 32 hex digits, as karaula key list shows them", text)
	}
	return [16]byte(raw), nil
}

// pruneResult says which keys were destroyed.
type pruneResult struct {
	DryRun bool      `json:"dry_run"`
	Keys   []keyName `json:"keys"`
}

// keyName is one key.
type keyName struct {
	Use string `json:"use"`
	ID  string `json:"id"` // hex
}

func (r pruneResult) page(p *page) {
	verb := "destroyed"
	if r.DryRun {
		verb = "would be destroyed:"
	}
	for _, k := range r.Keys {
		p.line("%s %s %s", verb, k.Use, k.ID)
	}
	if len(r.Keys) == 0 {
		p.line("every key is still needed")
	}
}

func newKeyPrune(a *app) *cobra.Command {
	var dir string
	var dry bool
	c := &cobra.Command{
		Use:   "prune --dir DIR",
		Short: "destroy old keys that nothing needs any more",
		Long: `Asks the running node to destroy old keys: those that open, when no content sealed
to them is on disk any more and every partner has shown that it knows a later card;
those that sign, when every ledger has told of a later card. It is recorded in the
desk stream. The node does this by itself once a day.`,
		Example: "  karaula key prune --dir al --dry-run\n  karaula key prune --dir al",
		Args:    positional(),
	}
	dirFlag(c, &dir)
	c.Flags().BoolVar(&dry, "dry-run", false, "only say which")
	c.RunE = func(c *cobra.Command, _ []string) error {
		node, err := client(dir)
		if err != nil {
			return err
		}
		resp, err := node.PruneKeys(c.Context(), connect.NewRequest(&karaulav1.PruneKeysRequest{DryRun: dry}))
		if err != nil {
			return desk.FromConnect(err)
		}
		out := pruneResult{DryRun: dry, Keys: []keyName{}}
		for _, k := range resp.Msg.GetKeys() {
			out.Keys = append(out.Keys, keyName{terms.UseWord(k.GetUse()), fmt.Sprintf("%x", k.GetKey())})
		}
		return a.show(out)
	}
	return c
}
