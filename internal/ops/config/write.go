// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// preface begins the file that WriteYAML writes.
const preface = "Configuration of dnsluice. A key can be given as an environment variable as " +
	"well: deliver.brokers is " + envPrefix + "DELIVER_BROKERS. That overrides the file, and the " +
	"flag beside a key overrides both. Behind each value stands where it came from."

// WriteYAML writes the configuration as a file that Load reads back, with what each key means
// and where its value came from. Secrets are not in it. It returns w's error.
func (l *Loaded) WriteYAML(w io.Writer) error {
	root := &yaml.Node{Kind: yaml.MappingNode, HeadComment: wrap(preface, 90) + "\n\n"}
	groups := map[string]*yaml.Node{"": root}
	c := l.Config
	for _, o := range options(&c) {
		section, name := split(o.key)
		group, ok := groups[section]
		if !ok {
			group = &yaml.Node{Kind: yaml.MappingNode}
			groups[section] = group
			head := &yaml.Node{Kind: yaml.ScalarNode, Value: section,
				HeadComment: "\n" + sections[section]}
			root.Content = append(root.Content, head, group)
		}
		key := &yaml.Node{Kind: yaml.ScalarNode, Value: name,
			HeadComment: wrap(o.help+o.beside(), 90)}
		v := o.node()
		v.LineComment = l.Origin(o.key)
		group.Content = append(group.Content, key, v)
	}
	encoder := yaml.NewEncoder(w)
	encoder.SetIndent(2)
	if err := encoder.Encode(root); err != nil {
		return fmt.Errorf("config: write YAML: %w", err)
	}
	return encoder.Close()
}

// beside returns the option's flag, to stand behind its meaning.
func (o option) beside() string {
	if o.flag == "" {
		return ""
	}
	return " (--" + o.flag + ")"
}

// node returns the option's value for the file.
func (o option) node() *yaml.Node {
	syn := o.value.syntax()
	tag, _, _ := strings.Cut(syn.tags, " ")
	var items []*yaml.Node
	for _, word := range o.value.words() {
		if syn.hidden {
			word = ""
		}
		items = append(items, &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: word})
	}
	if !syn.list {
		return items[0]
	}
	return &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle, Content: items}
}

// wrap breaks text into lines of at most width bytes, unless a word is longer.
func wrap(text string, width int) string {
	var b strings.Builder
	length := 0
	for word := range strings.FieldsSeq(text) {
		switch {
		case length == 0:
		case length+1+len(word) > width:
			b.WriteByte('\n')
			length = 0
		default:
			b.WriteByte(' ')
			length++
		}
		b.WriteString(word)
		length += len(word)
	}
	return b.String()
}

// manual is the page that WriteMarkdown writes, before its tables.
const manual = `# Configuration

<!-- Generated from internal/ops/config; a change here is lost. -->

Every value has a default. A YAML file (` + "`--config FILE` or `" + fileEnv + "`" + `) overrides
it, an environment variable overrides the file, and a flag overrides both.

- **File**: the keys below, a dot being one level down. A key that is not known is an error.
- **Environment**: ` + "`" + envPrefix + "`" + ` and the key in capitals with an underscore for
  each dot, so ` + "`deliver.brokers` is `" + envPrefix + "DELIVER_BROKERS`" + `. Lists are split at
  commas. An empty variable counts as not set.
- **Sizes** are bytes, with a unit (` + "`kB`, `MB`, `GB`, `KiB`, `MiB`, `GiB`" + `) or without.
- **Durations** are numbers with units: ` + "`100ms`, `10s`, `1h30m`" + `.

` + "`dnsluice config`" + ` prints the configuration in force, and where each value came from.
`

// WriteMarkdown writes the manual's page of the configuration. It returns w's error.
func WriteMarkdown(w io.Writer) error {
	var b strings.Builder
	b.WriteString(manual)
	c := Default()
	last := "none"
	for _, o := range options(&c) {
		section, _ := split(o.key)
		if section != last {
			last = section
			title, about := "General", ""
			if section != "" {
				title, about = "`"+section+"`", sections[section]+"\n\n"
			}
			fmt.Fprintf(&b, "\n## %s\n\n%s| key | flag | default | meaning |\n|---|---|---|---|\n",
				title, about)
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", o.key, code(o.flagName()), o.byDefault(), o.help)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (o option) flagName() string {
	if o.flag == "" {
		return ""
	}
	return "--" + o.flag
}

func (o option) byDefault() string {
	if o.fallback != "" {
		return o.fallback
	}
	return code(strings.Join(slices.DeleteFunc(o.value.words(),
		func(word string) bool { return word == "" }), ", "))
}

// code returns text as code, and nothing as a dash.
func code(text string) string {
	if text == "" {
		return "-"
	}
	return "`" + text + "`"
}
