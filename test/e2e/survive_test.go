package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/mailmanager"
	"github.com/aws/aws-sdk-go-v2/service/mailmanager/types"

	"sluice/internal/conform"
	"sluice/test/harness"
)

// maxHops is how often a message is received that goes round in a circle: with 0 to 50 Received fields it is taken, with 51
// no more. Mail Manager, B11.
const maxHops = 52

// createRelay makes a relay to an address and returns its id.
func createRelay(t *testing.T, api *mailmanager.Client, address string, authentication types.RelayAuthentication) string {
	t.Helper()
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	made, err := api.CreateRelay(t.Context(), &mailmanager.CreateRelayInput{
		RelayName: aws.String("relay-" + text), ServerName: &host, ServerPort: aws.Int32(int32(port)), Authentication: authentication,
	})
	if err != nil {
		t.Fatal(err)
	}
	return *made.RelayId
}

func inClear() types.RelayAuthentication { return &types.RelayAuthenticationMemberNoAuthentication{} }

func relayBy(relay string) types.RuleAction {
	return &types.RuleActionMemberRelay{Value: types.RelayAction{Relay: &relay, MailFrom: types.MailFromPreserve}}
}

func addHeader(name, value string) types.RuleAction {
	return &types.RuleActionMemberAddHeader{Value: types.AddHeaderAction{HeaderName: &name, HeaderValue: &value}}
}

func replaceBy(addresses ...string) types.RuleAction {
	return &types.RuleActionMemberReplaceRecipient{Value: types.ReplaceRecipientAction{ReplaceWith: addresses}}
}

// setRules gives an ingress point other rules, and waits until they hold: for the next message.
func setRules(t *testing.T, api *mailmanager.Client, point string, rules ...types.Rule) {
	t.Helper()
	got, err := api.GetIngressPoint(t.Context(), &mailmanager.GetIngressPointInput{IngressPointId: &point})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := api.UpdateRuleSet(t.Context(), &mailmanager.UpdateRuleSetInput{RuleSetId: got.RuleSetId, Rules: rules}); err != nil {
		t.Fatal(err)
	}
}

// metric is the sum of all samples whose name and labels match a pattern.
func metric(t *testing.T, s *harness.Server, pattern string) int {
	t.Helper()
	var sum float64
	for _, found := range regexp.MustCompile(`(?m)^`+pattern+` (\S+)$`).FindAllStringSubmatch(get(t, s.Endpoint+"/metrics"), -1) {
		value, err := strconv.ParseFloat(found[len(found)-1], 64)
		if err != nil {
			t.Fatal(err)
		}
		sum += value
	}
	return int(sum)
}

func get(t *testing.T, url string) string {
	t.Helper()
	answer, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// awaitRest waits until nothing is under way, and returns how many items came to rest.
func awaitRest(t *testing.T, s *harness.Server) (resting int) {
	t.Helper()
	harness.Eventually(t, "everything has come to rest", func() bool {
		status, err := s.Admin().GetStatus(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		resting = 0
		for _, lane := range status.Lanes {
			if lane.Name == "process" || strings.HasPrefix(lane.Name, "relay/") {
				return false
			}
			resting += lane.Items
		}
		return true
	})
	return resting
}

// S17: a message that rules send back to where it came from is received 52 times and then refused for its Received fields.
// It is not lost and has not multiplied, whether it has a sender or is a notification itself: one item is at rest.
func TestS17Loop(t *testing.T) {
	t.Parallel()
	conform.Check(t, "B11")
	for name, from := range map[string]string{"with a sender": "a@example.org", "of nobody": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := harness.Start(t, "--log-level", "warn")
			api := s.MailManager()
			point := openPoint(t, api, "loop")
			address := s.Address(t, point)
			relay := createRelay(t, api, address, inClear())
			setRules(t, api, point, types.Rule{Actions: []types.RuleAction{replaceBy("b@example.net"), addHeader("X-Again", "yes"), relayBy(relay)}})
			harness.Send(t, address, from, "b@example.net", harness.Letter("loop"))
			harness.Eventually(t, "the loop ends", func() bool {
				return metric(t, s, `mailmanager_smtp_commands_total\{class="5yz",verb="(BDAT|DATA)"\}`) > 0
			})
			if n := awaitRest(t, s); n != 1 {
				t.Errorf("%d items are at rest, want 1", n)
			}
			if n := metric(t, s, `mailmanager_smtp_commands_total\{class="2yz",verb="RCPT"\}`); n != maxHops {
				t.Errorf("received %d times, want %d", n, maxHops)
			}
			s.Stop(t)
		})
	}
}

// S17: rules that replace a recipient by itself and add a field, as many as a rule set can have, are done once each.
func TestS17Replaced(t *testing.T) {
	t.Parallel()
	const maxRules, rounds = 40, 5 // of the API; of two actions each, and it allows 10 actions
	s := harness.Start(t, "--log-level", "warn")
	api, far := s.MailManager(), new(hop).listen(t)
	point := openPoint(t, api, "replaced")
	relay := createRelay(t, api, far.address, inClear())
	rules := make([]types.Rule, maxRules)
	for i := range rules[1:] {
		for n := range rounds {
			rules[i].Actions = append(rules[i].Actions, replaceBy("b@example.net"), addHeader("X-Again", fmt.Sprint(i, ".", n)))
		}
	}
	rules[maxRules-1].Actions = []types.RuleAction{relayBy(relay)}
	setRules(t, api, point, rules...)
	harness.Send(t, s.Address(t, point), "a@example.org", "b@example.net", harness.Letter("replaced"))
	harness.Eventually(t, "the message arrives", func() bool { _, contents := far.taken(); return len(contents) > 0 })
	if n := awaitRest(t, s); n != 0 {
		t.Errorf("%d items are at rest, want none", n)
	}
	lines, contents := far.taken()
	if n := strings.Count(strings.Join(lines, "\n"), "RCPT TO:<b@example.net>"); len(contents) != 1 || n != 1 {
		t.Errorf("%d messages arrived, for %d recipients, want 1 for 1", len(contents), n)
	}
	if n := strings.Count(contents[0], "\nX-Again: "); n > (maxRules-1)*rounds {
		t.Errorf("%d fields were added, want at most %d", n, (maxRules-1)*rounds)
	}
	s.Stop(t)
}

// S18: the trace cannot be written, and the log records go to a disk that is full. Mail flows, what is dropped is counted,
// and once there is room again the trace goes on without a restart.
func TestS18Full(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("no /dev/full")
	}
	const messages = 20
	s := harness.Start(t, "--log-records", "ingress-application", "--log-records-file", "/dev/full")
	folder := filepath.Join(s.Data, "trace")
	if err := os.Rename(folder, folder+".away"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(folder, nil, 0o600); err != nil { // not even root can write into it
		t.Fatal(err)
	}
	address, arrived := flows(t, s)
	for range messages {
		harness.Send(t, address, "a@example.org", "b@example.net", harness.Letter("full"))
	}
	arrived(messages)
	harness.Eventually(t, "dropped records are counted", func() bool {
		return metric(t, s, `mailmanager_log_records_dropped_total\{reason="write"\}`) == messages
	})
	harness.Eventually(t, "dropped events are counted", func() bool {
		return metric(t, s, `mailmanager_trace_dropped_total\{reason="disk"\}`) >= messages
	})
	if err := os.Remove(folder); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(folder+".away", folder); err != nil {
		t.Fatal(err)
	}
	id := harness.Send(t, address, "a@example.org", "b@example.net", harness.Letter("room"))
	arrived(messages + 1)
	harness.Eventually(t, "the trace goes on", func() bool {
		_, err := s.Admin().GetTrace(t.Context(), id)
		return err == nil
	})
	s.Stop(t)
}

// S18: nobody reads what the log records are written to: a pipe that is full. Mail flows.
func TestS18Blocked(t *testing.T) {
	t.Parallel()
	const messages = 40 // whose records are more than the 4 KiB that the pipe has room for
	path := filepath.Join(t.TempDir(), "records")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Skip(err)
	}
	pipe, err := os.OpenFile(path, os.O_RDWR, 0) // both ends, or the server would wait for the other
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.Close()
	filler := make([]byte, 60<<10)
	if _, err := pipe.Write(filler); err != nil {
		t.Fatal(err)
	}
	s := harness.Start(t, "--log-records", "ingress-application", "--log-records-file", path)
	address, arrived := flows(t, s)
	for range messages {
		harness.Send(t, address, "a@example.org", "b@example.net", harness.Letter("blocked"))
	}
	arrived(messages)
	if n := metric(t, s, `mailmanager_log_records_written_total`); n == messages {
		t.Error("all records were written into a pipe that nobody reads")
	}
	go io.Copy(io.Discard, pipe)
	s.Stop(t)
}

// flows makes an ingress point whose mail goes to a hop. arrived waits until so many messages did, and nothing is left.
func flows(t *testing.T, s *harness.Server) (address string, arrived func(messages int)) {
	t.Helper()
	api, far := s.MailManager(), new(hop).listen(t)
	point := openPoint(t, api, "flows")
	setRules(t, api, point, types.Rule{Actions: []types.RuleAction{relayBy(createRelay(t, api, far.address, inClear()))}})
	return s.Address(t, point), func(messages int) {
		t.Helper()
		harness.Eventually(t, "all messages arrive", func() bool { _, contents := far.taken(); return len(contents) == messages })
		if n := awaitRest(t, s); n != 0 {
			t.Errorf("%d items are at rest, want none", n)
		}
	}
}

// S38: the API takes no line end into a field or an address.
func TestS38API(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, "--log-level", "warn")
	api := s.MailManager()
	for name, action := range map[string]types.RuleAction{
		"value with CRLF":            addHeader("X-Ok", "a\r\nX-Evil: 1"),
		"value with LF":              addHeader("X-Ok", "a\nX-Evil: 1"),
		"value with CR":              addHeader("X-Ok", "a\rX-Evil: 1"),
		"value with CRLF at the end": addHeader("X-Ok", "a\r\n"),
		"value that folds":           addHeader("X-Ok", "a\r\n b"),
		"value with NUL":             addHeader("X-Ok", "a\x00b"),
		"name with CRLF":             addHeader("X-Ok\r\nX-Evil", "1"),
		"name with LF at the end":    addHeader("X-Ok\n", "1"),
		"name with a colon":          addHeader("X-Ok: a", "1"),
		"name with a blank":          addHeader("X-Ok ", "1"),
		"address with CRLF":          replaceBy("b@example.net\r\nX-Evil: 1"),
		"address with LF at the end": replaceBy("b@example.net\n"),
		"address with a blank":       replaceBy("b @example.net"),
		"address with parameters":    replaceBy("b@example.net> NOTIFY=NEVER"),
		"address in brackets":        replaceBy("<b@example.net>"),
		"quoted address":             replaceBy(`"b\r"@example.net`),
		"address with a route":       replaceBy("@example.org:b@example.net"),
		"second address":             replaceBy("b@example.net", "c@example.net\rX-Evil: 1"),
	} {
		_, err := api.CreateRuleSet(t.Context(), &mailmanager.CreateRuleSetInput{
			RuleSetName: aws.String("evil"), Rules: []types.Rule{{Actions: []types.RuleAction{action}}},
		})
		if err == nil || !strings.Contains(err.Error(), "ValidationException") {
			t.Errorf("%s: got %v, want a ValidationException", name, err)
		}
	}
	s.Stop(t)
}

// S38: whatever a client puts into its commands, no line of its own leaves: in an envelope, in the Received field, or in a
// field that a rule adds.
func TestS38Wire(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, "--log-level", "warn")
	api, far := s.MailManager(), new(hop).listen(t)
	point := openPoint(t, api, "wire")
	setRules(t, api, point, types.Rule{Actions: []types.RuleAction{
		addHeader("X-Ok", "=?utf-8?q?a=0D=0AX-Evil:_1?= \u2028X-Evil: \u0085 ü"), relayBy(createRelay(t, api, far.address, inClear())),
	}})
	address := s.Address(t, point)
	for name, commands := range map[string][]string{
		"hello with CR":           {"EHLO a\rX-Evil: 1"},
		"hello with LF":           {"EHLO a\nX-Evil: 1"},
		"hello with NUL":          {"EHLO a\x00X-Evil: 1"},
		"sender with CR":          {"EHLO a", "MAIL FROM:<a\rX-Evil@example.org>"},
		"sender with LF":          {"EHLO a", "MAIL FROM:<a\nX-Evil@example.org>"},
		"quoted sender with CR":   {"EHLO a", "MAIL FROM:<\"a\\\rX-Evil\"@example.org>"},
		"envelope id with LF":     {"EHLO a", "MAIL FROM:<a@example.org> ENVID=a\nX-Evil"},
		"envelope id in xtext":    {"EHLO a", "MAIL FROM:<a@example.org> ENVID=a+0D+0AX-Evil:1"},
		"recipient with CR":       {"EHLO a", "MAIL FROM:<a@example.org>", "RCPT TO:<b@example.net\rX-Evil: 1>"},
		"recipient with LF":       {"EHLO a", "MAIL FROM:<a@example.org>", "RCPT TO:<b@example.net\nX-Evil: 1>"},
		"quoted recipient, CR":    {"EHLO a", "MAIL FROM:<a@example.org>", "RCPT TO:<\"b\\\r\"@example.net>"},
		"recipient and more":      {"EHLO a", "MAIL FROM:<a@example.org>", "RCPT TO:<b@example.net> X-Evil: 1"},
		"original in xtext":       {"EHLO a", "MAIL FROM:<a@example.org>", "RCPT TO:<b@example.net> ORCPT=rfc822;b+0D+0AX-Evil:1@example.net"},
		"recipient of parameters": {"EHLO a", "MAIL FROM:<a@example.org>", "RCPT TO:<b@example.net> NOTIFY=NEVER\rX-Evil: 1"},
	} {
		if code := talk(t, address, commands...); code/100 != 5 {
			t.Errorf("%s: got %d, want a refusal", name, code)
		}
	}
	if code := talk(t, address, `EHLO [127.0.0.1]`, `MAIL FROM:<"a b\"c>"@example.org> ENVID=X-Evil+3A+201`,
		`RCPT TO:<"x y>"@example.net> ORCPT=rfc822;X-Evil+3A+201@example.net`, "DATA", "Subject: x\r\n\r\nbody\r\n."); code != 250 {
		t.Errorf("got %d, want what may be odd, but ends no line, taken", code)
	}
	harness.Eventually(t, "the message arrives", func() bool { _, contents := far.taken(); return len(contents) > 0 })
	lines, contents := far.taken()
	for _, line := range append(lines, strings.Split(contents[0], "\r\n")...) {
		if strings.HasPrefix(line, "X-Evil") || strings.ContainsAny(line, "\r\n\x00") {
			t.Errorf("line %q left", line)
		}
	}
	if len(contents) != 1 || !strings.Contains(contents[0], "\nX-Ok: ") {
		t.Errorf("got %q, want one message with the field that was added", contents)
	}
	s.Stop(t)
}

// talk says one command after another, and returns the code of the first reply that refuses one, or of the last.
func talk(t *testing.T, address string, commands ...string) (code int) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	r := textproto.NewReader(bufio.NewReader(conn))
	if _, _, err := r.ReadResponse(220); err != nil {
		t.Fatal(err)
	}
	for _, command := range commands {
		if _, err := io.WriteString(conn, command+"\r\n"); err != nil {
			t.Fatal(err)
		}
		if code, _, err = r.ReadResponse(0); err != nil {
			t.Fatalf("%q: %v", command, err)
		}
		if code/100 > 3 {
			return code
		}
	}
	return code
}
