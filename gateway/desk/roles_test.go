package desk_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"connectrpc.com/connect"

	"karaula/gateway/desk"
	"karaula/internal/node"
	"karaula/internal/problem"
	karaulav1 "karaula/proto/gen/karaula/v1"
	"karaula/proto/gen/karaula/v1/karaulav1connect"
)

// serve starts a desk without a gateway behind it: whatever passes the roles
// fails loudly. It gives the socket.
func serve(t *testing.T, officers ...node.Officer) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "api.sock")
	d := desk.New(desk.Config{
		Self: "al", Logger: slog.New(slog.DiscardHandler),
		Status: func(context.Context) *karaulav1.StatusResponse { return &karaulav1.StatusResponse{Party: "al"} },
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.Serve(ctx, path, 0o600, officers) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	for {
		c, err := node.DialSocket(t.Context(), path)
		if err == nil {
			_ = c.Close()
			return path
		}
		if t.Context().Err() != nil {
			t.Fatal(err)
		}
	}
}

// ask tries everything that shows or says something, and gives the errors.
func ask(t *testing.T, path string) map[string]error {
	t.Helper()
	c, ctx := desk.Dial(path), t.Context()
	_, list := c.List(ctx, connect.NewRequest(&karaulav1.ListRequest{}))
	_, show := c.Show(ctx, connect.NewRequest(&karaulav1.ShowRequest{}))
	_, send := c.Send(ctx, connect.NewRequest(&karaulav1.SendRequest{DryRun: true}))
	watch, err := c.Watch(ctx, connect.NewRequest(&karaulav1.WatchRequest{}))
	if err == nil {
		watch.Receive()
		err = watch.Err()
		_ = watch.Close()
	}
	return map[string]error{"list": list, "show": show, "send": send, "watch": err, "export": export(t, path, 0)}
}

// export tries to export alerts up to a handling code.
func export(t *testing.T, path string, upTo karaulav1.Handling) error {
	t.Helper()
	stream, err := desk.Dial(path).Export(t.Context(), connect.NewRequest(&karaulav1.ExportRequest{Handling: upTo}))
	if err != nil {
		return err
	}
	defer stream.Close() //nolint:errcheck // the error is the stream's
	stream.Receive()
	return stream.Err()
}

// Bulk is for systems and supervisors, and what must not be passed on for supervisors.
func TestWhoMayExport(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		role string
		upTo karaulav1.Handling
		want problem.Kind
	}{
		{node.RoleOfficer, 0, problem.Locked},
		{node.RoleAuditor, 0, problem.Locked},
		{node.RoleSystem, 0, problem.Invalid},
		{node.RoleSystem, karaulav1.Handling_HANDLING_H2, problem.Locked},
		{node.RoleSupervisor, karaulav1.Handling_HANDLING_H3, problem.Invalid}, // it says no purpose
	} {
		path := serve(t, node.Officer{UID: os.Getuid(), ID: "somebody", Role: c.role})
		if err := desk.FromConnect(export(t, path, c.upTo)); !problem.Is(err, c.want) {
			t.Errorf("%s, %v: %v", c.role, c.upTo, err)
		}
	}
}

func TestTheAdminSeesTheStateAndNothingElse(t *testing.T) {
	t.Parallel()
	path := serve(t, node.Officer{UID: os.Getuid(), ID: "root", Role: node.RoleAdmin})
	for what, err := range ask(t, path) {
		if !problem.Is(desk.FromConnect(err), problem.Locked) {
			t.Errorf("%s: %v", what, err)
		}
	}
	resp, err := desk.Dial(path).Status(t.Context(), connect.NewRequest(&karaulav1.StatusRequest{}))
	if err != nil || resp.Msg.GetParty() != "al" {
		t.Errorf("status: %v", err)
	}
}

func TestTheAuditorOpensAndSaysNothing(t *testing.T) {
	t.Parallel()
	path := serve(t, node.Officer{UID: os.Getuid(), ID: "court", Role: node.RoleAuditor})
	c := desk.Dial(path)
	_, show := c.Show(t.Context(), connect.NewRequest(&karaulav1.ShowRequest{}))
	_, send := c.Send(t.Context(), connect.NewRequest(&karaulav1.SendRequest{DryRun: true}))
	for what, err := range map[string]error{"show": show, "send": send} {
		if !problem.Is(desk.FromConnect(err), problem.Locked) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// counter counts what was read of a body that has no end.
type counter struct{ n int64 }

func (c *counter) Read(p []byte) (int, error) {
	c.n += int64(len(p))
	return len(p), nil
}

func TestWhoIsNoOfficerIsAnsweredUnread(t *testing.T) {
	t.Parallel()
	path := serve(t, node.Officer{UID: os.Getuid() + 1, ID: "somebody", Role: node.RoleOfficer})
	for what, err := range ask(t, path) {
		if !problem.Is(desk.FromConnect(err), problem.Locked) {
			t.Errorf("%s: %v", what, err)
		}
	}
	client := &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return node.DialSocket(ctx, path) },
	}}
	body := &counter{}
	const size = 60 << 20
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://node/karaula.v1.NodeService/Send",
		io.LimitReader(body, size))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/proto")
	resp, err := client.Do(req)
	if err == nil {
		_ = resp.Body.Close()
	}
	if body.n >= size/4 {
		t.Errorf("%d bytes were read from a user who is no officer", body.n)
	}
}

// What is misspelt on the socket is refused, as over the network, and not quoted.
func TestJSONOnTheSocketIsStrict(t *testing.T) {
	t.Parallel()
	path := serve(t, node.Officer{UID: os.Getuid(), ID: "root", Role: node.RoleAdmin})
	c := &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return node.DialSocket(ctx, path) },
	}}
	defer c.CloseIdleConnections()
	for body, want := range map[string]int{`{}`: http.StatusOK, `{"dryrun":"AA 000 TT"}`: http.StatusBadRequest, `{"x":`: http.StatusBadRequest} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://node"+karaulav1connect.NodeServiceStatusProcedure,
			strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		said, err := io.ReadAll(resp.Body)
		if err := errors.Join(err, resp.Body.Close()); err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != want || strings.Contains(string(said), "AA 000") {
			t.Errorf("%s: %s: %s", body, resp.Status, said)
		}
	}
}
