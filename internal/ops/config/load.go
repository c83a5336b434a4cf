// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// fileFlag names the file, as does its environment variable. Neither is a key.
const (
	fileFlag = "config"
	fileEnv  = envPrefix + "CONFIG"
)

// flagValue is a flag of Bind. It remembers its arguments, because what they replace is only
// known when Load has read the file and the environment.
type flagValue struct {
	option
	args []string
}

// Set reads one argument, so that a wrong one is a mistake in the use of the command.
func (f *flagValue) Set(arg string) error {
	words := f.value.split(arg)
	if f.value.syntax().list {
		words = append(slices.Clone(f.args), words...)
	}
	if err := f.value.set(words); err != nil {
		return err
	}
	f.args = words
	return nil
}

// String returns the value as text, for --help.
func (f *flagValue) String() string {
	if f.value == nil {
		return "" // pflag asks a zero value
	}
	return strings.Join(f.value.words(), ",")
}

// Type is the name of the type, for --help.
func (f *flagValue) Type() string { return f.value.syntax().name }

// Bind defines the flags of the configuration, and --config, in fs. A command that uses only a
// part names the keys whose flags it has, such as capture.ports; a key that does not exist has
// no flag.
func Bind(fs *pflag.FlagSet, keys ...string) {
	scratch := Default()
	fs.String(fileFlag, "", "YAML file of the configuration.")
	for _, o := range options(&scratch) {
		if o.flag == "" || len(keys) > 0 && !slices.Contains(keys, o.key) {
			continue
		}
		fs.Var(&flagValue{option: o}, o.flag, o.help)
		if o.fallback != "" { // as the manual has it, whatever this host makes of it
			fs.Lookup(o.flag).DefValue = strings.ReplaceAll(o.fallback, "`", "")
		}
		if o.value.syntax().name == "bool" {
			fs.Lookup(o.flag).NoOptDefVal = "true"
		}
	}
}

// Loaded is a configuration that is valid, and where each of its values came from.
type Loaded struct {
	Config

	// Warnings are sentences about what was ignored: environment variables that look like ours
	// and are not. They are no mistakes because Kubernetes sets some for a service of our name.
	Warnings []string

	origins map[string]string // by key; what is not there is a default
}

// FromDefault is the origin of what nobody has said.
const FromDefault = "default"

// Origin returns where the value of a key came from: file:line, the name of an environment
// variable, a flag, or "default".
func (l *Loaded) Origin(key string) string {
	if at, ok := l.origins[key]; ok {
		return at
	}
	return FromDefault
}

// Load returns the defaults, changed by the YAML file that --config or DNSLUICE_CONFIG names,
// then by the environment (as os.Environ gives it), then by the flags of fs, which Bind made and
// which are parsed already; fs may be nil. readFile is ReadFile but in tests.
//
// The result has passed Validate and the checks given, such as Config.Runnable. Otherwise the
// error is Mistakes, all of them, each with its place.
func Load(fs *pflag.FlagSet, environ []string, readFile func(string) ([]byte, error),
	checks ...func(Config) error) (*Loaded, error) {
	l := &loader{out: &Loaded{Config: Default(), origins: map[string]string{}}}
	l.options = options(&l.out.Config)
	env := l.environment(environ)
	checks = append([]func(Config) error{Config.Validate}, checks...)
	if path := filePath(fs, env); path != "" && !l.file(path, readFile) {
		checks = nil // what is missing may stand there
	}
	for _, o := range l.options {
		v := env[o.env()]
		switch {
		case v == "": // as compose files and shells write "not set"
		case o.value.syntax().list:
			l.assign(o, commas(v), o.env())
		default:
			l.assign(o, []string{v}, o.env())
		}
	}
	l.flags(fs)
	l.implyTLS()
	l.implyHeartbeat()
	for _, check := range checks {
		l.check(check)
	}
	if err := l.mistakes.orNil(); err != nil {
		return nil, err
	}
	return l.out, nil
}

// implyHeartbeat leaves heartbeats out of a run over files unless they were asked for: it ends, and
// says by its exit status how it went, and its topic has a record for each message and no more.
func (l *loader) implyHeartbeat() {
	if len(l.out.Capture.Read) > 0 && l.out.Origin("deliver.heartbeat") == FromDefault {
		l.out.Deliver.Heartbeat = 0
	}
}

// filePath returns the file to read, or nothing.
func filePath(fs *pflag.FlagSet, env map[string]string) string {
	if fs != nil {
		if f := fs.Lookup(fileFlag); f != nil && f.Changed {
			return f.Value.String()
		}
	}
	return env[fileEnv]
}

// loader is one Load under way.
type loader struct {
	out      *Loaded
	options  []option // pointing into out
	mistakes Mistakes
}

func (l *loader) mistake(at, key, format string, args ...any) {
	l.mistakes = append(l.mistakes, Mistake{At: at, Key: key, What: fmt.Sprintf(format, args...)})
}

// assign gives an option its words, one for each item.
func (l *loader) assign(o option, words []string, at string) {
	if err := o.value.set(words); err != nil {
		l.mistake(at, o.key, "%v", err)
	}
	l.out.origins[o.key] = at
}

// environment returns our variables, and warns of those that only look like ours.
func (l *loader) environment(environ []string) map[string]string {
	env := map[string]string{}
	known := map[string]bool{fileEnv: true}
	for _, o := range l.options {
		known[o.env()] = true
	}
	for _, pair := range environ {
		name, v, _ := strings.Cut(pair, "=")
		switch {
		case known[name]:
			env[name] = v
		case strings.HasPrefix(name, envPrefix):
			hint := ""
			meant := l.nearest("", strings.TrimPrefix(name, envPrefix))
			if o, ok := l.option(meant); ok {
				hint = "; did you mean " + o.env() + "?"
			}
			l.out.Warnings = append(l.out.Warnings,
				"config: "+name+" in the environment is no key and is ignored"+hint)
		}
	}
	return env
}

// flags takes the flags that were given.
func (l *loader) flags(fs *pflag.FlagSet) {
	if fs == nil {
		return
	}
	for _, o := range l.options {
		f := fs.Lookup(o.flag)
		if f == nil || !f.Changed {
			continue
		}
		// A command may have a flag of this name that is not ours.
		if v, ok := f.Value.(*flagValue); ok {
			l.assign(o, v.args, "--"+o.flag)
		}
	}
}

// check adds the mistakes that check finds, each with the place its value came from. A key that
// has a mistake already has one: its value is not what the user said.
func (l *loader) check(check func(Config) error) {
	had := map[string]bool{}
	for _, m := range l.mistakes {
		had[m.Key] = m.Key != ""
	}
	for _, m := range mistakes(check(l.out.Config)) {
		if had[m.Key] {
			continue
		}
		m.At = l.out.origins[m.Key]
		l.mistakes = append(l.mistakes, m)
	}
}

// maxFile is the most that a configuration file may have: many times what one with all keys and a
// comment for each has.
const maxFile = 1 << 20

// ReadFile is os.ReadFile for configuration files. It does not read on and on what is none, such as
// a device or a capture.
func ReadFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("%s has more than %d bytes, which is no configuration; is it the right file?",
			name, maxFile)
	}
	return data, err
}
