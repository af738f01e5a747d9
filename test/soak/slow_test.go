package soak

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/mailmanager/types"

	"sluice/test/harness"
	"sluice/test/load/generate"
	"sluice/test/load/sink"
)

const (
	honestRate       = 200 // messages a second, each on a connection of its own
	slowerAtMost     = 2   // times the 99th percentile without the slow ones
	slowResidentMiB  = 600
	slowContent      = 5000 // octets of content that come at once: more than a small buffer of the server
	handshakeTimeout = time.Minute
	// A percentile below this is as good as this: one cycle of the garbage collector, or of the machine's other processes, makes
	// as much of a few milliseconds.
	noticeable = 20 * time.Millisecond
)

// S11: connections that are idle or send an octet in 10 s, at every stage and half of them in the TLS handshake, cost other
// clients little time and the server little memory. Rounds without and with them alternate, and medians of the rounds are
// compared, for a machine has its moods. The short form has one round, and gives the time tenfold room.
func TestS11SlowConnections(t *testing.T) {
	connections, rounds, seconds, room := pick(1000, 10000), pick(1, 5), pick(2, 10), pick(10, 1)
	far := startSink(t, sink.Options{})
	plain, wrapped, config := listeners(t)
	server := harness.Start(t, append(quickRetries, "--config", config)...)
	route(t, server, map[string]string{"example.net": far.Addr()}, types.Tag{Key: aws.String("sluice:listener"), Value: aws.String("plain+wrapped")})
	tool := loadTool(t)

	var alone, beside []time.Duration
	for round := range rounds {
		alone = append(alone, honest(t, plain, fmt.Sprintf("alone-%d", round), seconds).Percentile(99))
		before := server.ResidentMiB(t)
		crowd := startSlow(t, tool, "--server", plain, "--implicit", wrapped, "--connections", strconv.Itoa(connections), "--content", strconv.Itoa(slowContent))
		crowd.await(t, "all are open", func(n map[string]int) bool { return n["open"] == connections })
		beside = append(beside, honest(t, plain, fmt.Sprintf("beside-%d", round), seconds).Percentile(99))
		checkResident(t, server, before)
		crowd.checkOpen(t, connections)
		if round == rounds-1 && pick(0, 1) == 1 {
			crowd.checkHandshakesEnd(t, connections)
		}
		crowd.stop(t)
		awaitNoSessions(t, server)
	}
	got, limit := median(beside), slowerAtMost*max(median(alone), noticeable)*time.Duration(room)
	t.Logf("99%% of messages accepted within %v beside %d slow connections, %v alone", got, connections, median(alone))
	if got > limit {
		t.Errorf("got 99%% of messages accepted within %v beside %d slow connections, want %v", got, connections, limit)
	}
	emptied(t, server)
}

func median(of []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(of))
	return sorted[len(sorted)/2]
}

func checkResident(t *testing.T, server *harness.Server, before int) {
	t.Helper()
	resident := server.ResidentMiB(t)
	t.Logf("%d MiB resident, %d without the slow connections", resident, before)
	if resident > slowResidentMiB {
		t.Errorf("got %d MiB resident, want at most %d", resident, slowResidentMiB)
	}
}

// openSessions is in what /metrics answers.
var openSessions = regexp.MustCompile(`(?m)^mailmanager_smtp_sessions_open (\S+)$`)

// awaitNoSessions waits until the server has seen that all clients are gone.
func awaitNoSessions(t *testing.T, server *harness.Server) {
	t.Helper()
	harness.Eventually(t, "all sessions are over", func() bool {
		answer, err := http.Get(server.Endpoint + "/metrics")
		must(t, err)
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		must(t, err)
		found := openSessions.FindSubmatch(text)
		return found != nil && string(found[1]) == "0"
	})
}

// honest sends messages at a fixed rate for a while, each over a connection of its own, and checks that all are accepted.
func honest(t *testing.T, address, prefix string, seconds int) generate.Result {
	t.Helper()
	return send(t, address, generate.Options{
		Messages: honestRate * seconds, Rate: honestRate, Sessions: 20, PerConnection: 1, Prefix: prefix, To: []string{"rcpt@example.net"},
	})
}

// listeners configures a listener for STARTTLS and one with implicit TLS, and returns where they are and the configuration.
func listeners(t *testing.T) (plain, wrapped, config string) {
	t.Helper()
	plain, err := harness.FreeAddress()
	must(t, err)
	wrapped, err = harness.FreeAddress()
	must(t, err)
	config = filepath.Join(t.TempDir(), "sluice.toml")
	must(t, os.WriteFile(config, fmt.Appendf(nil,
		"[listeners.plain]\naddresses = [%q]\n[listeners.wrapped]\naddresses = [%q]\ntls = \"implicit\"\n", plain, wrapped), 0o600))
	return plain, wrapped, config
}

// slowCrowd is a running load slow: it has a process of its own, for it may open as many files as the server.
type slowCrowd struct {
	command *exec.Cmd
	started time.Time
	done    chan struct{} // everything it printed was read

	mu   sync.Mutex
	line string // the last it printed
}

// loadTool builds the load tools.
func loadTool(t *testing.T) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "load")
	if out, err := exec.Command("go", "build", "-o", path, "sluice/test/load").CombinedOutput(); err != nil {
		t.Fatalf("build the load tools: %v\n%s", err, out)
	}
	return path
}

func startSlow(t *testing.T, tool string, args ...string) *slowCrowd {
	t.Helper()
	c := &slowCrowd{command: exec.Command(tool, append([]string{"slow"}, args...)...), started: time.Now(), done: make(chan struct{})}
	c.command.Stderr = os.Stderr
	out, err := c.command.StdoutPipe()
	must(t, err)
	must(t, c.command.Start())
	t.Cleanup(func() { _ = c.command.Process.Kill() }) // it may have ended already
	go c.read(out)
	return c
}

func (c *slowCrowd) read(r io.Reader) {
	defer close(c.done)
	for lines := bufio.NewScanner(r); lines.Scan(); {
		c.mu.Lock()
		c.line = lines.Text()
		c.mu.Unlock()
	}
}

func (c *slowCrowd) last() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.line
}

// count is what it printed last: how many connections are open, in all and by stage, and how many the server ended.
func (c *slowCrowd) count() map[string]int {
	counts := map[string]int{}
	for word := range strings.FieldsSeq(c.last()) {
		if name, number, ok := strings.Cut(word, "="); ok {
			counts[name], _ = strconv.Atoi(number) // words of an error have none
		}
	}
	return counts
}

func (c *slowCrowd) await(t *testing.T, what string, ready func(map[string]int) bool) {
	t.Helper()
	harness.Eventually(t, what, func() bool {
		if counts := c.count(); counts["failed"] > 0 {
			t.Fatal("slow connections: ", c.last())
		} else if ready(counts) {
			return true
		}
		return false
	})
}

// checkOpen wants all of them open, unless it took so long that the first handshakes are over.
func (c *slowCrowd) checkOpen(t *testing.T, connections int) {
	t.Helper()
	if open := c.count()["open"]; open != connections && time.Since(c.started) < handshakeTimeout {
		t.Errorf("got %d of %d slow connections open, want all: %s", open, connections, c.last())
	}
}

// checkHandshakesEnd wants the server to end those that are in a handshake when their time is over, and no others.
func (c *slowCrowd) checkHandshakesEnd(t *testing.T, connections int) {
	t.Helper()
	handshakes := func(n map[string]int) int { return n["starttls"] + n["implicit"] }
	c.await(t, "the first handshakes are over", func(n map[string]int) bool { return handshakes(n) < connections/2 })
	c.await(t, "all handshakes are over", func(n map[string]int) bool { return handshakes(n) == 0 }) // it is noticed 10 s later
	if n := c.count(); n["ended"] != connections/2 {
		t.Errorf("got %d connections ended by the server, want the half that was in a handshake: %s", n["ended"], c.last())
	}
}

func (c *slowCrowd) stop(t *testing.T) {
	t.Helper()
	must(t, c.command.Process.Signal(syscall.SIGTERM))
	<-c.done
	must(t, c.command.Wait())
}
