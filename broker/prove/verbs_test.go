package prove

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The list of verbs is the whole JetStream API of the server that is built in.
func TestVerbsAreTheWholeAPI(t *testing.T) {
	t.Parallel()
	dir, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/nats-io/nats-server/v2").Output()
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "server", "jetstream_api.go"))
	if err != nil {
		t.Fatal(err)
	}
	tokens := map[naming]int{nothing: 0, aStream: 1, aName: 1, aSubject: 2, aConsumer: 2, aFilter: 3}
	have := map[string]bool{}
	for _, v := range verbs {
		have[v.name+strings.Repeat(".%s", tokens[v.names])] = true
	}
	constant := regexp.MustCompile(`(?m)^\s+JS\w+\s*= "\$JS\.API\.([A-Z_.]+(?:\.%s)*)"$`)
	n := 0
	for _, m := range constant.FindAllStringSubmatch(string(source), -1) {
		if strings.HasSuffix(m[1], ".") {
			continue // the pattern of a verb that comes as a template too
		}
		if n++; !have[m[1]] {
			t.Errorf("nobody asks about %s", m[1])
		}
	}
	if n < 35 {
		t.Errorf("only %d verbs found in the server's source; it has changed its form", n)
	}
}
