// SPDX-License-Identifier: Apache-2.0

package afpacket

import (
	"fmt"

	"golang.org/x/net/bpf"
)

// label is a place in a program.
type label int

// program is a BPF program under construction: jumps name a label and are resolved at the end,
// so that no distance is counted by hand.
type program struct {
	code   []bpf.Instruction
	target []label // of code[i], -1 when it does not jump
	place  []int   // of each label
}

func (p *program) add(ins ...bpf.Instruction) {
	for _, i := range ins {
		p.code = append(p.code, i)
		p.target = append(p.target, -1)
	}
}

// label returns a new one, to be marked later.
func (p *program) label() label {
	p.place = append(p.place, 0)
	return label(len(p.place) - 1)
}

func (p *program) mark(l label) { p.place[l] = len(p.code) }

func (p *program) jump(to label) {
	p.code = append(p.code, bpf.Jump{})
	p.target = append(p.target, to)
}

func (p *program) jumpIf(cond bpf.JumpTest, val uint32, to label) {
	p.code = append(p.code, bpf.JumpIf{Cond: cond, Val: val})
	p.target = append(p.target, to)
}

func (p *program) jumpIfAny(vals []uint32, to label) {
	for _, val := range vals {
		p.jumpIf(bpf.JumpEqual, val, to)
	}
}

// farIf is jumpIf to any distance, for one instruction more.
func (p *program) farIf(cond bpf.JumpTest, val uint32, to label) {
	p.add(bpf.JumpIf{Cond: cond, Val: val, SkipFalse: 1})
	p.jump(to)
}

// resolve returns the finished program. BPF jumps forward only, and a conditional jump spans at
// most 255 instructions: maxPorts keeps within that.
func (p *program) resolve() ([]bpf.Instruction, error) {
	for i, to := range p.target {
		if to < 0 {
			continue
		}
		skip := p.place[to] - i - 1
		if skip < 0 {
			return nil, fmt.Errorf("afpacket: program: instruction %d jumps back", i)
		}
		switch ins := p.code[i].(type) {
		case bpf.Jump:
			ins.Skip = uint32(skip)
			p.code[i] = ins
		case bpf.JumpIf:
			if skip > 255 {
				return nil, fmt.Errorf("afpacket: filter: jump over %d instructions: "+
					"name fewer ports", skip)
			}
			ins.SkipTrue = uint8(skip)
			p.code[i] = ins
		}
	}
	return p.code, nil
}
