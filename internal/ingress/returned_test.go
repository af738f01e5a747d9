package ingress

import (
	"testing"
	"time"

	"sluice/internal/conform"
	"sluice/internal/message"
	"sluice/internal/smtp"
	"sluice/internal/spool"
	"sluice/internal/srs"
)

// TestMailToOurAddresses: Mail Manager, E19. A right address is decoded and leaves by the way of bounces; a wrong one is refused;
// others go through the rules.
func TestMailToOurAddresses(t *testing.T) {
	t.Parallel()
	conform.Check(t, "E19")
	rewriter := srs.New("example.net", make([]byte, srs.KeyOctets))
	g := newGateway(t, func(_ *gateway, c *Config) {
		c.SRS = rewriter
		c.Return = func(account, region string) spool.Lane { return spool.RelayLane(account, region, "r-back") }
	})
	sender, err := smtp.ParseMailbox("jo@sender.example")
	if err != nil {
		t.Fatal(err)
	}
	ours, err := rewriter.Forward(sender, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	forged := "SRS0=AAAAAAAA=AA=sender.example=jo@example.net"
	c := call(t, g.address)
	c.say("EHLO client.test", "250")
	c.say("MAIL FROM:<>", "250")
	c.say("RCPT TO:<"+forged+">", "550 5.1.1")
	c.say("RCPT TO:<"+ours.Received+">", "250")
	c.say("RCPT TO:<b@example.net>", "250")
	c.say("DATA", "354")
	final := c.say(testContent+".", "250 2.0.0 OK ")
	id, err := message.ParseID(final[len("250 2.0.0 OK "):])
	if err != nil {
		t.Fatal(err)
	}
	_, items, err := g.spool.Message(t.Context(), id)
	if err != nil || len(items) != 2 {
		t.Fatalf("got %d items, %v, want 2", len(items), err)
	}
	if got := items[0]; got.Lane != spool.LaneProcess || len(got.Recipients) != 1 || got.Recipients[0].Path.Received != "b@example.net" {
		t.Errorf("got %+v, want the other recipient to be processed", got)
	}
	way := spool.RelayLane(testScope.Account, testScope.Region, "r-back")
	if got := items[1]; got.Lane != way || len(got.Recipients) != 1 || got.Recipients[0].Path.Received != "jo@sender.example" {
		t.Errorf("got %+v, want the sender by the way of bounces", got)
	}
}
