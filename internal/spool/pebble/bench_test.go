package pebble

import (
	"context"
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	"sluice/internal/spool"
	"sluice/internal/spool/spooltest"
)

// BenchmarkAccept is what one message costs on a real disk: 10 KB accepted and synced, its item handed on to another
// lane, and settled.
func BenchmarkAccept(b *testing.B) {
	for _, writers := range []int{1, 20, 100} {
		b.Run(fmt.Sprintf("%d writers", writers), func(b *testing.B) {
			s, err := Open(b.TempDir(), Config{Logger: quiet})
			if err != nil {
				b.Fatalf("open: %v", err)
			}
			defer s.Close()
			content := spooltest.Octets(10 << 10)
			var all sync.WaitGroup
			b.ResetTimer()
			c := cpu()
			for w := range writers {
				all.Go(func() {
					for range (b.N + w) / writers {
						if err := pass(s, content); err != nil {
							b.Errorf("pass: %v", err)
							return
						}
					}
				})
			}
			all.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
			b.ReportMetric((cpu()-c)/float64(b.N), "cpu-µs/op")
			m := s.db.Metrics()
			b.ReportMetric(float64(m.Flush.Count), "flushes")
			b.ReportMetric(float64(m.WAL.BytesWritten)/float64(b.N), "wal-octets/op")
		})
	}
}

// cpu is the time that the process has computed, in microseconds.
func cpu() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e3
}

// pass takes a message through the spool.
func pass(s spool.Spool, content []byte) error {
	ctx := context.Background()
	m := spooltest.Message()
	in, err := s.Begin(ctx, m.ID)
	if err != nil {
		return err
	}
	if _, err := in.Write(content); err != nil {
		return err
	}
	first := spooltest.Item(&m, 1, spool.LaneProcess, m.ReceivedAt)
	until := m.ReceivedAt.Add(time.Minute)
	held, err := s.Accept(ctx, spool.Acceptance{Message: m, Content: in, Items: []spool.Item{first}, Owner: "a", Until: until})
	if err != nil {
		return err
	}
	second := spooltest.Item(&m, 2, spool.RelayLane("123456789012", "eu-central-1", "r-1"), m.ReceivedAt)
	handed := spool.Settlement{Owner: "a", Out: []spool.ItemKey{first.ItemKey}, In: []spool.Item{second}, Claim: true, Until: until}
	if err := s.Settle(ctx, handed); err != nil {
		return err
	}
	if held != nil {
		held.Release()
	}
	return s.Settle(ctx, spool.Settlement{Owner: "a", Out: []spool.ItemKey{second.ItemKey}})
}
