// SPDX-License-Identifier: Apache-2.0

package spool

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"
)

const (
	quarantineName = "quarantine"
	// What quarantine may hold. The oldest, by name, goes first.
	maxQuarantined = 64
	quarantinePart = 8 // of MaxBytes
)

// recover finds out what is in the directory. It fails at nothing.
//
// Of a segment that was sealed it reads the seal: 68 bytes for 64 MiB, so that thousands of
// segments are counted in the time that opening their files takes. Only the segments that were
// open when their process was killed, one for each such end, are walked through, and of these
// only the headers. Payloads are checked when they are handed out, and not before: a checksum
// that was right at the start says nothing about what is read an hour later.
func (s *Spool) recover() {
	entries, err := s.dir.List(".")
	if err != nil {
		s.log.Error("spool: the directory cannot be listed; what is in it waits for the next start",
			"error", err)
	}
	found := make(map[string]int64, len(entries))
	used := int64(0)
	for _, e := range entries {
		number, ok := segmentNumber(e.Name())
		if !ok {
			continue
		}
		s.number = max(s.number, number+1)
		info, err := e.Info()
		// Opening what is no plain file could wait for ever.
		if err != nil || !info.Mode().IsRegular() {
			s.log.Warn("spool: it has the name of a segment and is no file; it is left alone",
				"name", e.Name(), "error", err)
			continue
		}
		found[e.Name()] = info.Size()
		used += info.Size()
	}
	space, err := s.dir.Space()
	if err != nil {
		s.log.Warn("spool: it is not known how much is free; spool.min_free is not watched",
			"error", err)
	}
	s.cfg = s.cfg.resolve(space, used)
	s.stats.Free = clampUint(space.Free)
	marks, err := readCursor(s.dir)
	if err != nil {
		s.log.Warn("spool: delivery begins at the oldest frame", "error", err)
	}
	for number := range marks {
		s.number = max(s.number, number+1)
	}
	for _, e := range entries { // in the order of their names, which is that of their numbers
		if size, ok := found[e.Name()]; ok {
			s.recoverSegment(e.Name(), size, marks)
		}
	}
	s.catchUp()
	s.check()
	waits := s.waiting
	waits.add(s.held)
	s.log.Info("spool: open", "segments", len(s.segments), "batches", waits.frames,
		"records", waits.records, "max_bytes", s.cfg.MaxBytes)
}

// recoverSegment makes one file a segment of the spool, or puts it where it does no harm.
func (s *Spool) recoverSegment(name string, size int64, marks map[uint64]mark) {
	if size == 0 { // begun, and nothing else
		if err := s.dir.Remove(name); err != nil {
			s.log.Warn("spool: an empty segment cannot be deleted", "error", err)
		}
		return
	}
	f, err := s.dir.Open(name)
	if err != nil {
		s.log.Error("spool: a segment cannot be opened; it waits for the next start", "error", err)
		return
	}
	number, _ := segmentNumber(name)
	m := marks[number]
	s.walk = walk{f: f, end: size, patient: true, buf: s.walk.buf}
	sv, err := survey(&s.walk, m)
	if err == nil && sv.seal == 0 && s.cfg.Sync != SyncNever {
		// A killed process left it in the page cache, and nobody else will see to it.
		if err := f.Sync(); err != nil {
			s.log.Warn("spool: a segment may not survive a loss of power", "segment", number,
				"error", err)
		}
	}
	f.Close()
	switch {
	case err != nil && s.walk.failed != nil:
		s.log.Error("spool: a segment cannot be read; it waits for the next start",
			"segment", number, "error", s.walk.failed)
		return
	case err != nil:
		s.quarantine(name, size, err.Error())
		return
	}
	if sv.damage > 0 {
		s.log.Warn("spool: a segment has no end or is damaged; what is whole of it is kept",
			"segment", number, "bytes", sv.damage, "frames", sv.missing.frames,
			"records", sv.missing.records)
	}
	s.stats.Corrupt.Frames += sv.missing.frames
	s.stats.Corrupt.Records += sv.missing.records
	s.stats.Corrupt.Bytes += uint64(size - sv.end - sv.seal)
	now := time.Now()
	seg := &segment{
		number: number, id: sv.id, size: size, start: sv.start, end: sv.end,
		total: sv.total, wait: sv.wait,
		// The clock is asked once: if it jumps later, ages do not.
		begun: now.Add(-since(sv.first, now)), last: now.Add(-since(sv.last, now)),
	}
	seg.since = seg.begun
	s.disk += size
	for _, k := range sv.kept {
		at := place{number, k.at}
		s.hold(at, &holding{segment: seg, frame: k.frame, tally: k.tally, returned: true})
		s.returned = append(s.returned, at)
		s.stats.Recovered += k.tally.records
	}
	if seg.done() {
		s.remove(seg)
		return
	}
	s.segments = append(s.segments, seg)
	s.waiting.add(seg.wait)
	s.stats.Recovered += seg.wait.records
}

// summary is what a file holds.
type summary struct {
	id          uint64
	start, end  int64 // of the frames that are not settled
	seal        int64 // bytes of the seal; 0 when there is none
	total, wait tally
	kept        []keptFrame
	first, last int64 // ms
	missing     tally // that no header is left of, as far as that can be known
	damage      int64 // bytes that are neither frame nor seal
}

// keptFrame is a frame before the start that is not settled all the same.
type keptFrame struct {
	at    int64
	frame uint32
	tally tally
}

// The reasons to put a file aside.
var (
	errFuture  = errors.New("it was written by a later version; put it back when that runs again")
	errForeign = errors.New("there is no frame in it")
)

// survey finds out what the file of w holds, and how far it is settled according to m, which is
// the zero mark when nothing is known. Its error says why the file is no segment.
func survey(w *walk, m mark) (summary, error) {
	head := make([]byte, 4<<10)
	if n, err := w.f.ReadAt(head, 0); err == nil || errors.Is(err, io.EOF) {
		if fromTheFuture(head[:min(int64(n), w.end)]) {
			return summary{}, errFuture
		}
	}
	kept, whole := w.kept(m)
	if !whole { // from the first of them on, then
		m.offset = m.kept[0]
	}
	sv, err := surveyFrom(w, m)
	if sv.id == m.id && sv.start == min(m.offset, sv.end) {
		sv.kept = kept
	}
	return sv, err
}

// kept finds the frames that m says are kept. It returns false, and none, if one is not there.
func (w *walk) kept(m mark) (kept []keptFrame, whole bool) {
	for _, at := range m.kept {
		h, ok := w.at(at, m.id)
		if !ok {
			return nil, false
		}
		kept = append(kept, keptFrame{at, h.frame, tally{1, uint64(h.records), h.length()}})
	}
	return kept, true
}

// surveyFrom is survey for a mark that keeps nothing.
func surveyFrom(w *walk, m mark) (summary, error) {
	if h, ok := readSeal(w); ok {
		sv := summary{id: h.id, end: w.end - headerLen, seal: headerLen, first: h.first, last: h.last,
			total: tally{uint64(h.frame), h.before, w.end - headerLen}}
		w.end, w.id = sv.end, h.id
		sv.wait = sv.total
		if m.id == h.id {
			sv.settle(w, m)
		}
		return sv, nil
	}
	return scan(w, m)
}

// readSeal returns the seal at the end of the file.
func readSeal(w *walk) (header, bool) {
	var b [headerLen]byte
	if w.end < headerLen {
		return header{}, false
	}
	if n, _ := w.f.ReadAt(b[:], w.end-headerLen); n < headerLen {
		return header{}, false
	}
	h, ok := parse(b[:])
	return h, ok && h.kind == sealKind
}

// settle takes off what m says to be settled, if a frame begins there. It tells whether it did.
func (sv *summary) settle(w *walk, m mark) bool {
	if m.offset >= sv.end {
		sv.start, sv.wait = sv.end, tally{}
		return true
	}
	h, at, err := w.next(m.offset)
	if err != nil || at != m.offset || uint64(h.frame) > sv.total.frames ||
		h.before > sv.total.records {
		return false
	}
	sv.start = m.offset
	sv.wait.sub(tally{uint64(h.frame), h.before, m.offset})
	return true
}

// scan walks through a segment without a seal, from what m says to be settled on.
func scan(w *walk, m mark) (summary, error) {
	var sv summary
	if h, at, err := w.next(m.offset); m.id != 0 && err == nil && at == m.offset && h.id == m.id {
		sv.start, sv.end, sv.first = at, at, h.first
		sv.total = tally{uint64(h.frame), h.before, at}
	} else {
		w.id = 0
	}
	for {
		h, at, err := w.next(sv.end)
		if err != nil {
			break // io.EOF: w is patient
		}
		if gap := at - sv.end; gap > 0 {
			sv.damage += gap
			sv.miss(h)
		}
		if h.kind == sealKind { // with something behind it that is nobody's
			sv.seal = headerLen
			break
		}
		one := tally{1, uint64(h.records), h.length()}
		if uint64(h.frame) < sv.total.frames { // a copy of one before
			sv.damage += one.bytes
			sv.end = at + one.bytes
			continue
		}
		if sv.first == 0 {
			sv.first = h.first
		}
		sv.wait.add(one)
		sv.total = tally{uint64(h.frame) + 1, h.before + uint64(h.records), at + one.bytes}
		sv.end, sv.last = at+one.bytes, h.last
	}
	if tail := w.end - sv.end - sv.seal; tail > 0 {
		sv.damage += tail
		h, ok := w.torn(sv.end)
		sv.missing.add(tally{frames: 1, records: uint64(h.records)})
		if ok {
			w.id = h.id // ours, even if its only frame is cut off
		}
	}
	sv.id = w.id
	if sv.wait.frames == 0 && sv.id == 0 {
		return sv, errForeign
	}
	if m.id == sv.id && m.offset >= sv.end {
		sv.start, sv.wait = sv.end, tally{}
	}
	return sv, nil
}

// miss counts what lay between the last frame and h: exactly, for every header tells how much
// the segment has before it.
func (sv *summary) miss(h header) {
	gap := tally{frames: 1}
	if f := uint64(h.frame); f > sv.total.frames {
		gap.frames = f - sv.total.frames
	}
	if h.before > sv.total.records {
		gap.records = h.before - sv.total.records
	}
	sv.missing.add(gap)
}

// quarantine moves a file that is no segment out of the way, and keeps the bound of quarantine.
func (s *Spool) quarantine(name string, size int64, why string) {
	s.mu.Lock()
	s.stats.Corrupt.Bytes += uint64(size)
	s.mu.Unlock()
	to := quarantineName + "/" + name
	err := s.dir.Mkdir(quarantineName)
	if err == nil || errors.Is(err, fs.ErrExist) {
		taken := map[string]bool{}
		entries, _ := s.dir.List(quarantineName)
		for _, e := range entries {
			taken[quarantineName+"/"+e.Name()] = true
		}
		for i := 1; taken[to]; i++ {
			to = fmt.Sprintf("%s/%s.%d", quarantineName, name, i)
		}
		err = s.dir.Rename(name, to)
	}
	if err != nil {
		s.log.Error("spool: a file that is no segment cannot be put aside; it is left alone",
			"name", name, "why", why, "error", err)
		return
	}
	s.log.Warn("spool: a file that is no segment is put aside", "name", to, "bytes", size, "why", why)
	s.boundQuarantine()
}

func (s *Spool) boundQuarantine() {
	entries, err := s.dir.List(quarantineName)
	if err != nil {
		return
	}
	var files []fs.FileInfo
	total := int64(0)
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			files = append(files, info)
			total += info.Size()
		}
	}
	for len(files) > maxQuarantined || total > s.cfg.MaxBytes/quarantinePart && len(files) > 0 {
		oldest := files[0]
		files = files[1:]
		total -= oldest.Size()
		err := s.dir.Remove(quarantineName + "/" + oldest.Name())
		s.log.Warn("spool: quarantine is full; its oldest file is deleted", "name", oldest.Name(),
			"bytes", oldest.Size(), "error", err)
	}
}
