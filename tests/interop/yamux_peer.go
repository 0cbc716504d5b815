// The other implementation: HashiCorp's yamux on standard input, which is a socket.
//
//	yamux-peer-go client|server serve [backlog]
//	yamux-peer-go client|server drive SCENARIO
//
// What a stream's opener asks for stands in its first line; yamux_peer.c says the same in C.
package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/yamux"
)

const big = 8 << 20

var session *yamux.Session

func fail(format string, args ...interface{}) {
	fmt.Printf("FAIL: "+format+"\n", args...)
	os.Exit(1)
}

func check(err error) {
	if err != nil {
		fail("%v", err)
	}
}

func pattern(seed, length int) []byte {
	b := make([]byte, length)
	for i := range b {
		b[i] = byte((uint64(i) + uint64(seed)*7919) * 2654435761 >> 11)
	}
	return b
}

// Serving.

var (
	lock     sync.Mutex
	changed  = sync.NewCond(&lock)
	released bool
	resets   int
)

func countReset(err error) {
	if errors.Is(err, yamux.ErrConnectionReset) {
		lock.Lock()
		resets++
		lock.Unlock()
		changed.Broadcast()
	}
}

func waitFor(condition func() bool) {
	lock.Lock()
	for !condition() {
		changed.Wait()
	}
	lock.Unlock()
}

func echo(s net.Conn, r io.Reader) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := r.Read(buffer)
		if n > 0 {
			if _, err := s.Write(buffer[:n]); err != nil {
				countReset(err)
				return
			}
		}
		if err != nil {
			countReset(err)
			return
		}
	}
}

func sink(s net.Conn, r io.Reader, length int) {
	waitFor(func() bool { return released })
	got := make([]byte, length)
	if _, err := io.ReadFull(r, got); err != nil {
		fail("sink: %v", err)
	}
	answer := "ok\n"
	if !bytes.Equal(got, pattern(1, length)) {
		answer = "wrong bytes\n"
	}
	io.WriteString(s, answer)
}

func answerOpen(s net.Conn) {
	stream, err := session.Open()
	if err != nil {
		io.WriteString(s, "no\n")
		return
	}
	stream.Close()
	io.WriteString(s, "yes\n")
}

func serveStream(s net.Conn) {
	defer s.Close()
	r := bufio.NewReaderSize(s, 16)
	line, err := r.ReadString('\n')
	if err != nil {
		countReset(err)
		return
	}
	var number int
	word := strings.TrimSuffix(line, "\n")
	if at := strings.IndexByte(word, ' '); at >= 0 {
		fmt.Sscanf(word[at:], "%d", &number)
		word = word[:at]
	}
	switch word {
	case "echo":
		echo(s, r)
	case "sink":
		sink(s, r, number)
	case "release":
		lock.Lock()
		released = true
		lock.Unlock()
		changed.Broadcast()
	case "pour":
		_, err := s.Write(pattern(1, number))
		check(err)
	case "resets":
		waitFor(func() bool { return resets >= number })
		io.WriteString(s, "ok\n")
	case "open?":
		answerOpen(s)
	default:
		fail("asked for %q", line)
	}
}

func serve() {
	for {
		s, err := session.Accept()
		if err != nil {
			return
		}
		go serveStream(s)
	}
}

// Driving.

func open(command string) net.Conn {
	s, err := session.Open()
	check(err)
	_, err = io.WriteString(s, command+"\n")
	check(err)
	return s
}

func expect(s net.Conn, want []byte) {
	got := make([]byte, len(want))
	n, err := io.ReadFull(s, got)
	if err != nil {
		fail("after %d of %d bytes: %v", n, len(want), err)
	}
	if !bytes.Equal(got, want) {
		fail("wrong bytes")
	}
}

func expectEnd(s net.Conn) {
	var one [1]byte
	if n, err := s.Read(one[:]); n != 0 || err != io.EOF {
		fail("%d bytes and %v where the end should be", n, err)
	}
}

func exchange(s net.Conn, seed, length int) {
	go func() {
		_, err := s.Write(pattern(seed, length))
		check(err)
	}()
	expect(s, pattern(seed, length))
}

// So many echoes at once.
func echoes(n, length int) {
	var all sync.WaitGroup
	for i := 0; i < n; i++ {
		all.Add(1)
		go func(i int) {
			defer all.Done()
			s := open("echo")
			exchange(s, i, 1+i*length/n)
			check(s.Close())
		}(i)
	}
	all.Wait()
}

func driveSink() {
	s := open(fmt.Sprintf("sink %d", big))
	done := make(chan error)
	go func() {
		_, err := s.Write(pattern(1, big))
		done <- err
	}()
	echoes(50, 30000)
	select {
	case <-done:
		fail("8 MiB went through a stream that nobody reads")
	default:
	}
	check(open("release").Close())
	check(<-done)
	expect(s, []byte("ok\n"))
	expectEnd(s)
	check(s.Close())
}

func drivePour() {
	s := open(fmt.Sprintf("pour %d", big))
	echoes(50, 30000)
	expect(s, pattern(1, big))
	expectEnd(s)
	check(s.Close())
}

func driveResets() {
	for i := 0; i < 10; i++ {
		s := open("reset")
		if _, err := s.Read(make([]byte, 1)); !errors.Is(err, yamux.ErrConnectionReset) {
			fail("%v, not a reset", err)
		}
	}
	echoes(1, 10)
}

func drivePing() {
	var all sync.WaitGroup
	all.Add(1)
	go func() {
		echoes(20, 200000)
		all.Done()
	}()
	for i := 0; i < 200; i++ {
		all.Add(1)
		go func() {
			_, err := session.Ping()
			check(err)
			all.Done()
		}()
	}
	all.Wait()
}

func driveAway() {
	a, b := open("echo"), open("echo")
	exchange(a, 1, 1000)
	exchange(b, 2, 1000)
	asks, err := session.Open()
	check(err)
	check(session.GoAway())
	io.WriteString(asks, "open?\n")
	expect(asks, []byte("no\n"))
	exchange(a, 3, 100000)
	exchange(b, 4, 100000)
	for _, s := range []net.Conn{a, b, asks} {
		check(s.Close())
	}
}

func driveMany() {
	for i := 0; i < 200; i++ {
		echoes(100, 100)
	}
}

func driveBulk() {
	var all sync.WaitGroup
	for i := 0; i < 4; i++ {
		all.Add(1)
		go func(i int) {
			s := open("echo")
			exchange(s, i, big)
			check(s.Close())
			all.Done()
		}(i)
	}
	all.Wait()
}

var scenarios = map[string]func(){
	"echo":  func() { echoes(1000, 20000) },
	"sink":  driveSink,
	"pour":  drivePour,
	"reset": driveResets,
	"ping":  drivePing,
	"away":  driveAway,
	"many":  driveMany,
	"bulk":  driveBulk,
}

// Both sides must come to agree that every stream has ended.
func settle() {
	for end := time.Now().Add(20 * time.Second); session.NumStreams() > 0; {
		if time.Now().After(end) {
			fail("%d streams are left", session.NumStreams())
		}
		time.Sleep(time.Millisecond)
	}
}

func main() {
	conn, err := net.FileConn(os.Stdin)
	check(err)
	config := yamux.DefaultConfig()
	if len(os.Args) > 3 && os.Args[3] == "backlog" {
		config.AcceptBacklog = 1
	}
	if os.Args[1] == "client" {
		session, err = yamux.Client(conn, config)
	} else {
		session, err = yamux.Server(conn, config)
	}
	check(err)
	switch {
	case os.Args[2] == "drive":
		scenarios[os.Args[3]]()
		settle()
		check(session.Close())
	case len(os.Args) > 3:
		<-session.CloseChan()
	default:
		serve()
		settle()
	}
}
