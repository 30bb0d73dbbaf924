package border

import (
	"testing"

	"karaula/internal/agreement"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Formats and agreements know one algorithm of each kind today, so no bytes
// lead here; the check must be right on the day when they know two.
func TestAlgorithmsBelowTheMinimum(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		minSign, minSeal string
		signs            []karaulav1.SignAlg
		seal             karaulav1.SealAlg
		weak             bool
	}{
		{"ed25519", "age-hybrid", []karaulav1.SignAlg{1}, 1, false},
		{"ed25519", "age-hybrid", []karaulav1.SignAlg{2}, 1, false},
		{"ml-dsa-65", "age-hybrid", []karaulav1.SignAlg{1}, 1, true},
		{"ml-dsa-65", "age-hybrid", []karaulav1.SignAlg{1, 2}, 1, false},
		{"ed25519", "age-hybrid", []karaulav1.SignAlg{9}, 1, true},
		{"ed25519", "age-hybrid", []karaulav1.SignAlg{1}, 9, true},
		{"unheard-of", "age-hybrid", []karaulav1.SignAlg{1}, 1, true},
		{"ed25519", "unheard-of", []karaulav1.SignAlg{1}, 1, true},
	} {
		st := &karaulav1.Statement{Parts: []*karaulav1.Part{{SealAlg: c.seal}}}
		for _, alg := range c.signs {
			st.Signers = append(st.Signers, &karaulav1.Signer{Alg: alg})
		}
		j := &judging{st: st, text: &agreement.Agreement{MinSign: c.minSign, MinSeal: c.minSeal}}
		out := j.checkAlgorithms()
		if (out != nil) != c.weak || out != nil && out.code != karaulav1.Code_CODE_WEAK_ALGORITHM {
			t.Errorf("minimum %s and %s, signed %v, sealed %v: %+v", c.minSign, c.minSeal, c.signs, c.seal, out)
		}
	}
}
