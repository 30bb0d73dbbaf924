package main

import (
	"strings"

	"filippo.io/age"

	"karaula/internal/border"
	"karaula/internal/keyring"
	"karaula/internal/problem"
	"karaula/internal/register"
	"karaula/internal/seal"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// maxKeyFile is the largest file with an identity, in bytes.
const maxKeyFile = 16 << 10

// auditorKey opens what is sealed to one key of an auditor.
type auditorKey struct {
	id       [16]byte
	identity *age.HybridIdentity
}

// Open implements border.Opener.
func (k auditorKey) Open(rec *karaulav1.Recipient, sealed []byte, i, n int) ([]byte, error) {
	if [16]byte(rec.GetKeyId()) != k.id {
		return nil, problem.New(problem.Locked, "it is sealed to another key of the auditor")
	}
	return seal.Open(sealed, k.identity, i, n) //nolint:wrapcheck // the border check classifies it
}

// auditor finds whose key is in a file: an auditor that an agreement names.
func (a *app) auditor(view *register.View, path string) (code string, opener border.Opener, err error) {
	body, err := a.readFile(path, "key", maxKeyFile)
	if err != nil {
		return "", nil, err
	}
	identity, err := age.ParseHybridIdentity(secretLine(string(body)))
	if err != nil {
		return "", nil, problem.New(problem.Locked, "%s holds no age identity of the hybrid kind; nothing was opened", path)
	}
	id := keyring.KeyID(karaulav1.KeyUse_KEY_USE_AUDIT, keyring.AlgAgeHybrid, []byte(identity.Recipient().String()))
	for _, e := range view.Agreements() {
		for _, d := range e.Agreement.Auditors {
			for _, c := range view.Cards(d.Code) {
				if _, ok := c.Key(karaulav1.KeyUse_KEY_USE_AUDIT, id[:]); ok && e.Complete && c.Root == d.Root {
					return d.Code, auditorKey{id, identity}, nil
				}
			}
		}
	}
	return "", nil, problem.New(problem.NotAllowed, "no agreement names an auditor whose card has this key; nothing was opened").
		WithHint("karaula agreement show ID --dir DIR names the auditors")
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
