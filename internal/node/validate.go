package node

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"karaula/internal/lexicon"
	"karaula/internal/signedtext"
	"karaula/internal/terms"
)

// validator collects what is wrong and knows where each field stands.
type validator struct {
	lines    map[string]int // by dotted path, "store.quota", "officers.2.role"
	findings []finding
}

// learn notes the line of every field below n.
func (v *validator) learn(path string, n *yaml.Node) {
	dot := func(part string) string { return strings.TrimPrefix(path+"."+part, ".") }
	switch n.Kind {
	case yaml.DocumentNode:
		for _, child := range n.Content {
			v.learn(path, child)
		}
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			at := dot(n.Content[i].Value)
			v.lines[at] = n.Content[i].Line
			v.learn(at, n.Content[i+1])
		}
	case yaml.SequenceNode:
		for i, child := range n.Content {
			at := dot(strconv.Itoa(i))
			v.lines[at] = child.Line
			v.learn(at, child)
		}
	default: // a value, which has no children
	}
}

// fault notes a fault of a field, named by its dotted path.
func (v *validator) fault(path, format string, args ...any) {
	v.findings = append(v.findings, finding{v.lines[path], path + ": " + fmt.Sprintf(format, args...)})
}

// config checks every field.
func (v *validator) config(c *Config) {
	if !terms.ValidParty(c.Party) {
		v.fault("party", "not a party code")
	}
	if c.Name == "" || len(c.Name) > 200 || strings.TrimSpace(c.Name) != c.Name || strings.ContainsAny(c.Name, "\"\n") ||
		len(signedtext.CheckText([]byte("name "+c.Name+"\n"), signedtext.Human{"name": signedtext.Rest})) > 0 {
		v.fault("name", "not a name of 1 to 200 bytes, in visible characters without double quotes")
	}
	if _, ok := lexicon.Parse(c.Language); !ok && c.Language != "" {
		v.fault("language", "not one of %s, nor empty", strings.Join(lexicon.Tags(), ", "))
	}
	if !validListen(c.Listen) {
		v.fault("listen", "not an address and port like 0.0.0.0:4222")
	}
	for i, a := range c.Advertise {
		if !validDial(a) {
			v.fault("advertise."+strconv.Itoa(i), "not host:port")
		}
	}
	if c.Metrics != "" && !validListen(c.Metrics) {
		v.fault("metrics", "not an address and port like 127.0.0.1:9222, nor empty")
	}
	v.span("clock-skew", c.ClockSkew, time.Second, time.Hour)
	v.span("heartbeat", c.Heartbeat, time.Second, time.Hour)
	v.span("silence", c.Silence, 2*time.Second, 168*time.Hour)
	v.span("backup-horizon", c.BackupHorizon, 0, 8760*time.Hour)
	v.span("desk-retention", c.DeskRetention, DeskRetention, 10*8766*time.Hour)
	for i, day := range c.Holidays {
		path := "holidays." + strconv.Itoa(i)
		switch _, err := time.Parse(time.DateOnly, day); {
		case err != nil:
			v.fault(path, "not a date like 2026-11-28")
		case slices.Contains(c.Holidays[:i], day):
			v.fault(path, "%s stands twice", day)
		}
	}
	if !slices.Contains([]int{1, 3, 5}, c.Replicas) {
		v.fault("replicas", "not 1, 3 or 5")
	}
	if !slices.Contains([]string{"0600", "0660", "0666"}, c.SocketMode) {
		v.fault("socket-mode", `not "0600", "0660" or "0666", in quotes`)
	}
	v.officers(c.Officers)
	if c.Broker.URL != "" {
		u, err := url.Parse(c.Broker.URL)
		if err != nil || u.Scheme != "tls" || u.User != nil || u.Path != "" || u.RawQuery != "" || !validDial(u.Host) {
			v.fault("broker.url", "not of the form tls://host:port, nor empty")
		}
	}
	switch m := c.Broker.Metrics; {
	case m != "" && !validListen(m):
		v.fault("broker.metrics", "not an address and port like 127.0.0.1:9223, nor empty")
	case m != "" && m == c.Metrics:
		v.fault("broker.metrics", "the same address as metrics, which is the gateway's")
	}
	v.api(c)
	v.cluster(c)
	v.pair(c)
	if c.Store.MaxBytes < 64<<20 {
		v.fault("store.max-bytes", "below 64MiB")
	}
	if c.Store.Quota < 1<<20 || c.Store.Quota > c.Store.MaxBytes {
		v.fault("store.quota", "not between 1MiB and max-bytes")
	}
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, c.Log.Level) {
		v.fault("log.level", "not debug, info, warn or error")
	}
	if !slices.Contains([]string{"text", "json"}, c.Log.Format) {
		v.fault("log.format", "not text or json")
	}
}

// span checks a length of time.
func (v *validator) span(path string, d, least, most time.Duration) {
	if d < least || d > most {
		v.fault(path, "not between %s and %s", short(least), short(most))
	}
}

// api checks the interface over the network.
func (v *validator) api(c *Config) {
	switch {
	case c.API.Listen == "":
	case !validListen(c.API.Listen):
		v.fault("api.listen", "not an address and port like 10.20.0.5:7443, nor empty")
	case slices.Contains([]string{c.Listen, c.Metrics, c.Broker.Metrics}, c.API.Listen):
		v.fault("api.listen", "the same as another listener's")
	}
	if (c.API.Certificate == "") != (c.API.Key == "") {
		v.fault("api", "certificate and key stand together, or neither does")
	}
	for name, file := range map[string]string{"certificate": c.API.Certificate, "key": c.API.Key} {
		if len(file) > 4096 || strings.ContainsAny(file, "\x00\"\n") {
			v.fault("api."+name, "not the name of a file")
		}
	}
}

// officers checks the officers and that nobody stands twice.
func (v *validator) officers(list []Officer) {
	uids, ids := map[int]bool{}, map[string]bool{}
	for i, o := range list {
		at := "officers." + strconv.Itoa(i)
		if v.lines[at+".uid"] == 0 {
			v.fault(at, "uid is missing") // and would be root's
		}
		if o.UID < 0 || int64(o.UID) >= 1<<32-1 {
			v.fault(at, "uid is not a user id")
		}
		if !ValidOfficer(o.ID) {
			v.fault(at, "id is not 1 to 64 letters, digits, dots, hyphens and underscores")
		}
		if !slices.Contains(Roles(), o.Role) {
			v.fault(at, "role is not one of %s", strings.Join(Roles(), ", "))
		}
		if uids[o.UID] {
			v.fault(at, "uid %d stands twice", o.UID)
		}
		if ids[o.ID] {
			v.fault(at, "id %s stands twice", o.ID)
		}
		uids[o.UID], ids[o.ID] = true, true
	}
}

// ValidOfficer reports whether s may be the id of an officer or of a client: it
// is also a safe name of a file.
func ValidOfficer(s string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	return s != "" && len(s) <= 64 && strings.Trim(s, letters+".-_") == "" && strings.ContainsRune(letters, rune(s[0]))
}

// validPort reports whether s is a port number that can be dialled.
func validPort(s string) bool {
	n, ok := signedtext.Uint(s)
	return ok && n > 0 && n < 1<<16
}

// validListen reports whether s is an IP address or nothing, and a port.
func validListen(s string) bool {
	host, port, err := net.SplitHostPort(s)
	return err == nil && validPort(port) && (host == "" || host == "localhost" || net.ParseIP(host) != nil)
}

// validDial reports whether s is a host or an IP address, and a port.
func validDial(s string) bool {
	host, port, err := net.SplitHostPort(s)
	return err == nil && validPort(port) && host != "" && !strings.ContainsAny(host, " /@\\\"'")
}
