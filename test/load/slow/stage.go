package slow

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// Stage is where in a session a connection stays.
type Stage int

// The stages.
const (
	Connected Stage = iota // silent after the greeting
	Greeted                // silent after EHLO
	Command                // in a command, by octets
	Content                // in the content of a message, by octets
	StartTLS               // in the handshake after STARTTLS, by octets
	Implicit               // in the handshake of a listener with implicit TLS, by octets

	stages = iota
)

// String is the name in what is printed.
func (s Stage) String() string {
	return [stages]string{"connected", "greeted", "command", "content", "starttls", "implicit"}[s]
}

// stageOf spreads connections over the stages by their numbers: half of them are in a handshake.
func (o Options) stageOf(number int) Stage {
	half := number / 2
	switch {
	case number%2 == 1:
		return Stage(half % int(StartTLS))
	case o.Implicit != "" && half%2 == 1:
		return Implicit
	}
	return StartTLS
}

// endlessOctets are more than anybody waits for, an octet at a time.
const endlessOctets = 1 << 11

// lead opens a connection and brings it to its stage.
func (c *Crowd) lead(number int) (*member, error) {
	m := &member{number: number, stage: c.options.stageOf(number)}
	address := c.address
	if m.stage == Implicit {
		address = c.options.Implicit
	}
	var err error
	if m.conn, err = net.DialTimeout("tcp", address, patience); err != nil {
		return nil, err
	}
	m.conn.SetDeadline(time.Now().Add(patience))
	if err = c.speak(m); err == nil {
		err = m.conn.SetDeadline(time.Time{})
	}
	if err != nil {
		m.conn.Close()
		return nil, fmt.Errorf("%s: %w", m.stage, err)
	}
	return m, nil
}

// speak says what leads to the stage, and leaves what is to go out slowly.
func (c *Crowd) speak(m *member) error {
	const hello = "EHLO slow.invalid"
	from, to := "MAIL FROM:<"+c.options.From+">", "RCPT TO:<"+c.options.To+">"
	steps := [stages][]string{
		Connected: {"220"},
		Greeted:   {"220", hello, "250"},
		Command:   {"220", hello, "250"},
		Content:   {"220", hello, "250", from, "250", to, "250", "DATA", "354"},
		StartTLS:  {"220", hello, "250", "STARTTLS", "220"},
	}[m.stage]
	if err := follow(m.conn, steps); err != nil {
		return err
	}
	var first string
	switch m.stage {
	case Command:
		first, m.rest = "NOOP ", []byte(strings.Repeat("x", endlessOctets))
	case Content:
		first, m.rest = "Subject: slow\r\n\r\n", []byte(strings.Repeat("and on ", endlessOctets/7))
		first += strings.Repeat("on and on\r\n", c.options.Content/11+1)[:max(c.options.Content-len(first), 0)]
	case StartTLS, Implicit:
		half := len(c.hello) / 2
		first, m.rest = string(c.hello[:half]), c.hello[half:]
	}
	_, err := io.WriteString(m.conn, first)
	return err
}

// follow has a dialogue: steps are in turn the beginning of a reply and a command.
func follow(conn net.Conn, steps []string) error {
	from := bufio.NewReaderSize(conn, 1<<10)
	for i, step := range steps {
		if i%2 == 1 {
			if _, err := io.WriteString(conn, step+"\r\n"); err != nil {
				return err
			}
			continue
		}
		if err := expect(from, step); err != nil {
			return err
		}
	}
	return nil
}

// expect reads a reply, which must have that code.
func expect(from *bufio.Reader, code string) error {
	for {
		line, err := from.ReadString('\n')
		if err != nil {
			return err
		}
		if !strings.HasPrefix(line, code) {
			return fmt.Errorf("got %q, want %s", strings.TrimSpace(line), code)
		}
		if !strings.HasPrefix(line, code+"-") {
			return nil
		}
	}
}

// clientHello is what a TLS client begins a handshake with.
func clientHello() []byte {
	var to recorder
	tls.Client(&to, &tls.Config{ServerName: "slow.invalid"}).Handshake() // fails: nobody answers
	return to.first
}

// recorder is a connection that keeps what is written first, and on which nothing is ever heard.
type recorder struct {
	net.Conn
	first []byte
}

func (r *recorder) Read([]byte) (int, error) { return 0, io.EOF }

func (r *recorder) Write(p []byte) (int, error) {
	if r.first == nil {
		r.first = append(r.first, p...)
	}
	return len(p), nil
}
