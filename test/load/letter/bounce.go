package letter

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"net/textproto"
	"strings"
)

// Bounce is what a delivery status notification says of a letter.
type Bounce struct {
	ID     string   // of the letter, from what is returned of it
	Failed []string // recipients whose Action is failed
}

// errNoBounce says that a message is no notification about a letter.
var errNoBounce = errors.New("not a notification about a letter")

// ReadBounce reads a delivery status notification. It is read with nothing of the project's own, which wrote it.
// Source: RFC 3464, section 2; RFC 6522.
func ReadBounce(content []byte) (Bounce, error) {
	report, err := mail.ReadMessage(bytes.NewReader(content))
	if err != nil {
		return Bounce{}, err
	}
	kind, parameters, err := mime.ParseMediaType(report.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/report" {
		return Bounce{}, errNoBounce
	}
	var b Bounce
	for parts := multipart.NewReader(report.Body, parameters["boundary"]); ; {
		part, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return Bounce{}, err
		}
		if err := b.read(part); err != nil {
			return Bounce{}, err
		}
	}
	if b.ID == "" {
		return Bounce{}, errNoBounce
	}
	return b, nil
}

// read takes from a part what it has to say.
func (b *Bounce) read(part *multipart.Part) error {
	kind, _, err := mime.ParseMediaType(part.Header.Get("Content-Type"))
	if err != nil {
		return err
	}
	switch kind {
	case "message/delivery-status", "message/global-delivery-status":
		return b.readStatus(part)
	case "message/rfc822", "text/rfc822-headers", "message/global", "message/global-headers":
		fields, err := textproto.NewReader(bufio.NewReader(part)).ReadMIMEHeader()
		if err != nil && !errors.Is(err, io.EOF) { // a header section alone has no empty line
			return err
		}
		b.ID, _, _ = strings.Cut(fields.Get(strings.TrimSuffix(field, ": ")), " ")
	}
	return nil
}

// readStatus reads the groups of fields: of the message, and then of each recipient.
func (b *Bounce) readStatus(part io.Reader) error {
	groups := textproto.NewReader(bufio.NewReader(part))
	for first := true; ; first = false {
		fields, err := groups.ReadMIMEHeader()
		if len(fields) > 0 && !first && strings.EqualFold(fields.Get("Action"), "failed") {
			_, recipient, _ := strings.Cut(fields.Get("Final-Recipient"), ";")
			b.Failed = append(b.Failed, strings.TrimSpace(recipient))
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
