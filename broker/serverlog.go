package broker

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"
)

const (
	logBurst   = 20   // lines of the server at once
	logPerSec  = 2    // lines of the server per second after that
	maxLogLine = 300  // bytes of a line of the server
	maxReason  = 2000 // of what is kept of a failed write
)

// serverLog takes the server's own lines into slog. A partner can cause such
// lines at will and put words into them (subjects, client names): they are cut,
// made printable and limited in number. Debug and trace lines, which show
// payloads, are never written.
type serverLog struct {
	log   *slog.Logger
	now   func() time.Time
	fatal chan string // text of the first fatal error

	mu      sync.Mutex
	broken  string // what was said first of a write that failed
	tokens  float64
	last    time.Time
	dropped int
}

func newServerLog(log *slog.Logger) *serverLog {
	return &serverLog{log: log.With("part", "nats"), now: time.Now, fatal: make(chan string, 1), tokens: logBurst}
}

// Noticef implements server.Logger.
func (l *serverLog) Noticef(format string, v ...any) { l.write(slog.LevelDebug, format, v...) }

// Warnf implements server.Logger. What every start of ours says is no warning.
func (l *serverLog) Warnf(format string, v ...any) {
	if strings.Contains(format, "TLS Handshake First") {
		l.write(slog.LevelDebug, format, v...)
		return
	}
	l.write(slog.LevelWarn, format, v...)
}

// Errorf implements server.Logger. What a client did wrong arrives here too, so
// it is a warning.
func (l *serverLog) Errorf(format string, v ...any) {
	if strings.Contains(strings.ToLower(format), brokenWrite) {
		l.mu.Lock()
		if l.broken == "" {
			l.broken = tame(fmt.Sprintf(format, v...), maxReason)
		}
		l.mu.Unlock()
	}
	l.write(slog.LevelWarn, format, v...)
}

// brokenWrite is in what the server says of a stream to which it writes nothing any
// more (server/stream.go, server/filestore.go).
const brokenWrite = "critical write error"

// brokenWrite gives what the server said of such a stream; empty if there is none.
func (l *serverLog) brokenWrite() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.broken
}

// Fatalf implements server.Logger; it ends the start, not the process.
func (l *serverLog) Fatalf(format string, v ...any) {
	text := tame(fmt.Sprintf(format, v...), maxLogLine)
	select {
	case l.fatal <- text:
	default:
	}
	l.log.Error("the broker cannot go on", "detail", text)
}

// Debugf implements server.Logger.
func (*serverLog) Debugf(string, ...any) {}

// Tracef implements server.Logger.
func (*serverLog) Tracef(string, ...any) {}

func (l *serverLog) write(level slog.Level, format string, v ...any) {
	if !l.log.Enabled(context.Background(), level) {
		return
	}
	dropped, ok := l.take()
	if !ok {
		return
	}
	attrs := []any{"detail", tame(fmt.Sprintf(format, v...), maxLogLine)}
	if dropped > 0 {
		attrs = append(attrs, "dropped", dropped)
	}
	l.log.Log(context.Background(), level, "nats-server", attrs...)
}

// take lets a line through, and says how many were dropped before it.
func (l *serverLog) take() (dropped int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	if !l.last.IsZero() {
		l.tokens = min(logBurst, l.tokens+now.Sub(l.last).Seconds()*logPerSec)
	}
	l.last = now
	if l.tokens < 1 {
		l.dropped++
		return 0, false
	}
	l.tokens--
	dropped, l.dropped = l.dropped, 0
	return dropped, true
}
