// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

// value is a typed place in a Config that is written to and read from as words: one for a
// scalar, any number for a list.
type value interface {
	// set replaces the value. Its error says which word is not what was expected.
	set(words []string) error
	words() []string
	// split returns the words of one flag argument.
	split(arg string) []string
	syntax() syntax
}

// syntax is what words of one type look like.
type syntax struct {
	name   string // of the type, in --help
	want   string // what an error says is expected of each word
	list   bool
	hidden bool   // nothing that prints a word may be told it
	tags   string // the YAML tags that a word may have (yaml.org/spec/1.2.2, section 10)
}

// scalar is a value of one word.
type scalar[T any] struct {
	syn    syntax
	place  *T
	parse  func(string) (T, error)
	format func(T) string
}

func (s scalar[T]) set(words []string) error {
	if len(words) != 1 {
		return errors.New("want one value, " + s.syn.want)
	}
	v, err := s.parse(words[0])
	if err != nil {
		return unwanted(words[0], s.syn)
	}
	*s.place = v
	return nil
}

func (s scalar[T]) words() []string           { return []string{s.format(*s.place)} }
func (s scalar[T]) split(arg string) []string { return []string{arg} }
func (s scalar[T]) syntax() syntax            { return s.syn }

// list is a value of any number of words.
type list[T any] struct {
	syn    syntax
	place  *[]T
	parse  func(string) (T, error)
	format func(T) string
	comma  bool // a flag argument may hold more than one
}

func (l list[T]) set(words []string) error {
	var values []T // nil for none, as in Default
	for _, word := range words {
		v, err := l.parse(word)
		if err != nil {
			return unwanted(word, l.syn)
		}
		values = append(values, v)
	}
	*l.place = values
	return nil
}

func (l list[T]) words() []string {
	words := make([]string, len(*l.place))
	for i, v := range *l.place {
		words[i] = l.format(v)
	}
	return words
}

func (l list[T]) split(arg string) []string {
	if l.comma {
		return commas(arg)
	}
	return []string{arg}
}

func (l list[T]) syntax() syntax { return l.syn }

// commas returns the words of a list that is written with commas.
func commas(s string) []string {
	words := strings.Split(s, ",")
	for i, word := range words {
		words[i] = strings.TrimSpace(word)
	}
	return words
}

func unwanted(word string, syn syntax) error {
	return errors.New(strconv.Quote(word) + " is not " + syn.want)
}

func same(s string) string             { return s }
func anyText(s string) (string, error) { return s, nil }

func text(p *string) value { return oneOf(p, anyText) }

// oneOf is a text of which parse knows the right spelling.
func oneOf(p *string, parse func(string) (string, error)) value {
	return scalar[string]{place: p, parse: parse, format: same,
		syn: syntax{name: "string", want: "text", tags: "!!str"}}
}

// texts is a list whose flag is given once for each word: a file's name may hold a comma.
func texts(p *[]string) value {
	return list[string]{place: p, parse: anyText, format: same,
		syn: syntax{name: "string", want: "text", list: true, tags: "!!str"}}
}

func commaTexts(p *[]string) value {
	return list[string]{place: p, parse: anyText, format: same, comma: true,
		syn: syntax{name: "list", want: "text", list: true, tags: "!!str"}}
}

func ports(p *[]uint16) value {
	return list[uint16]{place: p, comma: true,
		syn: syntax{name: "list", want: "a port from 1 to 65535", list: true, tags: "!!int"},
		parse: func(s string) (uint16, error) {
			n, err := strconv.ParseUint(s, 10, 16)
			if n == 0 && err == nil {
				err = strconv.ErrRange
			}
			return uint16(n), err
		},
		format: func(n uint16) string { return strconv.Itoa(int(n)) }}
}

func number(p *int) value {
	return scalar[int]{place: p, parse: strconv.Atoi, format: strconv.Itoa,
		syn: syntax{name: "number", want: "a whole number", tags: "!!int"}}
}

func yesno(p *bool) value {
	return scalar[bool]{place: p, parse: strconv.ParseBool, format: strconv.FormatBool,
		syn: syntax{name: "bool", want: "true or false", tags: "!!bool"}}
}

func size(p *Size) value {
	return scalar[Size]{place: p, parse: ParseSize, format: Size.String,
		syn: syntax{name: "size", want: "a size such as 900kB or 96MiB", tags: "!!str !!int"}}
}

func duration(p *time.Duration) value {
	return scalar[time.Duration]{place: p, parse: time.ParseDuration, format: formatDuration,
		syn: syntax{name: "duration", want: "a duration such as 100ms, 10s or 24h",
			tags: "!!str !!int"}}
}

func secret(p *Secret) value {
	return scalar[Secret]{place: p, format: Secret.String,
		parse: func(s string) (Secret, error) { return NewSecret(s), nil },
		syn:   syntax{name: "secret", want: "text in quotes", hidden: true, tags: "!!str"}}
}

// formatDuration returns d as time.Duration does, without the zeros at the end of 24h0m0s.
func formatDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
