package keyring

import (
	"bytes"
	"slices"
	"time"

	"karaula/internal/problem"
	"karaula/internal/terms"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// OnlineUses lists the uses of the keys that [Gateway.Rotate] renews unless it
// is told which.
func OnlineUses() []karaulav1.KeyUse {
	return []karaulav1.KeyUse{
		karaulav1.KeyUse_KEY_USE_SIGN, karaulav1.KeyUse_KEY_USE_SEAL, karaulav1.KeyUse_KEY_USE_ARCHIVE,
		karaulav1.KeyUse_KEY_USE_LINK, karaulav1.KeyUse_KEY_USE_EXERCISE_SIGN, karaulav1.KeyUse_KEY_USE_EXERCISE_SEAL,
	}
}

// Rotate makes new keys of the given uses, or of [OnlineUses] if none is given.
// Old identities stay, because content sealed to them is still there; old keys
// that sign move to Retired, because they introduce the new card. The NATS and
// TLS keys stay. Unless uses are given the notice key stays, too, as long as half
// of its time is left: partners may need it before they have the new card.
// Nothing is written until [Gateway.Replace].
func (g *Gateway) Rotate(now time.Time, uses ...karaulav1.KeyUse) error {
	if len(uses) == 0 {
		uses = OnlineUses()
		if g.Notice.Key.Until.Before(now.Add(Validity / 2)) {
			uses = append(uses, karaulav1.KeyUse_KEY_USE_NOTICE)
		}
	}
	for _, use := range uses {
		if err := g.renew(use, now); err != nil {
			return err
		}
	}
	return nil
}

// Complete makes the keys that a key file of an earlier version does not have:
// those of exercises. It reports whether there were any to make.
func (g *Gateway) Complete(now time.Time) (made bool, err error) {
	if len(g.ExerciseSign.Private) == 0 {
		made, err = true, g.renew(karaulav1.KeyUse_KEY_USE_EXERCISE_SIGN, now)
	}
	if err == nil && len(g.ExerciseSeal) == 0 {
		made, err = true, g.renew(karaulav1.KeyUse_KEY_USE_EXERCISE_SEAL, now)
	}
	return made, err
}

// renew makes a new key of one use; the old one goes behind it or to Retired.
func (g *Gateway) renew(use karaulav1.KeyUse, now time.Time) error {
	if list := g.opening(use); list != nil {
		key, err := newSealKey(use, now)
		if err == nil {
			*list = append([]SealKey{key}, *list...)
		}
		return err
	}
	if !slices.Contains(signing, use) {
		return problem.New(problem.Invalid, "a %s key cannot be renewed by itself; no key was made", terms.UseWord(use))
	}
	key, err := newSignKey(use, now)
	if err != nil {
		return err
	}
	if old := g.newest(use); len(old.Private) > 0 {
		g.Retired = append([]SignKey{old}, g.Retired...)
	}
	switch use {
	case karaulav1.KeyUse_KEY_USE_SIGN:
		g.Sign = key
	case karaulav1.KeyUse_KEY_USE_LINK:
		g.Link = key
	case karaulav1.KeyUse_KEY_USE_EXERCISE_SIGN:
		g.ExerciseSign = key
	default:
		g.Notice, err = noticeKey(g.Party, key)
	}
	return err
}

// signing lists the uses of the keys that sign.
var signing = []karaulav1.KeyUse{
	karaulav1.KeyUse_KEY_USE_SIGN, karaulav1.KeyUse_KEY_USE_LINK, karaulav1.KeyUse_KEY_USE_NOTICE,
	karaulav1.KeyUse_KEY_USE_EXERCISE_SIGN,
}

// opening gives the identities of a use, newest first; nil for a use that signs.
func (g *Gateway) opening(use karaulav1.KeyUse) *[]SealKey {
	switch use {
	case karaulav1.KeyUse_KEY_USE_SEAL:
		return &g.Seal
	case karaulav1.KeyUse_KEY_USE_ARCHIVE:
		return &g.Archive
	case karaulav1.KeyUse_KEY_USE_EXERCISE_SEAL:
		return &g.ExerciseSeal
	default:
		return nil
	}
}

// newest gives the key of a use that signs which was made last.
func (g *Gateway) newest(use karaulav1.KeyUse) SignKey {
	switch use {
	case karaulav1.KeyUse_KEY_USE_SIGN:
		return g.Sign
	case karaulav1.KeyUse_KEY_USE_LINK:
		return g.Link
	case karaulav1.KeyUse_KEY_USE_EXERCISE_SIGN:
		return g.ExerciseSign
	default:
		return g.Notice.Key
	}
}

// SignKey finds a key that signs statements, whenever it was made, by its id.
func (g *Gateway) SignKey(id []byte) (SignKey, bool) {
	if k, ok := g.find(karaulav1.KeyUse_KEY_USE_SIGN, id); ok {
		return k, true
	}
	return g.find(karaulav1.KeyUse_KEY_USE_EXERCISE_SIGN, id)
}

// LinkKey finds a link key by its id.
func (g *Gateway) LinkKey(id []byte) (SignKey, bool) {
	return g.find(karaulav1.KeyUse_KEY_USE_LINK, id)
}

// NoticeKey finds a notice key by its id.
func (g *Gateway) NoticeKey(id []byte) (NoticeKey, bool) {
	k, ok := g.find(karaulav1.KeyUse_KEY_USE_NOTICE, id)
	if !ok {
		return NoticeKey{}, false
	}
	key, err := noticeKey(g.Party, k)
	return key, err == nil
}

func (g *Gateway) find(use karaulav1.KeyUse, id []byte) (SignKey, bool) {
	for _, k := range append([]SignKey{g.newest(use)}, g.Retired...) {
		if k.Use == use && bytes.Equal(k.ID[:], id) {
			return k, true
		}
	}
	return SignKey{}, false
}

// Held is one private key of a gateway, without its private half.
type Held struct {
	ID          [16]byte
	Use         karaulav1.KeyUse
	From, Until time.Time
}

// Held lists the private keys that cards name, by use, newest first.
func (g *Gateway) Held() []Held {
	var out []Held
	for _, use := range signing {
		for _, k := range append([]SignKey{g.newest(use)}, g.Retired...) {
			if k.Use == use && len(k.Private) > 0 {
				out = append(out, Held{k.ID, k.Use, k.From, k.Until})
			}
		}
	}
	for _, use := range OnlineUses() {
		if list := g.opening(use); list != nil {
			for _, k := range *list {
				out = append(out, Held{k.ID, k.Use, k.From, k.Until})
			}
		}
	}
	slices.SortStableFunc(out, func(a, b Held) int { return int(a.Use) - int(b.Use) })
	return out
}

// Forget takes keys out of the gateway's, but never the newest of a use. It gives
// those that it took out. Nothing is destroyed until [Gateway.Replace].
func (g *Gateway) Forget(ids ...[16]byte) (gone []Held) {
	for _, use := range OnlineUses() {
		list := g.opening(use)
		if list == nil || len(*list) == 0 {
			continue
		}
		kept := (*list)[:1:1]
		for _, k := range (*list)[1:] {
			if slices.Contains(ids, k.ID) {
				gone = append(gone, Held{k.ID, k.Use, k.From, k.Until})
			} else {
				kept = append(kept, k)
			}
		}
		*list = kept
	}
	var kept []SignKey
	for _, k := range g.Retired {
		if slices.Contains(ids, k.ID) {
			gone = append(gone, Held{k.ID, k.Use, k.From, k.Until})
		} else {
			kept = append(kept, k)
		}
	}
	g.Retired = kept
	return gone
}
