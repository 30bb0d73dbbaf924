package main

import (
	"strings"

	"filippo.io/age"

	"karaula/internal/border"
	"karaula/internal/card"
	"karaula/internal/keyring"
	"karaula/internal/problem"
	"karaula/internal/register"
	"karaula/internal/seal"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// maxKeyFile is the largest file with an identity, in bytes.
const maxKeyFile = 16 << 10

// auditorKeys open what is sealed to an auditor, by the ids of its keys.
type auditorKeys map[[16]byte]*age.HybridIdentity

// Open implements border.Opener.
func (k auditorKeys) Open(rec *karaulav1.Recipient, sealed []byte, i, n int) ([]byte, error) {
	identity, ok := k[[16]byte(rec.GetKeyId())]
	if !ok {
		return nil, problem.New(problem.Locked, "it is sealed to another key of the auditor")
	}
	return seal.Open(sealed, identity, i, n) //nolint:wrapcheck // the border check classifies it
}

// visitorKeys are the auditor's own keys.
func visitorKeys(keys *keyring.Auditor) auditorKeys {
	out := auditorKeys{}
	for _, k := range keys.Audit {
		out[k.ID] = k.Identity
	}
	return out
}

// identityFile reads a file with one age identity.
func (a *app) identityFile(path string) (auditorKeys, error) {
	body, err := a.readFile(path, "key", maxKeyFile)
	if err != nil {
		return nil, err
	}
	identity, err := age.ParseHybridIdentity(secretLine(string(body)))
	if err != nil {
		return nil, problem.New(problem.Locked, "%s holds no age identity of the hybrid kind; nothing was opened", path)
	}
	id := keyring.KeyID(karaulav1.KeyUse_KEY_USE_AUDIT, keyring.AlgAgeHybrid, []byte(identity.Recipient().String()))
	return auditorKeys{id: identity}, nil
}

// auditor finds whose keys these are: an auditor's whom an agreement names.
func auditor(view *register.View, keys auditorKeys) (code string, opener border.Opener, err error) {
	for _, e := range view.Agreements() {
		for _, d := range e.Agreement.Auditors {
			for _, c := range view.Cards(d.Code) {
				if e.Complete && c.Root == d.Root && names(c, keys) {
					return d.Code, keys, nil
				}
			}
		}
	}
	return "", nil, problem.New(problem.NotAllowed, "no agreement names an auditor whose card has this key; nothing was opened").
		WithHint("karaula agreement show ID --dir DIR names the auditors")
}

// names reports whether a card has one of the keys.
func names(c *card.Card, keys auditorKeys) bool {
	for id := range keys {
		if _, ok := c.Key(karaulav1.KeyUse_KEY_USE_AUDIT, id[:]); ok {
			return true
		}
	}
	return false
}

// secretLine is the line of an identity file that holds it.
func secretLine(text string) string {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			return line
		}
	}
	return ""
}
