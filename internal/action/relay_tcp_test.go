package action

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestRelayOverTCP lets several workers of one lane relay over real sockets to a host that drops every tenth connection at
// the end of data, before or after it replied. Nothing may be lost or taken twice but what the host did not answer.
func TestRelayOverTCP(t *testing.T) {
	t.Parallel()
	const messages, workers = 400, 4
	b := newBench()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	var mu sync.Mutex
	chance := rand.New(rand.NewPCG(1, 2))
	b.host.says = func(_ int, line string) string {
		mu.Lock()
		defer mu.Unlock()
		if (line == "." || strings.HasPrefix(line, "RCPT")) && chance.IntN(10) == 0 {
			return drop
		}
		return ""
	}
	go func() {
		for number := 1; ; number++ {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go b.host.serve(conn, number)
		}
	}()
	b.config.Dial, b.config.Idle = nil, time.Millisecond
	b.relays.relay.Server, b.relays.relay.Port = "127.0.0.1", listener.Addr().(*net.TCPAddr).Port
	for i := range messages {
		b.feed.ready = append(b.feed.ready, b.item(fmt.Sprint("m", i), "b@x"))
	}
	executor := NewRelayExecutor(b.config)
	var working sync.WaitGroup
	for range workers {
		working.Go(func() { executor.Work(t.Context(), &b.feed) })
	}
	working.Wait()
	taken := map[string]int{}
	for _, name := range b.host.taken {
		taken[name]++
	}
	if len(b.feed.done) != messages {
		t.Errorf("%d of %d items were reported", len(b.feed.done), messages)
	}
	for _, done := range b.feed.done {
		want := 0
		if isSettled(done.result) {
			want = 1
		}
		if got := taken[done.name]; got != want {
			t.Errorf("%s: the host took it %d times, want %d", done, got, want)
		}
	}
}
