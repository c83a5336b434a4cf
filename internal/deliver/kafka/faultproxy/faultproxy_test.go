// SPDX-License-Identifier: Apache-2.0

package faultproxy

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// echo returns a proxy in front of a server that sends back what it reads.
func echo(t *testing.T) *Proxy {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				io.Copy(conn, conn)
				conn.Close()
			}()
		}
	}()
	p, err := New(ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func dial(t *testing.T, p *Proxy) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	return conn.(*net.TCPConn)
}

// say sends text and returns what comes back of it, and why there is no more.
func say(t *testing.T, c net.Conn, text string) (string, error) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		return "", err
	}
	back := make([]byte, len(text))
	n, err := io.ReadFull(c, back)
	return string(back[:n]), err
}

func TestBytesPassBothWays(t *testing.T) {
	p := echo(t)
	c := dial(t, p)
	long := strings.Repeat("0123456789", 100_000)
	go io.WriteString(c, long)
	back := make([]byte, len(long))
	if _, err := io.ReadFull(c, back); err != nil || string(back) != long {
		t.Fatalf("%d bytes, %v", len(back), err)
	}
	c.CloseWrite()
	if rest, err := io.ReadAll(c); err != nil || len(rest) > 0 {
		t.Errorf("after a FIN: %q, %v", rest, err)
	}
	n := int64(len(long))
	if s := p.Stats(); s.Accepted != 1 || s.Passed != [2]int64{n, n} {
		t.Errorf("%+v", s)
	}
}

func TestACutIsExact(t *testing.T) {
	for _, c := range []struct {
		name  string
		cut   Cut
		want  string
		error error
	}{
		{"in order, in the middle", Cut{7, FIN}, "0123456", io.ErrUnexpectedEOF},
		{"in order, before the first byte", Cut{0, FIN}, "", io.EOF},
		{"by a reset", Cut{0, RST}, "", syscall.ECONNRESET},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := echo(t)
			p.Set(Down, Rule{Cut: &c.cut})
			for range 3 { // each connection
				got, err := say(t, dial(t, p), "0123456789")
				if got != c.want || !errors.Is(err, c.error) {
					t.Errorf("%q, %v", got, err)
				}
			}
			if s := p.Stats(); s.Passed != [2]int64{30, 3 * int64(c.cut.After)} {
				t.Errorf("%+v", s)
			}
			p.Set(Down, Rule{})
			if got, err := say(t, dial(t, p), "0123456789"); got != "0123456789" || err != nil {
				t.Errorf("healed: %q, %v", got, err)
			}
		})
	}
}

func TestACutOfAConnectionThatIsOpenCountsFromTheRule(t *testing.T) {
	p := echo(t)
	c := dial(t, p)
	if _, err := say(t, c, "before"); err != nil {
		t.Fatal(err)
	}
	p.Set(Up, Rule{Cut: &Cut{3, FIN}})
	io.WriteString(c, "after")
	back, err := io.ReadAll(c)
	if !strings.HasPrefix("aft", string(back)) || err != nil {
		t.Errorf("%q, %v", back, err)
	}
	if s := p.Stats(); s.Passed[Up] != int64(len("beforeaft")) {
		t.Errorf("%+v", s)
	}
}

func TestWhatIsHeldArrivesLater(t *testing.T) {
	for name, d := range map[string]Direction{"up": Up, "down": Down} {
		t.Run(name, func(t *testing.T) {
			p := echo(t)
			c := dial(t, p)
			if _, err := say(t, c, "x"); err != nil {
				t.Fatal(err)
			}
			p.Set(d, Rule{Hold: true})
			if _, err := io.WriteString(c, "held"); err != nil {
				t.Fatal(err)
			}
			c.CloseWrite()
			c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
			if n, err := c.Read(make([]byte, 9)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%d bytes came through, %v", n, err)
			}
			p.Set(d, Rule{})
			c.SetReadDeadline(time.Now().Add(20 * time.Second))
			if got, err := io.ReadAll(c); string(got) != "held" || err != nil {
				t.Errorf("healed: %q, %v", got, err)
			}
		})
	}
}

func TestDelayAndRateTakeTheirTime(t *testing.T) {
	p := echo(t)
	c := dial(t, p)
	if _, err := say(t, c, "x"); err != nil {
		t.Fatal(err)
	}
	took := func(text string) time.Duration {
		start := time.Now()
		if got, err := say(t, c, text); got != text || err != nil {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
		return time.Since(start)
	}
	p.Both(Rule{Delay: 40 * time.Millisecond})
	if d := took("x"); d < 80*time.Millisecond {
		t.Errorf("a round trip with a delay of 40 ms each way took %v", d)
	}
	p.Both(Rule{})
	p.Set(Up, Rule{Rate: 100_000})
	if d := took(strings.Repeat("x", 20_000)); d < 150*time.Millisecond { // the last piece is not waited for
		t.Errorf("20 kB at 100 kB/s took %v", d)
	}
}

func TestWelcomes(t *testing.T) {
	p := echo(t)
	for _, c := range []struct {
		name    string
		welcome Welcome
		error   error
	}{
		{"a hang-up", Hangup, io.EOF},
		{"a reset", Reset, syscall.ECONNRESET},
		{"silence", Silence, os.ErrDeadlineExceeded},
	} {
		p.Greet(c.welcome)
		patience := 20 * time.Second
		if c.welcome == Silence {
			patience = 50 * time.Millisecond
		}
		if err := fate(p, patience); !errors.Is(err, c.error) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if err := p.Heal(); err != nil {
		t.Fatal(err)
	}
	if got, err := say(t, dial(t, p), "hello"); got != "hello" || err != nil {
		t.Errorf("healed: %q, %v", got, err)
	}
}

// fate returns how a new connection ends: a reset may come while it is made, or to its reader.
func fate(p *Proxy, patience time.Duration) error {
	conn, err := net.Dial("tcp", p.Addr())
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetReadDeadline(time.Now().Add(patience))
	_, err = conn.Read(make([]byte, 1))
	return err
}

func TestRefuseAndListen(t *testing.T) {
	p := echo(t)
	c := dial(t, p)
	p.Refuse()
	if _, err := net.Dial("tcp", p.Addr()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("dial: %v", err)
	}
	if got, err := say(t, c, "still here"); got != "still here" || err != nil {
		t.Errorf("an open connection: %q, %v", got, err)
	}
	if err := p.Listen(); err != nil {
		t.Fatal(err)
	}
	if got, err := say(t, dial(t, p), "again"); got != "again" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

func TestBreakEndsWhatIsOpen(t *testing.T) {
	for name, c := range map[string]struct {
		end   End
		error error
	}{"FIN": {FIN, io.EOF}, "RST": {RST, syscall.ECONNRESET}} {
		t.Run(name, func(t *testing.T) {
			p := echo(t)
			conn := dial(t, p)
			if _, err := say(t, conn, "x"); err != nil {
				t.Fatal(err)
			}
			go p.Break(c.end)
			if n, err := conn.Read(make([]byte, 1)); n != 0 || !errors.Is(err, c.error) {
				t.Errorf("%d, %v", n, err)
			}
		})
	}
}

func TestAServerThatIsNotThereResets(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	p := echo(t)
	p.Retarget(ln.Addr().String())
	if err := fate(p, 20*time.Second); !errors.Is(err, syscall.ECONNRESET) {
		t.Error(err)
	}
}

func TestCloseLeavesNothingBehind(t *testing.T) {
	ours := func() int {
		buf := make([]byte, 1<<20)
		return bytes.Count(buf[:runtime.Stack(buf, true)], []byte("faultproxy.(*"))
	}
	p := echo(t)
	for _, r := range []Rule{{}, {Hold: true}, {Rate: 1}, {Delay: time.Hour}} {
		p.Both(r)
		for range 3 {
			io.WriteString(dial(t, p), strings.Repeat("x", 100_000))
		}
	}
	p.Greet(Silence)
	dial(t, p)
	if ours() == 0 {
		t.Error("this test sees no goroutines")
	}
	p.Close()
	if n := ours(); n > 0 {
		t.Errorf("%d goroutines are left", n)
	}
}
