// SPDX-License-Identifier: Apache-2.0

package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// file reads the YAML file, and tells whether it could: else nothing is known of what it says. It
// walks the nodes itself, for these know their lines and a decoder into structs stops at the first
// mistake.
func (l *loader) file(path string, readFile func(string) ([]byte, error)) bool {
	data, err := readFile(path)
	if err != nil {
		l.mistake("", "", "read the configuration file: %v", err)
		return false
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var document, second yaml.Node
	switch err := decoder.Decode(&document); {
	case errors.Is(err, io.EOF):
		return true // nothing but comments
	case err != nil:
		at, what := syntaxError(path, err)
		l.mistake(at, "", "%s", what)
		return false
	}
	if err := decoder.Decode(&second); !errors.Is(err, io.EOF) {
		l.mistake(path, "", "more than one YAML document; one is enough")
		return false
	}
	f := fileReader{loader: l, path: path, first: map[string]int{}}
	if root := f.resolve(document.Content[0]); !isNull(root) {
		f.mapping("", root)
	}
	return true
}

// fileReader walks one file.
type fileReader struct {
	*loader
	path  string
	first map[string]int // the line of each key, which may stand in its section or with a dot
}

func (f fileReader) at(n *yaml.Node) string { return f.path + ":" + strconv.Itoa(n.Line) }

// resolve returns the node that an alias stands for. It need not fear a loop: our keys are
// two deep.
func (f fileReader) resolve(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// mapping reads the keys of a section, or of the whole file when that is empty.
func (f fileReader) mapping(section string, n *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		f.mistake(f.at(n), section, "want keys and their values, not %s", describe(n))
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, v := n.Content[i], f.resolve(n.Content[i+1])
		key := strings.TrimPrefix(section+"."+name.Value, ".")
		if line, ok := f.first[key]; ok {
			f.mistake(f.at(name), key, "is given twice, first in line %d", line)
			continue
		}
		f.first[key] = name.Line
		o, isOption := f.option(key)
		_, isSection := sections[key]
		switch {
		case isOption:
			f.value(o, name, v)
		case isSection && section == "":
			if !isNull(v) { // all of its keys are comments
				f.mapping(key, v)
			}
		default:
			f.unknown(section, key, name)
		}
	}
}

func (l *loader) option(key string) (option, bool) {
	for _, o := range l.options {
		if o.key == key {
			return o, true
		}
	}
	return option{}, false
}

func (f fileReader) unknown(section, key string, name *yaml.Node) {
	hint := ""
	if meant := f.nearest(section, name.Value); meant != "" {
		hint = "; did you mean " + meant + "?"
	}
	f.mistake(f.at(name), key, "is not known%s", hint)
}

// value reads one value, whose types must be what its option wants: text that looks like a
// number or a truth is refused, since YAML and its writer may not mean the same by it.
func (f fileReader) value(o option, name, v *yaml.Node) {
	syn := o.value.syntax()
	items := []*yaml.Node{v}
	if syn.list {
		if v.Kind != yaml.SequenceNode {
			f.refuse(o, name, "want a list such as ["+example(o)+"], not "+describe(v))
			return
		}
		items = v.Content
	}
	words := make([]string, len(items))
	for i, item := range items {
		item = f.resolve(item)
		if item.Kind != yaml.ScalarNode || !strings.Contains(syn.tags, item.ShortTag()) {
			if syn.hidden {
				f.refuse(o, items[i], "want "+syn.want+"; what stands there is not printed")
				return
			}
			hint := ""
			if syn.tags == "!!str" && item.Kind == yaml.ScalarNode && !isNull(item) {
				hint = "; put it in quotes: " + strconv.Quote(item.Value)
			}
			f.refuse(o, items[i], "want "+syn.want+", not "+describe(item)+hint)
			return
		}
		words[i] = item.Value
	}
	f.assign(o, words, f.at(name))
}

// refuse adds a mistake about the value of o.
func (f fileReader) refuse(o option, n *yaml.Node, what string) {
	f.mistake(f.at(n), o.key, "%s", what)
}

// example returns items that a list may have.
func example(o option) string {
	if words := o.value.words(); len(words) > 0 {
		return strings.Join(words, ", ")
	}
	if o.key == "deliver.brokers" {
		return "k1:9092, k2:9092"
	}
	return "a, b"
}

// describe says what a node is, to someone who wanted something else.
func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "keys and values"
	case yaml.SequenceNode:
		return "a list"
	case yaml.ScalarNode:
		if isNull(n) {
			return "nothing"
		}
		kind := map[string]string{"!!str": "the text", "!!int": "the number",
			"!!float": "the number", "!!bool": "the truth value", "!!timestamp": "the time",
		}[n.ShortTag()]
		return strings.TrimSpace(fmt.Sprintf("%s %q", kind, n.Value))
	}
	return "an alias"
}

// syntaxError returns where the YAML library stopped, in the form of all other mistakes, and what
// it says. It names every line but the first.
func syntaxError(path string, err error) (at, what string) {
	what = strings.TrimPrefix(err.Error(), "yaml: ")
	line := 1
	if rest, ok := strings.CutPrefix(what, "line "); ok {
		if number, said, ok := strings.Cut(rest, ": "); ok {
			if n, err := strconv.Atoi(number); err == nil {
				line, what = n, said
			}
		}
	}
	return fmt.Sprintf("%s:%d", path, line), what
}
