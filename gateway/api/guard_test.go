package api_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	"karaula/gateway/api"
	"karaula/internal/access"
	"karaula/internal/keyring"
	"karaula/internal/node"
	karaulav1 "karaula/proto/gen/karaula/v1"
	"karaula/proto/gen/karaula/v1/karaulav1connect"
)

func TestRolesAreThoseOfTheDesk(t *testing.T) {
	t.Parallel()
	h := start(t, nil)
	admin := h.let(t, access.Client{Name: "root", Role: node.RoleAdmin})
	auditor := h.let(t, access.Client{Name: "court", Role: node.RoleAuditor})
	for _, c := range []struct {
		who    *http.Client
		method string
		want   int
	}{
		{admin, "Status", http.StatusOK},
		{admin, "List", http.StatusForbidden},
		{admin, "Show", http.StatusForbidden},
		{admin, "Send", http.StatusForbidden},
		{admin, "LookUp", http.StatusForbidden},
		{admin, "History", http.StatusForbidden},
		{admin, "Change", http.StatusForbidden},
		{admin, "SayAct", http.StatusForbidden},
		{auditor, "Show", http.StatusForbidden},
		{auditor, "Send", http.StatusForbidden},
		{auditor, "LookUp", http.StatusForbidden},
		{auditor, "Nothing", http.StatusNotFound},
	} {
		if r := h.call(t, c.who, c.method, "{}"); r.code != c.want {
			t.Errorf("%s: %+v, want %d", c.method, r, c.want)
		}
	}
}

func TestWhatMayNotBeSaidIsRefused(t *testing.T) {
	t.Parallel()
	h := start(t, nil)
	officer := h.let(t, access.Client{Name: "duty", Role: node.RoleOfficer})
	system := h.let(t, access.Client{Name: "plates", Role: node.RoleSystem})
	cases := h.let(t, access.Client{Name: "cases", Role: node.RoleSystem, NamesOfficers: true})
	for name, c := range map[string]struct {
		who    *http.Client
		header []string
		want   int
	}{
		"an officer names one":        {officer, []string{api.HeaderOfficer, "chief"}, http.StatusForbidden},
		"in other letters":            {officer, []string{"kArAuLa-oFfIcEr", "chief"}, http.StatusForbidden},
		"empty":                       {officer, []string{api.HeaderOfficer, ""}, http.StatusForbidden},
		"a system that may not":       {system, []string{api.HeaderOfficer, "chief"}, http.StatusForbidden},
		"a system that may":           {cases, []string{api.HeaderOfficer, "chief"}, http.StatusOK},
		"names none":                  {cases, nil, http.StatusBadRequest},
		"names two":                   {cases, []string{api.HeaderOfficer, "a", api.HeaderOfficer, "b"}, http.StatusBadRequest},
		"names two in one":            {cases, []string{api.HeaderOfficer, "a, b"}, http.StatusBadRequest},
		"names another client's":      {cases, []string{api.HeaderOfficer, "plates/a"}, http.StatusBadRequest},
		"names with control letters":  {cases, []string{api.HeaderOfficer, "a\tb"}, http.StatusBadRequest},
		"a key that would not count":  {system, []string{"Idempotency-Key", "1"}, http.StatusBadRequest},
		"a page in a browser":         {system, []string{"Origin", "https://example.org"}, http.StatusForbidden},
		"a page in the same browser ": {system, []string{"Sec-Fetch-Site", "none"}, http.StatusForbidden},
	} {
		if r := h.call(t, c.who, "Status", "{}", c.header...); r.code != c.want {
			t.Errorf("%s: %+v, want %d", name, r, c.want)
		}
	}
}

func TestBadBodiesAreRefusedWithoutTheirContent(t *testing.T) {
	t.Parallel()
	h := start(t, nil)
	c := h.let(t, access.Client{Name: "plates", Role: node.RoleSystem})
	const secret = "Tajnović"
	deep := strings.Repeat(`{"questions":[`, 60) + strings.Repeat("]}", 60)
	bodies := map[string]string{
		"unknown field":     `{"surname":"` + secret + `"}`,
		"unknown name":      `{"` + secret + `":1}`,
		"wrong value":       `{"purpose":"` + secret + `"}`,
		"wrong type":        `{"questions":"` + secret + `"}`,
		"field twice":       `{"reason":"` + secret + `","reason":"x"}`,
		"two objects":       `{} {"reason":"` + secret + `"}`,
		"cut off":           `{"reason":"` + secret,
		"deep":              deep,
		"deep arrays":       strings.Repeat("[", 100000),
		"many elements":     `{"questions":[` + strings.Repeat("{},", 100000) + `{}]}`,
		"not UTF-8":         "{\"reason\":\"" + secret + "\xff\"}",
		"empty":             "",
		"too large":         `{"reason":"` + strings.Repeat("x", api.MaxBody) + `"}`,
		"element in string": `{"x":"[[[[\"", "y":"` + secret + `"}`,
	}
	for name, body := range bodies {
		for _, content := range []string{"application/json", "application/json; charset=utf-8"} {
			r := h.call(t, c, "LookUp", body, "Content-Type", content)
			if r.code < 400 || r.code >= 500 {
				t.Errorf("%s as %s: %d %s", name, content, r.code, r.body)
			}
			if strings.Contains(r.body+fmt.Sprint(r.header), secret) {
				t.Errorf("%s: the answer shows content: %s", name, r.body)
			}
		}
	}
	// The same bound in protobuf: an alert takes two bytes, and far more in memory.
	if r := h.call(t, c, "Send", strings.Repeat("\x12\x00", 100000), "Content-Type", "application/proto"); r.code != http.StatusBadRequest {
		t.Errorf("many empty alerts: %d %s", r.code, r.body)
	}
	h.close()
	if strings.Contains(h.log.String(), secret) {
		t.Errorf("the log shows content:\n%s", h.log)
	}
}

func TestABombIsNotUnpacked(t *testing.T) {
	t.Parallel()
	h := start(t, nil)
	c := h.let(t, access.Client{Name: "plates", Role: node.RoleSystem})
	r := h.call(t, c, "LookUp", bomb(t), "Content-Encoding", "gzip")
	if r.code != http.StatusTooManyRequests && r.code != http.StatusBadRequest {
		t.Errorf("%d %s", r.code, r.body)
	}
}

func TestAClientThatAsksTooMuchWaits(t *testing.T) {
	t.Parallel()
	h := start(t, func(l *api.Limits) { l.Rate, l.Burst = 1, 20 })
	hasty := h.let(t, access.Client{Name: "plates", Role: node.RoleSystem})
	other := h.let(t, access.Client{Name: "cases", Role: node.RoleSystem})
	var r reply
	until(t, func() bool {
		r = h.call(t, hasty, "Status", "{}")
		return r.code != http.StatusOK
	})
	if r.code != http.StatusTooManyRequests || r.header.Get("Retry-After") != "1" {
		t.Errorf("%+v", r)
	}
	if r := h.call(t, other, "Status", "{}"); r.code != http.StatusOK {
		t.Errorf("the other client: %+v", r)
	}
	h.pass(time.Minute)
	if r := h.call(t, hasty, "Status", "{}"); r.code != http.StatusOK {
		t.Errorf("after a minute: %+v", r)
	}
}

// A caller that sends its request a little at a time is cut off, over both
// versions of HTTP, and its seat is free again.
func TestASlowBodyIsCutOff(t *testing.T) {
	t.Parallel()
	h := start(t, func(l *api.Limits) { l.Read, l.Flight = 300*time.Millisecond, 1 })
	cert := h.credentials(t, "plates")
	c := access.Client{Name: "plates", Role: node.RoleSystem, Fingerprint: keyring.Fingerprint(cert.Leaf), Until: cert.Leaf.NotAfter.Unix()}
	if err := access.Add(h.dir, c); err != nil {
		t.Fatal(err)
	}
	until(t, func() bool { _, err := h.dial(t, h.tls(cert)); return err == nil })

	conn, err := h.dial(t, h.tls(cert))
	if err != nil {
		t.Fatal(err)
	}
	const head = "POST " + service + "Status HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
	if _, err := io.WriteString(conn, head+"{"); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err == nil {
		_ = resp.Body.Close()
		if resp.StatusCode < 400 {
			t.Errorf("HTTP/1.1: %s", resp.Status)
		}
	}
	two := h.client(cert)
	in, out := io.Pipe()
	defer out.Close() //nolint:errcheck // never ends before
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+h.addr+service+"Status", in)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if resp, err := two.Do(req); err == nil {
		_ = resp.Body.Close()
		if resp.StatusCode < 400 {
			t.Errorf("HTTP/2: %s", resp.Status)
		}
	}
	until(t, func() bool { return h.call(t, two, "Status", "{}").code == http.StatusOK })
}

// The generated clients of all three protocols get in and are told apart by role.
func TestEveryProtocolIsAnswered(t *testing.T) {
	t.Parallel()
	h := start(t, nil)
	admin := h.let(t, access.Client{Name: "root", Role: node.RoleAdmin})
	for name, o := range map[string][]connect.ClientOption{
		"Connect": nil, "JSON": {connect.WithProtoJSON()}, "gRPC": {connect.WithGRPC()}, "gRPC-Web": {connect.WithGRPCWeb()},
	} {
		c := karaulav1connect.NewNodeServiceClient(admin, "https://"+h.addr, o...)
		resp, err := c.Status(t.Context(), connect.NewRequest(&karaulav1.StatusRequest{}))
		if err != nil || resp.Msg.GetParty() != "al" {
			t.Errorf("%s: %v", name, err)
		}
		_, err = c.Show(t.Context(), connect.NewRequest(&karaulav1.ShowRequest{}))
		if connect.CodeOf(err) != connect.CodePermissionDenied {
			t.Errorf("%s: the admin opens an alert: %v", name, err)
		}
		watch, err := c.Watch(t.Context(), connect.NewRequest(&karaulav1.WatchRequest{}))
		if err == nil {
			watch.Receive()
			err = watch.Err()
			_ = watch.Close()
		}
		if connect.CodeOf(err) != connect.CodePermissionDenied {
			t.Errorf("%s: the admin watches: %v", name, err)
		}
	}
}
