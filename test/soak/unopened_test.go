package soak

import (
	"errors"
	"net/http"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/mailmanager"
	"github.com/aws/aws-sdk-go-v2/service/mailmanager/types"

	"sluice/internal/admin/client"
	"sluice/test/harness"
	"sluice/test/load/sink"
)

// unopened is a way to keep a spool from being opened.
type unopened struct {
	name    string
	disk    func(t *testing.T) (folder string)
	spoil   func(t *testing.T, disk, data string) (mend func()) // while no server runs
	reason  string                                              // that the server gives
	changes bool                                                // the store of resources can be changed all the same
}

func waysUnopened() []unopened {
	return []unopened{
		{
			name: "a file in its place", reason: "spool: not a directory", changes: true,
			disk: func(t *testing.T) string { return t.TempDir() },
			spoil: func(t *testing.T, _, data string) func() {
				spool := filepath.Join(data, "spool")
				must(t, os.Rename(spool, spool+".away"))
				must(t, os.WriteFile(spool, nil, 0o600))
				return func() {
					must(t, os.Remove(spool))
					must(t, os.Rename(spool+".away", spool))
				}
			},
		},
		{
			name: "the disk is full", reason: "no space left on device",
			disk: func(t *testing.T) string { return mountSmall(t) },
			spoil: func(t *testing.T, disk, _ string) func() {
				ballast := filepath.Join(disk, "ballast")
				must(t, fillUp(ballast))
				return func() { must(t, os.Remove(ballast)) }
			},
		},
		{
			name: "the disk is read-only", reason: "read-only file system",
			disk: func(t *testing.T) string { return mountSmall(t) },
			spoil: func(t *testing.T, disk, _ string) func() {
				remount(t, disk, "ro")
				return func() { remount(t, disk, "rw") }
			},
		},
	}
}

// S29: a start whose spool cannot be opened serves the API and answers 421, says why, and serves mail without a restart once the
// spool opens: what was accepted before arrives.
func TestS29Unopened(t *testing.T) {
	for _, way := range waysUnopened() {
		t.Run(way.name, func(t *testing.T) {
			disk := way.disk(t)
			far := startSink(t, sink.Options{Behaviour: sink.Behaviour{Defer: 1}})
			args := append([]string{"--disk-reserve", "1"}, quickRetries...)
			server := harness.StartOn(t, filepath.Join(disk, "data"), args...)
			address := route(t, server, map[string]string{"example.net": far.Addr()})
			deliver := func() {
				t.Helper()
				_, err := harness.Deliver(address, "sender@example.org", "rcpt@example.net", "Message-ID: <1@soak>\r\n\r\n.\r\n")
				must(t, err)
			}
			deliver()
			server.Stop(t)

			mend := way.spoil(t, disk, server.Data)
			server = server.RestartUnready(t, args...)
			servesWithoutMail(t, server, address, way.reason)
			if err := createRelay(t, server, "one"); (err == nil) != way.changes {
				t.Errorf("CreateRelay: got %v, want that it changes the store: %v", err, way.changes)
			}
			server.Stop(t) // with status 0
			server = server.RestartUnready(t, args...)
			mend()
			harness.Eventually(t, "mail is served", server.Ready)
			far.Behave(sink.Behaviour{})
			deliver()
			must(t, far.Await(within(t), 2))
			emptied(t, server)
			if n := strings.Count(server.Log(), "mail is answered 421"); n != 1 {
				t.Errorf("the log says %d times why mail was not served, want once:\n%s", n, server.Log())
			}
			if err := createRelay(t, server, "two"); err != nil {
				t.Errorf("CreateRelay: %v", err)
			}
		})
	}
}

// servesWithoutMail looks at a server with a relay and an ingress point whose spool is not open.
func servesWithoutMail(t *testing.T, server *harness.Server, address, reason string) {
	t.Helper()
	if status, body := server.Page("/healthz"); status != http.StatusOK {
		t.Errorf("/healthz: %d %s", status, body)
	}
	if status, body := server.Page("/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(body, "storage") || !strings.Contains(body, reason) {
		t.Errorf("/readyz: %d %s, want 503, storage and %q", status, body, reason)
	}
	if _, body := server.Page("/metrics"); !strings.Contains(body, "mailmanager_storage_open 0\n") {
		t.Error("the metric does not say that the storage is not open")
	}
	relays, err := server.MailManager().ListRelays(t.Context(), &mailmanager.ListRelaysInput{})
	if err != nil || len(relays.Relays) == 0 {
		t.Errorf("ListRelays: %+v, %v", relays, err)
	}
	if status, err := server.Admin().GetStatus(t.Context()); err != nil || len(status.NotReady) == 0 {
		t.Errorf("GetStatus: %+v, %v; want a reason", status, err)
	}
	_, err = server.Admin().ListLanes(t.Context(), "")
	if refused, ok := errors.AsType[*client.Error](err); !ok || refused.Status != http.StatusServiceUnavailable || !strings.Contains(refused.Message, reason) {
		t.Errorf("ListLanes: got %v, want 503 and %q", err, reason)
	}
	var greeting string
	harness.Eventually(t, "the ingress point answers", func() bool {
		conn, err := textproto.Dial("tcp", address)
		if err != nil {
			return false
		}
		defer conn.Close()
		greeting, err = conn.ReadLine()
		return err == nil
	})
	if greeting != "421 4.3.2 Service not available" {
		t.Errorf("a session is greeted with %q", greeting)
	}
	if log := server.Log(); !strings.Contains(log, "mail is answered 421") || !strings.Contains(log, reason) || !strings.Contains(log, `"hint":"`) {
		t.Errorf("the log does not say why, or what to do:\n%s", log)
	}
}

func createRelay(t *testing.T, server *harness.Server, name string) error {
	t.Helper()
	_, err := server.MailManager().CreateRelay(t.Context(), &mailmanager.CreateRelayInput{
		RelayName: aws.String(name), ServerName: aws.String("127.0.0.1"), ServerPort: aws.Int32(25),
		Authentication: &types.RelayAuthenticationMemberNoAuthentication{},
	})
	return err
}

// fillUp writes a file until there is no room on its disk.
func fillUp(name string) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	for block := make([]byte, 4<<10); err == nil; {
		_, err = f.Write(block)
	}
	return nil
}

func remount(t *testing.T, disk, mode string) {
	t.Helper()
	if out, err := exec.Command("mount", "-o", "remount,"+mode, disk).CombinedOutput(); err != nil {
		t.Fatalf("mount -o remount,%s: %v: %s", mode, err, out)
	}
}
