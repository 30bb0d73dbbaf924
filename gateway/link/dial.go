package link

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"karaula/internal/card"
	"karaula/internal/keyring"
	"karaula/internal/problem"
	"karaula/internal/subject"
)

// Trouble is why a link does not work, as a stable code for logs, metrics and
// the status command. It never holds an address, a name or a message.
type Trouble string

// The troubles of a connection.
const (
	TroublePin         Trouble = "pin-mismatch" // the broker's TLS key is not one of its card
	TroubleRefused     Trouble = "refused"      // the broker does not know our certificate or our nkey
	TroubleProtocol    Trouble = "protocol"     // the broker broke the NATS protocol
	TroubleUnreachable Trouble = "unreachable"  // no address answers
	TroubleDenied      Trouble = "denied"       // the broker does not permit a subject: not yet, or no longer
	TroubleOverrun     Trouble = "overrun"      // the broker sent more than was asked for
)

// DialOptions says to whom, as whom, and who wants to know.
type DialOptions struct {
	// Card is the partner's: its addresses, in order of preference, and the pins of role "broker".
	Card *card.Card
	// Self is our own party code.
	Self string
	// Certificate is the client certificate of our card (role "gateway").
	Certificate tls.Certificate
	// Nkey is the user key pair of our card.
	Nkey nkeys.KeyPair
	// Patient makes Dial return a connection also when the partner cannot be reached now;
	// the connection goes on trying and OnUp is called when it succeeds.
	Patient bool
	// Timeout is for one attempt at one address; zero is 5 s.
	Timeout time.Duration
	// OnUp is called whenever the connection is there, the first time included.
	OnUp func()
	// OnDown is called whenever it is lost.
	OnDown func()
	// OnTrouble is called with a code whenever something fails; it must return quickly.
	OnTrouble func(Trouble)
	// OnDenied is called with the subject that the broker did not permit us to
	// publish on; may be nil; must return quickly. See [Puller.Denied].
	OnDenied func(subject string)
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// Dial connects a gateway to a partner's broker. The connection reconnects for
// ever, over all addresses of the card, until it is closed; a newer card with
// other addresses, pins or keys takes effect when the caller closes it and
// dials again.
//
// Without Patient a failure of the first attempt is a problem:
// [problem.Verification] when the broker's key is not pinned,
// [problem.NotAllowed] when it does not know us, [problem.Unreachable]
// otherwise. While disconnected nothing is buffered: requests fail at once and
// are made again by whoever needs them.
func Dial(ctx context.Context, o DialOptions) (*nats.Conn, error) {
	if o.Timeout == 0 {
		o.Timeout = 5 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	pins := o.Card.Pins(keyring.RoleBroker)
	if len(o.Card.Address) == 0 || len(pins) == 0 {
		return nil, problem.New(problem.Invalid, "the card of %q names no broker to connect to", o.Card.Party).
			WithHint("ask %q for a card with an address and a broker key", o.Card.Party)
	}
	public, err := o.Nkey.PublicKey()
	if err != nil {
		return nil, problem.Wrap(problem.Locked, err, "the key for partners' brokers cannot be used")
	}
	d := &dialer{tls: tlsConfig(o.Certificate, pins), timeout: o.Timeout, ctx: ctx}
	defer d.settle()
	opts := natsOptions(&o, d)
	opts.Nkey, opts.SignatureCB = public, o.Nkey.Sign

	nc, err := opts.Connect()
	if err != nil {
		return nil, dialProblem(o.Card.Party, d, err)
	}
	if ctx.Err() != nil {
		nc.Close()
		return nil, problem.Wrap(problem.Unreachable, ctx.Err(), "the broker of %q was not reached", o.Card.Party)
	}
	if nc.IsConnected() {
		call(o.OnUp)
	}
	return nc, nil
}

// natsOptions sets up the client for a server that belongs to somebody else.
func natsOptions(o *DialOptions, d *dialer) nats.Options {
	wait := &backoff{now: o.Now}
	up := func() { wait.good(); call(o.OnUp) }
	opts := nats.GetDefaultOptions()
	for _, a := range o.Card.Address {
		opts.Servers = append(opts.Servers, "tls://"+a)
	}
	opts.Name = "karaula gateway " + o.Self
	opts.InboxPrefix = subject.Inbox(o.Self)
	opts.CustomDialer, opts.SkipHostLookup = d, true
	opts.Secure, opts.TLSHandshakeFirst = true, true
	opts.Timeout = o.Timeout
	opts.NoRandomize = true
	opts.MaxReconnect = -1
	opts.RetryOnFailedConnect = o.Patient
	opts.ReconnectBufSize = -1             // nothing is kept for later: a late rewind or pull would be wrong
	opts.IgnoreAuthErrorAbort = true       // a partner that has not yet taken in our card will
	opts.IgnoreDiscoveredServers = true    // the card says where to connect, not the server
	opts.PingInterval = 10 * time.Second   // a dead link is noticed within 30 s
	opts.MaxPingsOut = 2                   // ditto
	opts.FlusherTimeout = 2 * writeTimeout // never wait for ever
	opts.CustomReconnectDelayCB = func(int) time.Duration { return wait.next() }
	opts.ConnectedCB = func(*nats.Conn) { up() }
	opts.ReconnectedCB = func(*nats.Conn) { up() }
	// The guard tells of its own cuts: the client forgets why a connection ended
	// that ended while it was being made.
	d.offence = func() { o.trouble(TroubleProtocol) }
	opts.DisconnectedErrCB = func(*nats.Conn, error) { call(o.OnDown) }
	opts.ReconnectErrCB = func(_ *nats.Conn, err error) {
		if t := troubleOf(d, err); t != TroubleProtocol {
			o.trouble(t)
		}
	}
	opts.AsyncErrorCB = func(_ *nats.Conn, _ *nats.Subscription, err error) {
		o.trouble(troubleOf(d, err))
		if subj, ok := deniedSubject(err); ok && o.OnDenied != nil {
			o.OnDenied(subj)
		}
	}
	return opts
}

// deniedSubject reads the subject out of a server's permissions violation, whose
// text is `… Permissions Violation for Publish to "subject" …`.
func deniedSubject(err error) (string, bool) {
	if !errors.Is(err, nats.ErrPermissionViolation) {
		return "", false
	}
	_, rest, ok := strings.Cut(err.Error(), `Publish to "`)
	if !ok {
		return "", false
	}
	subj, _, ok := strings.Cut(rest, `"`)
	return subj, ok
}

// trouble reports a code, if somebody listens.
func (o *DialOptions) trouble(t Trouble) {
	if o.OnTrouble != nil {
		o.OnTrouble(t)
	}
}

// call calls f unless it is nil.
func call(f func()) {
	if f != nil {
		f()
	}
}

// troubleOf gives the code of an error of the client.
func troubleOf(d *dialer, err error) Trouble {
	var alert tls.AlertError
	cause := d.failure()
	switch {
	case errors.Is(err, errPin) || errors.Is(cause, errPin):
		return TroublePin
	case errors.Is(err, nats.ErrPermissionViolation):
		return TroubleDenied
	case errors.Is(err, nats.ErrSlowConsumer):
		return TroubleOverrun
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthExpired),
		errors.Is(err, nats.ErrAuthRevoked), errors.As(err, &alert), remote(err), remote(cause):
		return TroubleRefused
	case errors.Is(err, errProtocol):
		return TroubleProtocol
	default:
		return TroubleUnreachable
	}
}

// remote reports whether the other side has refused the handshake: with TLS 1.3
// that shows in the first read after it.
func remote(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error"
}

// dialProblem says why the first attempt failed.
func dialProblem(partner string, d *dialer, err error) error {
	if cause := d.failure(); cause != nil {
		err = cause
	}
	switch troubleOf(d, err) {
	case TroublePin:
		return problem.Wrap(problem.Verification, errPin, "the broker of %q was not trusted; nothing was sent", partner).
			WithHint("somebody may stand in between; if %q has changed its key, take in its newest card", partner)
	case TroubleRefused:
		return problem.Wrap(problem.NotAllowed, err, "the broker of %q does not know these keys", partner).
			WithHint("%q must have taken in our newest card, and an agreement that names us must be open", partner)
	case TroubleProtocol:
		return problem.Wrap(problem.Verification, errProtocol, "the link to %q was cut", partner)
	default:
		return problem.Wrap(problem.Unreachable, err, "the broker of %q was not reached", partner).
			WithHint("check the address in its card and the network; safe to retry")
	}
}
