// SPDX-License-Identifier: Apache-2.0

package dnstap

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"
)

const (
	guardEvery = time.Second     // how often the place of a listener is looked at
	lately     = 5 * time.Second // for how long a connection that could not be taken is news
)

// placed is a listener whose place can be lost to it: a socket that is a file.
type placed interface {
	net.Listener
	// lost tells whether who connects to the place does not get to this listener.
	lost() bool
}

// socketFile is a unix socket and its file. The file can be removed, or replaced by another process,
// and the socket does not notice: it listens on, and nobody can connect.
type socketFile struct {
	*net.UnixListener
	path string
	file fs.FileInfo // cannot be that of another file: the socket keeps its inode
}

func newSocketFile(l *net.UnixListener, path string) (*socketFile, error) {
	file, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	return &socketFile{l, path, file}, nil
}

func (l *socketFile) lost() bool {
	file, err := os.Lstat(l.path)
	if err != nil {
		return errors.Is(err, fs.ErrNotExist) // anything else does not tell
	}
	return !os.SameFile(file, l.file)
}

// Close implements net.Listener. It takes the file away if it is its own: where it was removed,
// another sensor may listen now.
func (l *socketFile) Close() error {
	if !l.lost() {
		_ = os.Remove(l.path) // else it is stale, and the next sensor removes it
	}
	return l.UnixListener.Close()
}

// guard looks after the place of the listener until the source is drained.
func (s *Source) guard() {
	tick := time.NewTicker(s.every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.look()
		case <-s.leaving:
			return
		}
	}
}

// look listens anew when the listener has lost its place. Connections that it has taken go on.
func (s *Source) look() {
	s.mu.Lock()
	l, ok := s.listener.(placed)
	s.mu.Unlock()
	if !ok || !l.lost() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.displaced = nil
		return
	}
	fresh, err := s.listen(s.cfg)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err != nil:
		s.displaced = fmt.Errorf("%w: the socket's file was taken away, and cannot be made again", err)
	case s.draining:
		_ = fresh.Close()
	default:
		s.listener, s.displaced = fresh, nil
		s.reopened++
		s.work.Go(func() { s.accept(fresh) })
		_ = l.Close() // nobody can connect to it
	}
}

// refuse notes that a connection could not be taken.
func (s *Source) refuse(err error) {
	what := "no connection can be taken"
	if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
		what = "no connection can be taken before more files may be open (ulimit -n, LimitNOFILE)"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refusal, s.refused = fmt.Errorf("dnstap: %s: %s: %w", s.cfg.Listen, what, err), time.Now()
}

// Err returns why name servers cannot connect now, or nil. It may be called from any goroutine.
func (s *Source) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.displaced == nil && s.refusal != nil && time.Since(s.refused) < lately {
		return s.refusal
	}
	return s.displaced
}
