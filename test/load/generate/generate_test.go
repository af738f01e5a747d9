package generate_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"sluice/test/load/generate"
	"sluice/test/load/ledger"
	"sluice/test/load/sink"
)

// TestPersist shows that messages wait for a server that is not there yet, and are given up when it never comes.
func TestPersist(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	result, err := generate.Run(t.Context(), address, generate.Options{Messages: 3})
	if err != nil || result.Ledger.Total(ledger.Refused) != 3 {
		t.Errorf("without a server: %s, %v", result, err)
	}
	done := make(chan generate.Result)
	go func() {
		result, _ := generate.Run(t.Context(), address, generate.Options{Messages: 3, Persist: time.Minute})
		done <- result
	}()
	s, err := sink.Listen(address, sink.Options{})
	if err != nil {
		t.Skip("the port was taken meanwhile: ", err)
	}
	defer s.Close()
	if result := <-done; result.Ledger.Total(ledger.Accepted) != 3 {
		t.Errorf("with a server: %s", result)
	}
}

// TestEndedContext shows that what was not begun is not sent.
func TestEndedContext(t *testing.T) {
	t.Parallel()
	s, err := sink.Listen("127.0.0.1:0", sink.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	result, err := generate.Run(ended, s.Addr(), generate.Options{Messages: 3})
	if !errors.Is(err, context.Canceled) || result.Ledger.Len() != 0 || s.Taken() != 0 {
		t.Errorf("got %v, %s", err, result)
	}
}
