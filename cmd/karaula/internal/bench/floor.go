package bench

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"filippo.io/age"
	"google.golang.org/protobuf/proto"

	"karaula/internal/envelope"
	"karaula/internal/keyring"
	"karaula/internal/problem"
	"karaula/internal/seal"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// operation is the cryptography of one alert, with the keys of the two nodes.
type operation struct {
	content    []byte // what is framed and sealed
	statement  []byte // what is signed
	recipients []*age.HybridRecipient
	own        *age.HybridIdentity // opens the second copy
	signer     envelope.Signer
	public     ed25519.PublicKey
}

// statementBytes is how long the statement of an alert to one partner is.
const statementBytes = 520

// newOperation takes the keys from the nodes' folders, as the gateways do.
func (s *stage) newOperation(model *karaulav1.Alert) (*operation, error) {
	content, err := proto.Marshal(&karaulav1.Inner{
		AlertId: make([]byte, 16), Ledger: make([]byte, 32), Agreement: make([]byte, 32), Thread: make([]byte, 16),
		OfficerRef: make([]byte, 16), Channel: channel, Origin: sender, Version: 1, SaidAt: time.Now().UnixMicro(),
		Content: &karaulav1.Inner_Alert{Alert: model},
	})
	if err != nil {
		return nil, problem.Wrap(problem.Failed, err, "the content cannot be written")
	}
	from, err := keyring.LoadGateway(s.made[sender].Layout.GatewayKeys(), nil)
	if err != nil {
		return nil, err
	}
	to, err := keyring.LoadGateway(s.made[recipient].Layout.GatewayKeys(), nil)
	if err != nil {
		return nil, err
	}
	archive, _ := s.made[sender].Card.Recipient(karaulav1.KeyUse_KEY_USE_ARCHIVE)
	receive, id := s.made[recipient].Card.Recipient(karaulav1.KeyUse_KEY_USE_SEAL)
	own, ok := to.Identity(karaulav1.KeyUse_KEY_USE_SEAL, id[:])
	public, isKey := from.Sign.Private.Public().(ed25519.PublicKey)
	if !ok || !isKey || archive == nil || receive == nil {
		return nil, problem.New(problem.Locked, "the keys that were just made are not in the nodes' folders")
	}
	return &operation{
		content: content, statement: make([]byte, statementBytes), recipients: []*age.HybridRecipient{archive, receive},
		own: own.Identity, public: public,
		signer: envelope.Signer{Alg: karaulav1.SignAlg_SIGN_ALG_ED25519, KeyID: from.Sign.ID, Key: from.Sign.Private},
	}, nil
}

var errFloor = errors.New("what was just sealed and signed does not verify or open")

// once seals, signs, verifies and opens, and gives the length of the sealed part.
func (op *operation) once() (int, error) {
	var salt [32]byte
	rand.Read(salt[:])
	frame, err := seal.Frame(op.content, salt)
	if err != nil {
		return 0, err
	}
	sealed, err := seal.Seal(frame, op.recipients)
	if err != nil {
		return 0, err
	}
	pae := envelope.PAE(envelope.StatementType, op.statement)
	sig := ed25519.Sign(op.signer.Key, pae)
	if !ed25519.Verify(op.public, pae, sig) {
		return 0, errFloor
	}
	opened, err := seal.Open(sealed, op.own, 1, len(op.recipients))
	if err != nil {
		return 0, err
	}
	if seal.Commitment(opened) != seal.Commitment(frame) {
		return 0, errFloor
	}
	return len(sealed), nil
}

// floor does n operations on all cores.
func (op *operation) floor(n int) (Floor, error) {
	var left atomic.Int64
	left.Store(int64(n))
	workers := runtime.GOMAXPROCS(0)
	errs := make([]error, workers)
	var wg sync.WaitGroup
	began, cpu := time.Now(), cpuTime()
	for i := range workers {
		wg.Go(func() {
			for left.Add(-1) >= 0 && errs[i] == nil {
				_, errs[i] = op.once()
			}
		})
	}
	wg.Wait()
	took := time.Since(began).Seconds()
	return Floor{
		Operations: n, Seconds: took, PerSecond: float64(n) / took, CPUMicros: micros(cpuTime()-cpu, n),
	}, errors.Join(errs...)
}
