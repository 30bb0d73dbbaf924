package link

import (
	"crypto/ed25519"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"testing"

	"karaula/internal/keyring"
	"karaula/internal/subject"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// TestTheSpecificationSaysWhatTheCodeDoes compares docs/spec/link.md with the
// code: its vector byte for byte, its codes, and its limits.
func TestTheSpecificationSaysWhatTheCodeDoes(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("../../docs/spec/link.md")
	must(t, err)
	text := string(raw)
	unfolded := strings.NewReplacer("\n    ", "", "\n", "").Replace(text)

	seed, id := make([]byte, 32), make([]byte, idSize)
	for i := range seed {
		seed[i] = byte(i)
	}
	copy(id, seed)
	private := ed25519.NewKeyFromSeed(seed)
	public := private.Public().(ed25519.PublicKey)
	key := keyring.SignKey{
		ID:  keyring.KeyID(karaulav1.KeyUse_KEY_USE_LINK, "ed25519", public),
		Use: karaulav1.KeyUse_KEY_USE_LINK, Private: private,
	}
	message, err := sign(RequestType, &karaulav1.LinkRequest{
		Format: Format, From: "me", To: "al", Id: id, AskedAt: 1_700_000_000_000_000,
		Ask: &karaulav1.LinkRequest_Get{Get: &karaulav1.Get{What: &karaulav1.Get_Card{Card: &karaulav1.GetCard{}}}},
	}, key, subject.MaxLinkRequest)
	must(t, err)
	m, err := unwrap(message, subject.MaxLinkRequest)
	must(t, err)
	if req, code := parseRequest(m.GetBody()); code != "" {
		t.Fatalf("the vector is %q: %v", code, req)
	}
	for what, b := range map[string][]byte{
		"public key": public, "key id": key.ID[:], "body": m.GetBody(), "LinkMessage": message,
	} {
		if !strings.Contains(unfolded, hex.EncodeToString(b)) {
			t.Errorf("the vector's %s is %x", what, b)
		}
	}
	for _, want := range []string{
		RequestType, ReplyType,
		number(subject.MaxLinkRequest), number(subject.MaxLinkReply), number(maxFrame), number(MaxStatementBytes),
		number(maxText), number(maxAgreements), number(maxHeads), number(maxStatements), number(subject.MaxRequestBatch),
		fmt.Sprintf("%d texts", maxTexts), fmt.Sprintf("%d hashes", maxFrontier), fmt.Sprintf("%d requests", DefaultBurst),
		fmt.Sprintf("%d a second", DefaultRate), fmt.Sprintf("%d long", queueLength),
		fmt.Sprintf(`"max_bytes":%d`, pullBytes), fmt.Sprintf(`"expires":%d`, subject.PullExpires),
		fmt.Sprintf(`"idle_heartbeat":%d`, pullHeartbeat),
	} {
		if !strings.Contains(text, want) {
			t.Errorf("docs/spec/link.md does not say %q", want)
		}
	}
	for _, c := range []Code{
		CodeNotAParty, CodeNotFound, CodeTooOften, CodeTooOld, CodeReplayed,
		CodeMalformed, CodeUnsupported, CodeTooLarge, CodeFailed,
	} {
		if !strings.Contains(text, "| `"+string(c)+"` |") || knownCode(string(c)) != c {
			t.Errorf("code %q is not in docs/spec/link.md or not read", c)
		}
	}
}

// number writes a number with commas.
func number(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
