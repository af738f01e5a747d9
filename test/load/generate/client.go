package generate

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"sluice/test/load/ledger"
)

// patience bounds every wait for the server.
const patience = 2 * time.Minute

// blockOctets is how much content is sent in one write.
const blockOctets = 1 << 20

// errReply says that the server's reply is none.
var errReply = errors.New("malformed reply")

// client is one SMTP client with at most one connection.
type client struct {
	run        *run
	conn       net.Conn
	r          *bufio.Reader
	w          *bufio.Writer
	pipelining bool
	sent       int // messages on this connection
}

// send tries one message, and returns what came of it for each recipient, and whether trying again is worth while.
func (c *client) send(id string) (outcomes []ledger.Mark, again bool) {
	outcomes = make([]ledger.Mark, len(c.run.To))
	for i := range outcomes {
		outcomes[i] = ledger.Refused
	}
	if err := c.connect(); err != nil {
		c.drop()
		return outcomes, true
	}
	wanted, again, err := c.envelope(outcomes)
	if err == nil && wanted {
		again, err = c.content(id, outcomes)
	}
	if err != nil {
		c.drop()
		return outcomes, again
	}
	if c.sent++; c.sent == c.run.PerConnection {
		c.close()
	}
	return outcomes, again
}

// connect opens a connection unless there is one.
func (c *client) connect() error {
	if c.conn != nil {
		return nil
	}
	conn, err := net.DialTimeout("tcp", c.run.address, patience)
	if err != nil {
		return err
	}
	c.speakOn(conn)
	c.sent = 0
	if err := c.begin(); err != nil {
		return err
	}
	c.run.connections.Add(1)
	return nil
}

func (c *client) speakOn(conn net.Conn) {
	c.conn, c.r, c.w = conn, bufio.NewReader(conn), bufio.NewWriterSize(conn, 32<<10)
}

// begin is the session up to its first transaction.
func (c *client) begin() error {
	if c.run.TLS == Implicit {
		c.secure()
	}
	if _, err := c.expect(220); err != nil {
		return fmt.Errorf("greeting: %w", err)
	}
	offers, err := c.command("EHLO generator.invalid", 250)
	if err == nil && c.run.TLS == StartTLS {
		if _, err = c.command("STARTTLS", 220); err != nil {
			return err
		}
		c.secure()
		offers, err = c.command("EHLO generator.invalid", 250)
	}
	if err == nil && c.run.User != "" {
		_, err = c.command("AUTH PLAIN "+base64.StdEncoding.EncodeToString([]byte("\x00"+c.run.User+"\x00"+c.run.Password)), 235)
	}
	c.pipelining = strings.Contains(offers, "PIPELINING") && !c.run.Lockstep
	return err
}

// secure speaks TLS from now on; the handshake comes with the next octet that is sent or wanted. It is a whole one each time.
func (c *client) secure() { c.speakOn(tls.Client(c.conn, &tls.Config{InsecureSkipVerify: true})) }

// command sends one and returns its reply, which must have that code.
func (c *client) command(command string, code int) (text string, err error) {
	c.w.WriteString(command + "\r\n")
	if text, err = c.expect(code); err != nil {
		verb, _, _ := strings.Cut(command, " ")
		return "", fmt.Errorf("%s: %w", verb, err)
	}
	return text, nil
}

func (c *client) expect(want int) (text string, err error) {
	code, text, err := c.reply()
	if err == nil && code != want {
		err = fmt.Errorf("reply %d, want %d", code, want)
	}
	return text, err
}

// envelope sends MAIL, RCPT and DATA. It reports whether content is wanted, and if not, whether to try again. Recipients that
// were accepted are marked uncertain from now on.
func (c *client) envelope(outcomes []ledger.Mark) (wanted, again bool, err error) {
	commands := []string{"MAIL FROM:<" + c.run.From + ">"}
	for _, to := range c.run.To {
		commands = append(commands, "RCPT TO:<"+to+">")
	}
	codes, err := c.exchange(append(commands, "DATA"))
	if err != nil {
		return false, true, err
	}
	for i := range outcomes {
		wanted = wanted || codes[i+1] == 250
	}
	data := codes[len(codes)-1]
	if data == 354 && wanted {
		for i := range outcomes {
			if codes[i+1] == 250 {
				outcomes[i] = ledger.Uncertain
			}
		}
		return true, false, nil
	}
	if data == 354 {
		return false, false, errors.New("354 without a recipient")
	}
	for _, code := range codes[:len(codes)-1] {
		again = again || code/100 == 4
	}
	again = again || data/100 == 4
	_, err = c.exchange([]string{"RSET"})
	return false, again, err
}

// exchange sends commands, all at once if the server can take that, and returns the codes of their replies.
func (c *client) exchange(commands []string) ([]int, error) {
	codes := make([]int, 0, len(commands))
	if c.pipelining {
		for _, command := range commands {
			c.w.WriteString(command + "\r\n")
		}
	}
	for _, command := range commands {
		if !c.pipelining {
			c.w.WriteString(command + "\r\n")
		}
		code, _, err := c.reply()
		if err != nil {
			return codes, err
		}
		codes = append(codes, code)
	}
	return codes, nil
}

// content sends the letter and settles what is uncertain, if it can. An uncertain message is not to be tried again.
func (c *client) content(id string, outcomes []ledger.Mark) (again bool, err error) {
	head, rest := c.run.maker.Wire(id)
	c.w.Write(head)
	for block := range slices.Chunk(rest, blockOctets) { // each is a wait of its own
		c.conn.SetDeadline(time.Now().Add(patience))
		c.w.Write(block)
	}
	c.w.WriteString(".\r\n")
	code, _, err := c.reply()
	if err != nil {
		return false, err
	}
	mark := ledger.Refused
	if code == 250 {
		mark = ledger.Accepted
	}
	for i, outcome := range outcomes {
		if outcome == ledger.Uncertain {
			outcomes[i] = mark
		}
	}
	return code/100 == 4, nil
}

// reply sends what is waiting and reads one reply.
func (c *client) reply() (code int, text string, err error) {
	c.conn.SetDeadline(time.Now().Add(patience))
	if err := c.w.Flush(); err != nil {
		return 0, "", err
	}
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			return 0, "", err
		}
		if len(line) < len("250\r\n") {
			return 0, "", errReply
		}
		code = int(line[0]-'0')*100 + int(line[1]-'0')*10 + int(line[2]-'0')
		text += line
		if line[3] != '-' {
			return code, text, nil
		}
	}
}

// close ends the connection politely; drop, as it is.
func (c *client) close() {
	if c.conn != nil {
		c.w.WriteString("QUIT\r\n")
		c.reply()
		c.drop()
	}
}

func (c *client) drop() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}
