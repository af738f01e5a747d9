package tour

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// fake is a server with a Mail Manager API for a tour, an admin API and one ingress point. Resources have names and ids.
type fake struct {
	mu        sync.Mutex
	resources map[string]map[string]any // kind to the one resource of that kind
	calls     []string                  // operations, in order
	smtp      string                    // where ingress points are reached
	attempts  []map[string]any          // of the trace
}

// kinds are those that a tour makes; members are named after them.
var kinds = []string{"Relay", "RuleSet", "TrafficPolicy", "IngressPoint"}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var input map[string]any
	if err := json.NewDecoder(r.Body).Decode(&input); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	operation, isAdmin := strings.CutPrefix(r.URL.Path, "/admin/")
	if !isAdmin {
		_, operation, _ = strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	}
	f.calls = append(f.calls, operation)
	status, output := f.answer(operation, input)
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(output)
}

func (f *fake) answer(operation string, input map[string]any) (int, map[string]any) {
	switch operation {
	case "ListListeners":
		return http.StatusOK, map[string]any{"Listeners": f.listeners()}
	case "GetTrace":
		return http.StatusOK, map[string]any{"Record": map[string]any{"version": 1, "events": f.attempts}}
	case "ListTrafficPolicies":
		operation = "ListTrafficPolicys"
	}
	for _, kind := range kinds {
		if verb, ok := strings.CutSuffix(strings.TrimSuffix(operation, "s"), kind); ok {
			return f.resource(verb, kind, input)
		}
	}
	return http.StatusNotImplemented, map[string]any{"__type": "UnknownOperationException"}
}

func (f *fake) listeners() []map[string]any {
	point, ok := f.resources["IngressPoint"]
	if !ok {
		return nil
	}
	return []map[string]any{{
		"IngressPointId": point["IngressPointId"], "Status": point["Status"], "StatusReason": "no port is free", "Addresses": []string{f.smtp},
	}}
}

func (f *fake) resource(verb, kind string, input map[string]any) (int, map[string]any) {
	there, ok := f.resources[kind]
	switch {
	case verb == "Create" && ok:
		return http.StatusConflict, map[string]any{"__type": "ConflictException", "message": "taken"}
	case verb == "Create":
		input[kind+"Id"], input["Status"] = fmt.Sprintf("%s-%d", kind, len(f.calls)), "ACTIVE"
		f.resources[kind] = input
		return http.StatusOK, input
	case verb == "List":
		plural := map[string]string{"TrafficPolicy": "TrafficPolicies"}[kind]
		if plural == "" {
			plural = kind + "s"
		}
		list := []map[string]any{{kind + "Name": "another", kind + "Id": "another"}}
		if ok {
			list = append(list, there)
		}
		return http.StatusOK, map[string]any{plural: list}
	case !ok:
		return http.StatusNotFound, map[string]any{"__type": "ResourceNotFoundException"}
	case verb == "Update":
		for member, value := range input {
			there[member] = value
		}
	case verb == "Delete":
		delete(f.resources, kind)
		return http.StatusOK, map[string]any{}
	}
	return http.StatusOK, there
}

// hop is a next hop that everything arrives at which the ingress point takes.
type hop struct {
	Hop
	arrived chan string
}

// serve starts the fake with an ingress point that answers each command with the reply that goes with it, and a next hop.
func serve(t *testing.T, f *fake, replies map[string]string) (*Tour, *hop, *bytes.Buffer) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	f.smtp = listener.Addr().String()
	if f.resources == nil {
		f.resources = map[string]map[string]any{}
	}
	if f.attempts == nil {
		f.attempts = []map[string]any{{"attempt": map[string]any{"status": "SUCCESS", "target": "127.0.0.1:1"}}}
	}
	h := &hop{arrived: make(chan string, 10)}
	h.Hop = Hop{Host: "127.0.0.1", Port: 2600, Arrived: h.arrived}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			speak(conn, replies, h.arrived)
		}
	}()
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	var out bytes.Buffer
	guide := New(Config{Endpoint: server.URL, Region: "us-east-1", AccessKeyID: "AKSLEXAMPLEEXAMPLE", SecretAccessKey: "secret", Out: &out})
	return guide, h, &out
}

// speak is an SMTP server that knows the tour's dialog. What it takes arrives at once.
func speak(conn net.Conn, replies map[string]string, arrived chan<- string) {
	defer conn.Close()
	say := func(key, otherwise string) {
		if reply, ok := replies[key]; ok {
			otherwise = reply
		}
		_, _ = io.WriteString(conn, otherwise+"\r\n") // a peer that went away ends the loop below
	}
	say("", "220 fake ESMTP")
	content, messageID := false, ""
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		line := lines.Text()
		switch {
		case content && line == ".":
			content = false
			arrived <- "an-earlier-one@example.org"
			arrived <- messageID
			say(".", "250 2.0.0 OK 0123456789")
		case content:
			if id, ok := strings.CutPrefix(line, "Message-ID: <"); ok {
				messageID = strings.TrimSuffix(id, ">")
			}
		case line == "DATA":
			content = true
			say(line, "354 Go on")
		case strings.Contains(line, unwanted):
			say(line, "550 5.7.1 No")
		case line == "QUIT":
			say(line, "221 Bye")
			return
		default:
			say(line, "250 OK")
		}
	}
}

func TestATour(t *testing.T) {
	t.Parallel()
	f := &fake{}
	guide, hop, out := serve(t, f, nil)
	if port, err := guide.RelayPort(t.Context()); err != nil || port != 0 {
		t.Fatalf("got port %d, %v, want none", port, err)
	}
	outcome, err := guide.Run(t.Context(), hop.Hop)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if outcome.MessageID != "0123456789" || outcome.SMTP != f.smtp {
		t.Errorf("got %+v", outcome)
	}
	for _, want := range []string{"CreateRelay", "> MAIL FROM:<" + sender + ">", "< 550 5.7.1 No", "< 250 2.0.0 OK 0123456789", "arrived"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not shown in\n%s", want, out)
		}
	}
	if point := f.resources["IngressPoint"]; point["TlsPolicy"] != "OPTIONAL" || point["Type"] != "OPEN" {
		t.Errorf("got ingress point %v", point)
	}
}

// earlier are the resources of an earlier run, whose relay led to a port.
func earlier(port int, status string) map[string]map[string]any {
	resources := map[string]map[string]any{}
	for _, kind := range kinds {
		resources[kind] = map[string]any{kind + "Name": name, kind + "Id": "old-" + kind, "Status": status}
	}
	resources["Relay"]["ServerPort"] = port
	return resources
}

func TestASecondTourUsesWhatTheFirstMade(t *testing.T) {
	t.Parallel()
	f := &fake{resources: earlier(2700, "ACTIVE")}
	guide, hop, out := serve(t, f, nil)
	if port, err := guide.RelayPort(t.Context()); err != nil || port != 2700 {
		t.Fatalf("got port %d, %v, want that of the earlier run", port, err)
	}
	if _, err := guide.Run(t.Context(), hop.Hop); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(out.String(), "made by an earlier run"); n != 4 {
		t.Errorf("%d of 4 resources are found:\n%s", n, out)
	}
	if got := f.resources["Relay"]["ServerPort"]; got != float64(hop.Port) {
		t.Errorf("the relay leads to %v, want %s", got, strconv.Itoa(hop.Port))
	}
}

func TestAnIngressPointThatHasFailedIsReplaced(t *testing.T) {
	t.Parallel()
	f := &fake{resources: earlier(2600, "FAILED")}
	guide, hop, out := serve(t, f, nil)
	if _, err := guide.Run(t.Context(), hop.Hop); err != nil {
		t.Fatal(err)
	}
	if id := f.resources["IngressPoint"]["IngressPointId"]; id == "old-IngressPoint" {
		t.Error("the failed ingress point is used")
	}
	if !strings.Contains(out.String(), "no port is free") {
		t.Errorf("the reason is not shown:\n%s", out)
	}
}

func TestToursThatFail(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		replies map[string]string
		want    string
	}{
		{"no greeting", map[string]string{"": "421 4.3.2 Service not available"}, "421"},
		{"the sender is refused", map[string]string{"MAIL FROM:<" + sender + ">": "530 5.7.0 Must issue a STARTTLS command first"}, "530"},
		{"the recipient is refused", map[string]string{"RCPT TO:<" + recipient + ">": "550 5.7.1 No"}, "550"},
		{"the policy lets everybody in", map[string]string{"RCPT TO:<" + unwanted + ">": "250 OK"}, "250"},
		{"the message is refused", map[string]string{".": "451 4.3.0 Later"}, "451"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			guide, hop, out := serve(t, &fake{}, test.replies)
			_, err := guide.Run(t.Context(), hop.Hop)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %s in it\n%s", err, test.want, out)
			}
		})
	}
}

func TestAServerThatIsNotThere(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	guide := New(Config{Endpoint: server.URL, Region: "us-east-1", AccessKeyID: "AKSLEXAMPLEEXAMPLE", SecretAccessKey: "secret", Out: io.Discard})
	if _, err := guide.RelayPort(t.Context()); err == nil {
		t.Error("a server that is not there answers")
	}
}
