package soak

import (
	"errors"
	"fmt"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sluice/test/harness"
	"sluice/test/load/generate"
	"sluice/test/load/ledger"
	"sluice/test/load/sink"
	"sluice/test/peers/peer"
)

const (
	smallDiskMiB    = 64
	smallReserveMiB = 16 // more than what the log and tables of what is queued then still need
	leftMiB         = 8  // free when the disk is full for our purposes
)

// S29: filled under load, a disk gets every MAIL a 452 within a second, while the API answers and what is queued leaves; once
// there is room mail is taken without a restart, and everything that was accepted arrives.
func TestS29DiskFull(t *testing.T) {
	const messages, rate = 900, 150
	disk := mountSmall(t)
	far := startSink(t, sink.Options{Behaviour: sink.Behaviour{Defer: 1}})
	server := harness.StartOn(t, filepath.Join(disk, "data"), append(quickRetries, "--disk-reserve", fmt.Sprint(smallReserveMiB<<20))...)
	address := route(t, server, map[string]string{"example.net": far.Addr()})

	sent := make(chan generate.Result, 1)
	go func() {
		result, err := generate.Run(within(t), address, generate.Options{
			Messages: messages, Rate: rate, Sessions: 10, To: []string{"rcpt@example.net"}, Persist: patience, PerConnection: 20,
		})
		if err != nil {
			t.Errorf("generate: %v", err)
		}
		sent <- result
	}()
	harness.Eventually(t, "messages are queued", func() bool { return waiting(t, server) >= messages/3 })
	ballast := fill(t, disk)
	filled := time.Now()
	accepted, last := mailUntil(t, address, filled.Add(2*time.Second), filled)
	t.Logf("full with %d queued: MAIL was accepted %d times after that, the last %v after", waiting(t, server), accepted, last.Round(time.Millisecond))
	if last > time.Second {
		t.Errorf("MAIL was accepted %v after the disk was full, want none after a second", last)
	}
	status, err := server.Admin().GetStatus(t.Context())
	if err != nil || len(status.NotReady) == 0 {
		t.Errorf("the API says %+v, %v; want a reason why no mail is taken", status, err)
	}
	queued := waiting(t, server)
	far.Behave(sink.Behaviour{})
	harness.Eventually(t, "what is queued leaves", func() bool { return waiting(t, server) == 0 })
	harness.Eventually(t, "what has left was taken", func() bool { return far.Taken() >= queued }) // it counts after its reply
	if n, _ := mailUntil(t, address, time.Now().Add(time.Second), time.Now()); n > 0 {
		t.Errorf("MAIL was accepted %d times while the disk was full", n)
	}

	must(t, os.Remove(ballast))
	result := <-sent
	t.Log(result)
	emptied(t, server)
	balanced(t, result.Ledger, far.Ledger)
	if n := result.Ledger.Total(ledger.Accepted); n != messages {
		t.Errorf("%d of %d messages were accepted once there was room", n, messages)
	}
}

// S29: the same of a disk that has room, and no inode for another file.
func TestS29InodesExhausted(t *testing.T) {
	disk := mountSmall(t, "nr_inodes=1000")
	far := startSink(t, sink.Options{})
	server := harness.StartOn(t, filepath.Join(disk, "data"), append(quickRetries, "--disk-reserve", "1")...)
	address := route(t, server, map[string]string{"example.net": far.Addr()})
	if code := mail(t, address); code != 250 {
		t.Fatalf("MAIL was answered %d before", code)
	}
	ballast := filepath.Join(disk, "ballast")
	must(t, os.Mkdir(ballast, 0o700))
	for n := 0; ; n++ {
		if err := os.WriteFile(filepath.Join(ballast, fmt.Sprint(n)), nil, 0o600); errors.Is(err, syscall.ENOSPC) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	full := time.Now()
	if accepted, last := mailUntil(t, address, full.Add(2*time.Second), full); last > time.Second {
		t.Errorf("MAIL was accepted %d times, the last %v after the inodes were exhausted", accepted, last)
	}
	if status, err := server.Admin().GetStatus(t.Context()); err != nil || !strings.Contains(fmt.Sprint(status.NotReady), "inodes") {
		t.Errorf("the API says %+v, %v; want that there are no inodes", status, err)
	}
	must(t, os.RemoveAll(ballast))
	harness.Eventually(t, "mail is taken again", func() bool { return mail(t, address) == 250 })
	sent := send(t, address, generate.Options{Messages: 100, To: []string{"rcpt@example.net"}})
	must(t, far.Await(within(t), 100))
	emptied(t, server)
	balanced(t, sent.Ledger, far.Ledger)
}

// waiting is how many items are in all lanes.
func waiting(t *testing.T, s *harness.Server) (items int) {
	t.Helper()
	for _, n := range lanes(t, s) {
		items += n
	}
	return items
}

// fill takes the room on the disk but for a little.
func fill(t *testing.T, disk string) (file string) {
	t.Helper()
	file = filepath.Join(disk, "ballast")
	f, err := os.Create(file)
	must(t, err)
	defer f.Close()
	for block := make([]byte, 64<<10); freeMiB(t, disk) > leftMiB; {
		_, err := f.Write(block)
		must(t, err)
	}
	return file
}

func freeMiB(t *testing.T, disk string) uint64 {
	t.Helper()
	usage, err := vfs.Default.GetDiskUsage(disk)
	must(t, err)
	return usage.AvailBytes >> 20
}

// mailUntil asks for transactions over one connection after another until a time, and returns how often that was granted and
// how long after the disk was full the last time. Any reply but 250 and 452 fails the test.
func mailUntil(t *testing.T, address string, until, full time.Time) (accepted int, last time.Duration) {
	t.Helper()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for asked := time.Now(); asked.Before(until); asked = <-ticker.C {
		code := mail(t, address)
		switch code {
		case 250:
			accepted, last = accepted+1, asked.Sub(full)
		case 452:
		default:
			t.Errorf("MAIL was answered %d", code)
		}
	}
	return accepted, last
}

// mail says EHLO and MAIL, and returns the code of the reply.
func mail(t *testing.T, address string) (code int) {
	t.Helper()
	conn, err := textproto.Dial("tcp", address)
	must(t, err)
	defer conn.Close()
	for _, command := range []string{"", "EHLO soak.invalid", "MAIL FROM:<sender@example.org> SIZE=1000"} {
		if command != "" {
			must(t, conn.PrintfLine("%s", command))
		}
		code, _, err = conn.ReadResponse(0)
		if protocol := (*textproto.Error)(nil); err != nil && !errors.As(err, &protocol) {
			t.Fatalf("%q: %v", command, err)
		}
	}
	return code
}

// S29: a disk that turns read-only ends the process with status 1 and a line that says why, and what is not on disk is not
// acknowledged.
func TestS29ReadOnly(t *testing.T) {
	disk, turnReadOnly := mountExt4(t)
	far := startSink(t, sink.Options{Behaviour: sink.Behaviour{Defer: 1}})
	server := harness.StartOn(t, filepath.Join(disk, "data"), append(quickRetries, "--disk-reserve", "1")...)
	address := route(t, server, map[string]string{"example.net": far.Addr()})
	if _, err := harness.Deliver(address, "sender@example.org", "rcpt@example.net", "Subject: before\r\n\r\n.\r\n"); err != nil {
		t.Fatal(err)
	}
	turnReadOnly()
	if id, err := harness.Deliver(address, "sender@example.org", "rcpt@example.net", "Subject: after\r\n\r\n.\r\n"); err == nil {
		t.Errorf("message %s was acknowledged though it cannot be on disk", id)
	}
	if status := server.Ended(t); status != 1 {
		t.Errorf("ended with status %d, want 1", status)
	}
	if log := server.Log(); !strings.Contains(log, "cannot go on") || !strings.Contains(log, "read-only") && !strings.Contains(log, "input/output error") {
		t.Errorf("the log does not say why:\n%s", log)
	}
	for line := range strings.Lines(server.Log()) {
		if strings.Contains(line, "cannot go on") {
			t.Log(strings.TrimSpace(line))
		}
	}
	servesWithoutMail(t, server.RestartUnready(t, quickRetries...), address, "read-only")
}

// mountSmall mounts a small file system in memory. The test is skipped where it may not.
func mountSmall(t *testing.T, options ...string) (folder string) {
	t.Helper()
	folder = t.TempDir()
	options = append(options, fmt.Sprintf("size=%dm", smallDiskMiB))
	mount(t, folder, "-t", "tmpfs", "-o", strings.Join(options, ","), "tmpfs", folder)
	return folder
}

// mountExt4 mounts a file system in a file, and returns what has the kernel turn it read-only, as it does when it finds an error.
func mountExt4(t *testing.T) (folder string, turnReadOnly func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("a file system of its own needs root")
	}
	t.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin")
	peer.Require(t, "mkfs.ext4", "apt-get install e2fsprogs")
	image := filepath.Join(t.TempDir(), "image")
	must(t, os.WriteFile(image, nil, 0o600))
	must(t, os.Truncate(image, smallDiskMiB<<20))
	if out, err := exec.Command("mkfs.ext4", "-q", image).CombinedOutput(); err != nil {
		t.Fatalf("mkfs.ext4: %v\n%s", err, out)
	}
	folder = t.TempDir()
	mount(t, folder, "-o", "loop,errors=remount-ro", image, folder)
	device, err := exec.Command("findmnt", "-n", "-o", "SOURCE", folder).Output()
	must(t, err)
	trigger := filepath.Join("/sys/fs/ext4", filepath.Base(strings.TrimSpace(string(device))), "trigger_fs_error")
	if _, err := os.Stat(trigger); err != nil {
		t.Skipf("the kernel finds no errors to order: %v", err)
	}
	return folder, func() { must(t, os.WriteFile(trigger, []byte("soak"), 0)) }
}

// mount runs the command, and undoes it when the test ends. The test is skipped where it may not mount.
func mount(t *testing.T, folder string, args ...string) {
	t.Helper()
	if runtime.GOOS != "linux" || os.Geteuid() != 0 {
		t.Skip("a file system of its own needs Linux and root")
	}
	if out, err := exec.Command("mount", args...).CombinedOutput(); err != nil {
		t.Skipf("file systems may not be mounted here: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", folder).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
}
