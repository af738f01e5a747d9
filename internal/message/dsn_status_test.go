package message

import (
	"testing"

	"sluice/internal/smtp"
)

func TestDeliveryStatusCode(t *testing.T) {
	t.Parallel()
	enhanced := func(code int, class, subject, detail uint16) *smtp.Reply {
		return smtp.NewReply(code, class, subject, detail, "")
	}
	plain := func(code int) *smtp.Reply { return &smtp.Reply{Code: code} }
	tests := []struct {
		name   string
		action DeliveryAction
		reply  *smtp.Reply
		want   string
	}{
		{"the host's", ActionFailed, enhanced(550, 5, 1, 1), "5.1.1"},
		{"the host's, given up", ActionFailed, enhanced(450, 4, 2, 2), "4.2.2"},
		{"the host's, delayed", ActionDelayed, enhanced(451, 4, 7, 1), "4.7.1"},
		{"the host's, passed on", ActionRelayed, enhanced(250, 2, 6, 0), "2.6.0"},
		{"class 4 in 550", ActionFailed, enhanced(550, 4, 1, 1), "5.2.0"},
		{"class 5 in 450", ActionFailed, enhanced(450, 5, 1, 1), "4.2.0"},
		{"class 2 in 550", ActionFailed, enhanced(550, 2, 0, 0), "5.2.0"},
		{"class 5 in 250", ActionDelivered, enhanced(250, 5, 0, 0), "2.0.0"},
		{"class 4, delayed, in 550", ActionDelayed, enhanced(550, 4, 1, 1), "4.0.0"},
		{"a success that failed", ActionFailed, enhanced(250, 2, 0, 0), "4.0.0"},
		{"none in 421", ActionFailed, plain(421), "4.3.2"},
		{"none in 452", ActionDelayed, plain(452), "4.3.1"},
		{"none in 499", ActionDelayed, plain(499), "4.0.0"},
		{"none in 530", ActionFailed, plain(530), "5.7.0"},
		{"none in 550", ActionFailed, plain(550), "5.2.0"},
		{"none in 552", ActionFailed, plain(552), "5.2.2"},
		{"none in 554", ActionFailed, plain(554), "5.0.0"},
		{"none in 556", ActionFailed, plain(556), "5.1.10"},
		{"none in 599", ActionFailed, plain(599), "5.0.0"},
		{"none in 250", ActionRelayed, plain(250), "2.0.0"},
		{"no answer", ActionFailed, nil, "4.4.7"},
		{"no answer yet", ActionDelayed, nil, "4.4.0"},
		{"delivered", ActionDelivered, nil, "2.0.0"},
		{"passed on", ActionRelayed, nil, "2.0.0"},
		{"expanded", ActionExpanded, nil, "2.0.0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := DeliveryStatus{Action: tt.action, Reply: tt.reply}
			if got := d.Code().String(); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			d.Status = smtp.EnhancedCode{Class: 5, Subject: 9, Detail: 9}
			if got := d.Code().String(); got != "5.9.9" {
				t.Errorf("got %s, want what was set", got)
			}
		})
	}
}

// The table has codes of the class of their reply.
func TestStatusOfReply(t *testing.T) {
	t.Parallel()
	for reply, code := range statusOfReply {
		if int(code.Class) != reply/100 {
			t.Errorf("%d has %s", reply, code)
		}
	}
}
