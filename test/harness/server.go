package harness

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/mailmanager"

	"sluice/internal/admin/client"
	"sluice/test/wire"
)

// What every test server has.
const (
	Region = "us-east-1"

	accessKeyID     = "AKSLTESTTESTTESTTEST"
	secretAccessKey = "a-secret-for-tests-only"

	host     = "127.0.0.1"
	poolSize = 30 // SMTP addresses of a test server
)

// Server is a running sluice serve.
type Server struct {
	*Process
	Endpoint string // of its API
	Data     string // its data directory
	smtp     string // its pool of SMTP addresses

	environment []string // what it has beside the usual
}

// Start starts a server with an empty data directory, further arguments, and free addresses.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	return StartIn(t, nil, args...)
}

// StartIn is Start with more in the environment.
func StartIn(t testing.TB, environment []string, args ...string) *Server {
	t.Helper()
	return start(t, &Server{Data: t.TempDir(), smtp: FreePool(t), environment: environment}, nil, args).awaitReady(t)
}

// StartOn is Start on a data directory that is there already.
func StartOn(t testing.TB, data string, args ...string) *Server {
	t.Helper()
	return start(t, &Server{Data: data, smtp: FreePool(t)}, nil, args).awaitReady(t)
}

// Restart starts a server on the data directory and the SMTP addresses of one that has ended.
func (s *Server) Restart(t testing.TB, args ...string) *Server {
	t.Helper()
	return start(t, s, nil, args).awaitReady(t)
}

// RestartUnready is Restart of a server that will not take mail: it returns when the API answers.
func (s *Server) RestartUnready(t testing.TB, args ...string) *Server {
	t.Helper()
	now := start(t, s, nil, args)
	now.await(t, func() bool {
		status, _ := now.Page("/healthz")
		return status == http.StatusOK
	})
	return now
}

// RestartInheriting is Restart with listening sockets, handed over as systemd does it but for LISTEN_PID, which only the
// process itself could set. The sockets are closed here.
func (s *Server) RestartInheriting(t testing.TB, sockets []net.Listener, args ...string) *Server {
	t.Helper()
	var files []*os.File
	for _, l := range sockets {
		file, err := l.(*net.TCPListener).File()
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		l.Close()
		files = append(files, file)
	}
	return start(t, s, files, args).awaitReady(t)
}

// start starts a server in place of another, and does not wait for it.
func start(t testing.TB, before *Server, inherited []*os.File, args []string) *Server {
	t.Helper()
	address, err := FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	args = append([]string{"serve", "--data", before.Data, "--api", address, "--smtp", before.smtp}, args...)
	environment := append([]string{"SLUICE_ROOT_ACCESS_KEY_ID=" + accessKeyID, "SLUICE_ROOT_SECRET_ACCESS_KEY=" + secretAccessKey}, before.environment...)
	if len(inherited) > 0 {
		environment = append(environment, fmt.Sprintf("LISTEN_FDS=%d", len(inherited)))
	}
	return &Server{Process: launch(t, inherited, environment, args...), Endpoint: "http://" + address, Data: before.Data, smtp: before.smtp, environment: before.environment}
}

// awaitReady returns the server when it takes mail.
func (s *Server) awaitReady(t testing.TB) *Server {
	t.Helper()
	s.await(t, s.Ready)
	return s
}

// Ready asks whether the server takes mail.
func (s *Server) Ready() bool {
	status, _ := s.Page("/readyz")
	return status == http.StatusOK
}

// Page is one of the pages that need no signature, with its status; 0 while nobody answers.
func (s *Server) Page(path string) (status int, body string) {
	answer, err := http.Get(s.Endpoint + path)
	if err != nil {
		return 0, ""
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return 0, ""
	}
	return answer.StatusCode, string(text)
}

// Environment is what lets the AWS SDKs and tools, and the subcommands of sluice, reach the server, and nothing else.
func (s *Server) Environment() []string {
	return []string{
		"AWS_ENDPOINT_URL=" + s.Endpoint,
		"SLUICE_ENDPOINT=" + s.Endpoint,
		"AWS_ACCESS_KEY_ID=" + accessKeyID,
		"AWS_SECRET_ACCESS_KEY=" + secretAccessKey,
		"AWS_REGION=" + Region,
		"AWS_DEFAULT_REGION=" + Region,
		"AWS_EC2_METADATA_DISABLED=true",
		"AWS_CONFIG_FILE=" + os.DevNull,
		"AWS_SHARED_CREDENTIALS_FILE=" + os.DevNull,
		"PATH=" + os.Getenv("PATH"),
		"HOME=" + s.Data,
	}
}

// UserPassword is the access key in the form that curl wants.
func (s *Server) UserPassword() string { return accessKeyID + ":" + secretAccessKey }

// Wire returns a client that sends any document, in any region.
func (s *Server) Wire(region string, protocol wire.Protocol) *wire.Client {
	return &wire.Client{
		Endpoint: s.Endpoint, Region: region, Protocol: protocol,
		Credentials: aws.Credentials{AccessKeyID: accessKeyID, SecretAccessKey: secretAccessKey},
	}
}

// MailManager returns the SDK's client of the server. It does not try again: a test wants the first answer.
func (s *Server) MailManager() *mailmanager.Client {
	return mailmanager.New(mailmanager.Options{
		Region:           Region,
		BaseEndpoint:     aws.String(s.Endpoint),
		Credentials:      credentials.NewStaticCredentialsProvider(accessKeyID, secretAccessKey, ""),
		RetryMaxAttempts: 1,
	})
}

// Admin returns a client of the server's admin API.
func (s *Server) Admin() *client.Client {
	return &client.Client{
		Endpoint: s.Endpoint, Region: Region,
		Credentials: aws.Credentials{AccessKeyID: accessKeyID, SecretAccessKey: secretAccessKey},
	}
}

// Address returns where an ingress point is reached, once it is ACTIVE.
func (s *Server) Address(t testing.TB, ingressPoint string) string {
	t.Helper()
	var address string
	Eventually(t, "ingress point "+ingressPoint+" is reached", func() bool {
		answer, err := s.Admin().ListListeners(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range answer.Listeners {
			if l.IngressPointId == ingressPoint && l.Status == "ACTIVE" && len(l.Addresses) > 0 {
				address = l.Addresses[0]
			}
		}
		return address != ""
	})
	return address
}

// Eventually asks until the answer is yes, and fails the test when it takes too long.
func Eventually(t testing.TB, what string, ask func() bool) {
	t.Helper()
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for deadline := time.Now().Add(patience); !ask(); <-ticker.C {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", patience, what)
		}
	}
}

// Sink is a running sluice sink.
type Sink struct {
	*Process
	Host string
	Port int
	Dir  string // its maildir
}

// StartSink starts a sink with a maildir, on an address (empty: a free one).
func StartSink(t testing.TB, address string) *Sink {
	t.Helper()
	if address == "" {
		address = host + ":0"
	}
	dir := filepath.Join(t.TempDir(), "maildir")
	p := launch(t, nil, nil, "sink", "--listen", address, "--maildir", dir)
	var listening map[string]any
	p.await(t, func() bool {
		select {
		case listening = <-p.entries:
			return true
		default:
			return false
		}
	})
	bound, _ := listening["address"].(string)
	name, port, err := net.SplitHostPort(bound)
	if err != nil {
		t.Fatalf("address of the sink: %v", err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatalf("port of the sink: %v", err)
	}
	return &Sink{Process: p, Host: name, Port: number, Dir: dir}
}

// Next returns the line that the sink printed of the next message.
func (s *Sink) Next(t testing.TB) string {
	t.Helper()
	select {
	case line, ok := <-s.lines:
		if !ok {
			t.Fatal("the sink has ended")
		}
		return line
	case <-time.After(patience):
		t.Fatalf("nothing arrived at the sink within %s", patience)
	}
	return ""
}

// Messages returns the content of everything that arrived, in no order.
func (s *Sink) Messages(t testing.TB) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(s.Dir, "new", "*"))
	if err != nil {
		t.Fatal(err)
	}
	var messages []string
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		messages = append(messages, string(text))
	}
	return messages
}

// FreePool finds a range of ports that nothing listens on now. It lies below what the kernel gives to outgoing
// connections, and begins by chance, so that test processes that run at once hardly ever meet.
func FreePool(t testing.TB) string {
	t.Helper()
	for range 100 {
		low := 10000 + rand.IntN(20000)
		if free(low) {
			return fmt.Sprintf("%s:%d-%d", host, low, low+poolSize-1)
		}
	}
	t.Fatal("no free range of ports")
	return ""
}

func free(low int) bool {
	for port := low; port < low+poolSize; port++ {
		listener, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
		if err != nil {
			return false
		}
		listener.Close()
	}
	return true
}

// Send sends a message over plain SMTP and returns the id that the 250 ends with.
func Send(t testing.TB, address, from, to, content string) string {
	t.Helper()
	id, err := Deliver(address, from, to, strings.ReplaceAll(content, "\n", "\r\n"))
	if err != nil {
		t.Fatalf("send to %s: %v", address, err)
	}
	return id
}

// FreeAddress returns an address that nothing listens on now.
func FreeAddress() (string, error) {
	listener, err := net.Listen("tcp", host+":0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}

// Port is the port of an address.
func Port(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return port
}
