package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/rogpeppe/go-internal/testscript"

	"sluice/internal/admin/client"
	"sluice/test/harness"
)

const (
	patience = 60 * time.Second // used up by failures only
	interval = 20 * time.Millisecond
)

// eventually asks until the answer is yes.
func eventually(ts *testscript.TestScript, what string, ask func() bool) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for deadline := time.Now().Add(patience); !ask(); <-ticker.C {
		if time.Now().After(deadline) {
			ts.Fatalf("not within %s: %s", patience, what)
		}
	}
}

// ready waits until the server at $API takes mail. Usage: ready
func ready(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 0 {
		ts.Fatalf("usage: ready")
	}
	eventually(ts, "the server is ready", func() bool {
		answer, err := http.Get(ts.Getenv("SLUICE_ENDPOINT") + "/readyz")
		if err != nil {
			return false
		}
		defer answer.Body.Close()
		return answer.StatusCode == http.StatusOK
	})
}

// api calls an operation of Mail Manager with JSON and prints the answer. With a third argument, NAME=MEMBER, the member of
// the answer becomes an environment variable. Usage: [!] api OPERATION INPUT [NAME=MEMBER]
func api(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: [!] api OPERATION INPUT [NAME=MEMBER]")
	}
	status, answer, err := call(ts, args[0], args[1])
	ts.Check(err)
	fmt.Fprintf(ts.Stdout(), "%s\n", answer)
	if failed := status != http.StatusOK; failed != neg {
		ts.Fatalf("%s answered %d: %s", args[0], status, answer)
	}
	if len(args) < 3 {
		return
	}
	name, member, _ := strings.Cut(args[2], "=")
	var members map[string]any
	ts.Check(json.Unmarshal(answer, &members))
	value, ok := members[member].(string)
	if !ok {
		ts.Fatalf("%s answered without %s: %s", args[0], member, answer)
	}
	ts.Setenv(name, value)
}

func call(ts *testscript.TestScript, operation, input string) (status int, answer []byte, err error) {
	request, err := http.NewRequest(http.MethodPost, ts.Getenv("SLUICE_ENDPOINT")+"/", strings.NewReader(input))
	if err != nil {
		return 0, nil, err
	}
	credentials, err := rootCredentials(ts)
	if err != nil {
		return 0, nil, err
	}
	request.Header.Set("Content-Type", "application/x-amz-json-1.0")
	request.Header.Set("X-Amz-Target", "MailManagerSvc."+operation)
	sum := sha256.Sum256([]byte(input))
	err = v4.NewSigner().SignHTTP(request.Context(), credentials, request, hex.EncodeToString(sum[:]), "ses", harness.Region, time.Now())
	if err != nil {
		return 0, nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return response.StatusCode, bytes.TrimSpace(body), err
}

func rootCredentials(ts *testscript.TestScript) (aws.Credentials, error) {
	shared, err := config.LoadSharedConfigProfile(context.Background(), "default", func(o *config.LoadSharedConfigOptions) {
		o.CredentialsFiles, o.ConfigFiles = []string{ts.Getenv("AWS_SHARED_CREDENTIALS_FILE")}, []string{}
	})
	return shared.Credentials, err
}

// reached waits until an ingress point has a state, and sets $POINT_ADDRESS to where it is reached. Usage: reached ID STATE
func reached(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: reached ID STATE")
	}
	credentials, err := rootCredentials(ts)
	ts.Check(err)
	admin := &client.Client{Endpoint: ts.Getenv("SLUICE_ENDPOINT"), Region: harness.Region, Credentials: credentials}
	eventually(ts, args[0]+" is "+args[1], func() bool {
		answer, err := admin.ListListeners(context.Background())
		ts.Check(err)
		for _, l := range answer.Listeners {
			if l.IngressPointId == args[0] && l.Status == args[1] {
				ts.Setenv("POINT_ADDRESS", strings.Join(l.Addresses, ","))
				return true
			}
		}
		return false
	})
}

// send sends a message to $POINT_ADDRESS and sets $ID to the id that the 250 ends with. Usage: send FROM TO SUBJECT
func send(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: send FROM TO SUBJECT")
	}
	id, err := deliver(ts, args[0], args[1], args[2])
	ts.Check(err)
	ts.Setenv("ID", id)
}

func deliver(ts *testscript.TestScript, from, to, subject string) (string, error) {
	return harness.Deliver(ts.Getenv("POINT_ADDRESS"), from, to, strings.ReplaceAll(harness.Letter(subject), "\n", "\r\n"))
}

// refuses sends a message to $POINT_ADDRESS and fails unless a reply has the code; it prints the reply.
// Usage: refuses CODE FROM TO
func refuses(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: refuses CODE FROM TO")
	}
	_, err := deliver(ts, args[1], args[2], "refused")
	var reply *textproto.Error
	if !errors.As(err, &reply) || strconv.Itoa(reply.Code) != args[0] {
		ts.Fatalf("got %v, want a reply of %s", err, args[0])
	}
	fmt.Fprintf(ts.Stdout(), "%d %s\n", reply.Code, reply.Msg)
}

// arrives waits until a message in a maildir matches a pattern, and prints it. Usage: arrives MAILDIR PATTERN
func arrives(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: arrives MAILDIR PATTERN")
	}
	pattern, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	eventually(ts, "a message with "+args[1]+" arrives", func() bool {
		names, err := filepath.Glob(filepath.Join(ts.MkAbs(args[0]), "new", "*"))
		ts.Check(err)
		for _, name := range names {
			text, err := os.ReadFile(name)
			ts.Check(err)
			if pattern.Match(text) {
				_, err := ts.Stdout().Write(text)
				ts.Check(err)
				return true
			}
		}
		return false
	})
}

// traces waits until the trace of a message, as sluice trace shows it, matches a pattern: it is written behind the mail.
// Usage: traces ID PATTERN
func traces(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: traces ID PATTERN")
	}
	pattern, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	eventually(ts, "the trace of "+args[0]+" has "+args[1], func() bool {
		return ts.Exec("sluice", "trace", args[0]) == nil && pattern.MatchString(ts.ReadFile("stdout"))
	})
}

// listens waits until somebody listens on an address. Usage: listens ADDRESS
func listens(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: listens ADDRESS")
	}
	eventually(ts, args[0]+" is listened on", func() bool {
		conn, err := net.Dial("tcp", args[0])
		if err != nil {
			return false
		}
		return conn.Close() == nil
	})
}

// shows waits until a file has a line that matches a pattern. Usage: shows FILE PATTERN
func shows(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: shows FILE PATTERN")
	}
	pattern, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	eventually(ts, args[0]+" shows "+args[1], func() bool {
		text, err := os.ReadFile(ts.MkAbs(args[0]))
		return err == nil && pattern.Match(text)
	})
}

// exits runs a program and fails unless it exits with the code. Usage: exits CODE PROGRAM [ARGUMENT…]
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM [ARGUMENT…]")
	}
	err := ts.Exec(args[1], args[2:]...)
	code := 0
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		code = exit.ExitCode()
	case err != nil:
		ts.Fatalf("run %s: %v", args[1], err)
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("%s exited with %d, want %s", args[1], code, args[0])
	}
}

// startHop listens on an address of its own, until the script ends, as a next hop that answers every RCPT with a reply. It sets $HOPPORT.
// Usage: hop REPLY
func startHop(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: hop REPLY")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { listener.Close() })
	ts.Setenv("HOPPORT", harness.Port(listener.Addr().String()))
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go refuseRecipients(conn, args[0])
		}
	}()
}

// refuseRecipients is one session of it.
func refuseRecipients(conn net.Conn, refusal string) {
	defer conn.Close()
	text := textproto.NewConn(conn)
	reply := "220 hop.localhost"
	for {
		if text.PrintfLine("%s", reply) != nil {
			return
		}
		line, err := text.ReadLine()
		if err != nil {
			return
		}
		switch reply = "250 ok"; strings.ToUpper(strings.SplitN(line, " ", 2)[0]) {
		case "RCPT":
			reply = refusal
		case "DATA":
			reply = "554 5.5.1 no recipient"
		case "QUIT":
			text.PrintfLine("221 bye")
			return
		}
	}
}

// holds waits until a lane has so many items. Usage: holds LANE N
func holds(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: holds LANE N")
	}
	pattern := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(args[0]) + ` +` + args[1] + ` `)
	eventually(ts, args[0]+" has "+args[1], func() bool {
		return ts.Exec("sluice", "status") == nil && pattern.MatchString(ts.ReadFile("stdout"))
	})
}
