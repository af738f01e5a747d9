package smtpd

import "fmt"

// SizeError is the cause of a reply that refuses a message for its size.
type SizeError struct {
	Octets int64 // announced by SIZE, or received
}

// Error implements error.
func (e *SizeError) Error() string { return fmt.Sprintf("the message has %d octets", e.Octets) }
