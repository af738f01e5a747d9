package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

	"sluice/internal/admin/client"
)

// sluice runs a command line.
func sluice(t *testing.T, args ...string) (code int, out, err string) {
	t.Helper()
	var to [2]bytes.Buffer
	code = run(t.Context(), args, streams{out: &to[0], err: &to[1]})
	return code, to[0].String(), to[1].String()
}

func TestBadUsage(t *testing.T) {
	tests := []struct {
		name string
		args []string
		hint string
	}{
		{"no subcommand", nil, "sluice --help"},
		{"unknown subcommand", []string{"serv"}, "sluice --help"},
		{"unknown flag", []string{"serve", "--dta", "x"}, "sluice serve --help"},
		{"missing argument", []string{"trace"}, "sluice trace --help"},
		{"missing flag", []string{"sink"}, "sluice sink --help"},
		{"superfluous argument", []string{"listeners", "all"}, "sluice listeners --help"},
		{"unknown flag of a subcommand's subcommand", []string{"queue", "list", "--lanes", "x"}, "sluice queue list --help"},
		{"two targets", []string{"queue", "reroute", "--all", "--rule-set", "a", "--relay", "b"}, "sluice queue reroute --help"},
		{"no target", []string{"queue", "reroute", "--all"}, "sluice queue reroute --help"},
		{"flag of the wrong type", []string{"serve", "--max-recipients", "many"}, "sluice serve --help"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			code, out, err := sluice(t, test.args...)
			if code != exitUsage || out != "" {
				t.Errorf("got code %d and %q, want 2 and nothing", code, out)
			}
			lines := strings.Split(strings.TrimSuffix(err, "\n"), "\n")
			if len(lines) != 2 || !strings.HasPrefix(lines[0], "sluice: ") || lines[1] != "hint: run "+test.hint {
				t.Errorf("got\n%s\nwant one line of error and the hint to run %s", err, test.hint)
			}
		})
	}
}

func TestHelpOfEverySubcommand(t *testing.T) {
	for _, name := range []string{"serve", "quickstart", "sink", "trace", "simulate", "lint", "listeners", "queue", "relay", "status", "rescue", "version"} {
		code, out, err := sluice(t, name, "--help")
		if code != exitOK || err != "" || !strings.HasPrefix(out, "Usage: sluice "+name) {
			t.Errorf("%s: got code %d, %q and %q", name, code, out, err)
		}
	}
	for _, name := range []string{"list", "show", "lanes", "hold", "release", "retry", "bounce", "discard", "reroute"} {
		code, out, err := sluice(t, "queue", name, "--help")
		if code != exitOK || err != "" || !strings.HasPrefix(out, "Usage: sluice queue "+name) {
			t.Errorf("queue %s: got code %d, %q and %q", name, code, out, err)
		}
	}
	if code, out, _ := sluice(t, "--help"); code != exitOK || !strings.Contains(out, "quickstart") {
		t.Errorf("got code %d and %q", code, out)
	}
}

func TestVersion(t *testing.T) {
	if code, out, _ := sluice(t, "version"); code != exitOK || !strings.HasPrefix(out, "sluice ") {
		t.Errorf("got code %d and %q", code, out)
	}
}

func TestErrorsForPeople(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	tests := []struct {
		name string
		err  error
		code int
		want string
	}{
		{"nothing", nil, 0, ""},
		{"plain", broken, 1, "sluice: broken\n"},
		{"with a hint", hint(broken, "mend it"), 1, "sluice: broken\nhint: mend it\n"},
		{"usage", usage(broken, "mend it"), 2, "sluice: broken\nhint: mend it\n"},
		{"usage without a hint", usage(broken, ""), 2, "sluice: broken\n"},
		{"wrapped", fmt.Errorf("start: %w", usage(broken, "mend it")), 2, "sluice: start: broken\nhint: mend it\n"},
		{"joined", errors.Join(usage(broken, "mend it"), nil), 2, "sluice: broken\nhint: mend it\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			if code := complain(&out, test.err); code != test.code || out.String() != test.want {
				t.Errorf("got %d %q, want %d %q", code, out.String(), test.code, test.want)
			}
		})
	}
}

func TestASubcommandWithoutAServer(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "AKSLEXAMPLEEXAMPLE")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"listeners"}, {"status"}, {"trace", "someid"}} {
		code, out, text := sluice(t, append(args, "--endpoint", fmt.Sprintf("http://127.0.0.1:%d", port))...)
		if code != exitFailed || out != "" || !strings.Contains(text, "hint: is the server running") {
			t.Errorf("%v: got code %d, %q and\n%s", args, code, out, text)
		}
	}
}

func TestASubcommandWithoutCredentials(t *testing.T) {
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", t.TempDir()+"/none")
	t.Setenv("AWS_CONFIG_FILE", t.TempDir()+"/none")
	code, _, text := sluice(t, "listeners")
	if code != exitUsage || !strings.Contains(text, "root-credentials") {
		t.Errorf("got code %d and\n%s", code, text)
	}
}

func TestPrintListeners(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	err := printListeners(&out, []client.Listener{
		{IngressPointId: "inp-1", Name: "east", Status: "ACTIVE", Addresses: []string{"127.0.0.1:2525", "[::1]:2525"}},
		{IngressPointId: "inp-22", Name: "west", Status: "FAILED", StatusReason: "no port is free"},
	})
	want := `ID      NAME  STATE   ADDRESSES
inp-1   east  ACTIVE  127.0.0.1:2525, [::1]:2525
inp-22  west  FAILED  (no port is free)
`
	if err != nil || out.String() != want {
		t.Errorf("got %v\n%s\nwant\n%s", err, out.String(), want)
	}
}

func TestPrintStatus(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		in   client.GetStatusOutput
		want string
	}{
		{"idle", client.GetStatusOutput{Version: "v1"}, "takes mail; version v1\nnothing waits\n"},
		{"not ready", client.GetStatusOutput{NotReady: []string{"spool: full"}}, "takes no mail: spool: full\nnothing waits\n"},
		{
			"held mail", client.GetStatusOutput{Version: "v1", Lanes: []client.Lane{{Name: "held/unrouted", Items: 3, Octets: 1200}}},
			"takes mail; version v1\nLANE           ITEMS  OCTETS  OLDEST\nheld/unrouted  3      1200    0001-01-01T00:00:00Z\n",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			if err := printStatus(&out, test.in); err != nil || out.String() != test.want {
				t.Errorf("got %v\n%s\nwant\n%s", err, out.String(), test.want)
			}
		})
	}
}

func TestFreeAddresses(t *testing.T) {
	t.Parallel()
	chosen := Config{API: "127.0.0.1:1", SMTP: "127.0.0.1:1-1"} // nobody may listen there, and still they stay
	got, notes, err := freeAddresses(chosen)
	if err != nil || got.API != chosen.API || got.SMTP != chosen.SMTP || len(notes) > 0 {
		t.Errorf("got %+v, %v, %v", got, notes, err)
	}
}

func TestADefaultAddressThatIsTakenIsReplaced(t *testing.T) {
	t.Parallel()
	if listener, err := net.Listen("tcp", defaultAPI); err == nil { // else somebody else has it, which does as well
		defer listener.Close()
	}
	got, notes, err := freeAddresses(Config{API: defaultAPI, SMTP: "127.0.0.1:1-1"})
	if err != nil || got.API != "127.0.0.1:0" || len(notes) != 1 || !strings.Contains(notes[0], defaultAPI) {
		t.Errorf("got %s, %v, %v, want any free address and a note", got.API, notes, err)
	}
}

func TestLocalURL(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"http://127.0.0.1:4579":      "http://127.0.0.1:4579",
		"http://0.0.0.0:4579":        "http://127.0.0.1:4579",
		"https://[::]:4579":          "https://127.0.0.1:4579",
		"https://mail.example.com":   "https://mail.example.com",
		"https://mail.example.com:8": "https://mail.example.com:8",
	} {
		if got := localURL(in); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}

func TestIsLoopback(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]bool{
		"127.0.0.1:1": true, "127.1.2.3:1": true, "[::1]:1": true, "localhost:1": true, "[::ffff:127.0.0.1]:1": true,
		":1": false, "0.0.0.0:1": false, "[::]:1": false, "192.0.2.1:1": false, "example.com:1": false, "127.0.0.1": false, "": false,
	} {
		if got := isLoopback(address); got != want {
			t.Errorf("%q: got %v, want %v", address, got, want)
		}
	}
}

func TestASinkStopsWhenItIsTold(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var to bytes.Buffer
	if code := run(ctx, []string{"sink", "--listen", "127.0.0.1:0"}, streams{out: &to, err: &to}); code != exitOK {
		t.Errorf("got code %d\n%s", code, to.String())
	}
}
