// Command sluice is a mail gateway that is programmed through the Amazon SES Mail Manager API, on your own machines.
//
// One binary has everything: serve runs the gateway, quickstart shows a message going through one, sink is an SMTP server
// that takes any mail, trace, listeners, status, queue, keys and relay ask a running server, simulate and lint judge rule sets and policies
// before mail comes, and rescue reads the data of one that is stopped. Only this package wires the others together.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
)

// Exit codes. Source: design contract, command line.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

const description = `Sluice is a mail gateway that is programmed through the Amazon SES Mail Manager API, on your own machines.

New here? Run "sluice quickstart".`

// commandLine is the table of subcommands. Each has a file of its own.
type commandLine struct {
	Serve      serveCommand      `cmd:"" help:"Run the gateway until it gets SIGTERM or SIGINT."`
	Quickstart quickstartCommand `cmd:"" help:"Run the gateway and watch a message go through it."`
	Sink       sinkCommand       `cmd:"" help:"Run an SMTP server that accepts everything and prints a line for each message."`
	Trace      traceCommand      `cmd:"" help:"Show what happened to a message or a session, and why."`
	Simulate   simulateCommand   `cmd:"" help:"Show what would become of a message, and why, without sending it."`
	Lint       lintCommand       `cmd:"" help:"Find what is wrong with rule sets and traffic policies."`
	Listeners  listenersCommand  `cmd:"" help:"List the ingress points and the addresses they are reached at."`
	Queue      queueCommand      `cmd:"" help:"See what waits and what is held, and hold, release, retry, bounce, discard or reroute it."`
	Status     statusCommand     `cmd:"" help:"Show whether a server takes mail, and what waits in it."`
	Rescue     rescueCommand     `cmd:"" help:"Write every message of a stopped server's data directory, as far as it can be read, to files."`
	Keys       keysCommand       `cmd:"" help:"Manage users, their access keys and what they may do."`
	Relay      relayCommand      `cmd:"" help:"Test a relay."`
	Version    versionCommand    `cmd:"" help:"Print the version."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(run(ctx, os.Args[1:], streams{out: os.Stdout, err: os.Stderr}))
}

// streams are where a subcommand writes: what was asked for, and logs and errors.
type streams struct {
	out, err io.Writer
}

// run carries out a command line and returns the exit code.
func run(ctx context.Context, args []string, to streams) int {
	exited := -1
	var line commandLine
	parser, err := newParser(&line, to, func(code int) { exited = code })
	if err != nil {
		return complain(to.err, fmt.Errorf("command line: %w", err))
	}
	command, err := parser.Parse(args)
	if exited >= 0 { // --help
		return exited
	}
	if err != nil {
		return complain(to.err, usage(err, helpHint(err)))
	}
	command.BindTo(ctx, (*context.Context)(nil))
	return complain(to.err, command.Run(to))
}

func newParser(line *commandLine, to streams, exit func(int)) (*kong.Kong, error) {
	return kong.New(line,
		kong.Name("sluice"),
		kong.Description(description),
		kong.Writers(to.out, to.err),
		kong.Exit(exit),
		kong.DefaultEnvars("SLUICE"),
		kong.Resolvers(&fileResolver{}),
		kong.Vars{"api": defaultAPI, "smtp": defaultSMTP, "log_level": "info"},
		kong.ValueFormatter(describe),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 120}),
	)
}

// describe ends a flag's help with its default and environment variable.
func describe(value *kong.Value) string {
	var notes []string
	if value.HasDefault && value.Default != "" {
		notes = append(notes, "default "+value.Default)
	}
	for _, name := range value.Tag.Envs {
		notes = append(notes, "$"+name)
	}
	if len(notes) == 0 {
		return value.Help
	}
	return fmt.Sprintf("%s (%s)", value.Help, strings.Join(notes, "; "))
}

// helpHint names the subcommand whose help says how it is right.
func helpHint(err error) string {
	var parse *kong.ParseError
	if errors.As(err, &parse) && parse.Context != nil && parse.Context.Command() != "" {
		return fmt.Sprintf("run sluice %s --help", parse.Context.Selected().Path())
	}
	return "run sluice --help"
}

// hinted is an error for people, with a way out where there is one.
type hinted struct {
	error
	hint  string
	usage bool // the command line or configuration is wrong, not the world
}

// Unwrap returns the error itself.
func (h *hinted) Unwrap() error { return h.error }

func hint(err error, hint string) error  { return &hinted{error: err, hint: hint} }
func usage(err error, hint string) error { return &hinted{error: err, hint: hint, usage: true} }

// complain prints an error on one line, and its hint on another, and returns the exit code.
func complain(w io.Writer, err error) int {
	if err == nil {
		return exitOK
	}
	fmt.Fprintf(w, "sluice: %v\n", err)
	var h *hinted
	if !errors.As(err, &h) {
		return exitFailed
	}
	if h.hint != "" {
		fmt.Fprintf(w, "hint: %s\n", h.hint)
	}
	if h.usage {
		return exitUsage
	}
	return exitFailed
}

type versionCommand struct{}

// Run prints the version.
func (versionCommand) Run(to streams) error {
	_, err := fmt.Fprintln(to.out, "sluice", version())
	return err
}

// version is that of the module, with the commit when it was built from a checkout.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(unknown)"
	}
	return info.Main.Version
}
