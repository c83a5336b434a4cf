// SPDX-License-Identifier: Apache-2.0

// Package layout holds the rules of the tree as tests. They parse the sources themselves: a test
// that asks the go command is served from the test cache and passes with a violation in place.
package layout

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/dnsluice/dnsluice/"

// The rooms of the house, by the folder below internal.
var (
	nouns = []string{"packet", "dnsmsg", "record"}
	verbs = []string{"capture", "decode", "match", "filter", "enrich", "encode", "deliver"}
)

// file is one Go file as the rules see it.
type file struct {
	folder  string // below the root, with slashes
	name    string
	imports []string
	calls   []string // of functions of packages, as "os.Exit", and "panic"
	inits   bool
	lines   int
	header  bool // begins with the licence
}

// test tells whether the file serves tests alone: also one of a package such as encodetest, which
// the tests of several packages share.
func (f file) test() bool {
	return strings.HasSuffix(f.name, "_test.go") || strings.HasSuffix(f.folder, "test")
}

// rule returns what is wrong with a file, or "".
type rule func(file) string

var rules = map[string]rule{
	"a noun imports nothing of the project": func(f file) string {
		if in(f.folder, nouns) == "" || f.test() {
			return ""
		}
		return firstImport(f, func(p string) bool { return strings.HasPrefix(p, module+"internal/") })
	},
	"a verb imports nouns and its own folder, never another verb": func(f file) string {
		own := in(f.folder, verbs)
		if own == "" || f.test() {
			return ""
		}
		return firstImport(f, func(p string) bool {
			rest, internal := strings.CutPrefix(p, module+"internal/")
			return internal && in("internal/"+rest, nouns) == "" && in("internal/"+rest, verbs) != own
		})
	},
	"ops knows nothing of the path": func(f file) string {
		if !below(f.folder, "internal/ops") {
			return ""
		}
		return firstImport(f, func(p string) bool {
			return strings.HasPrefix(p, module) && !strings.HasPrefix(p, module+"internal/ops/")
		})
	},
	"the sensor imports stages and the ledger, and nothing else of ops": func(f file) string {
		if !below(f.folder, "internal/sensor") || f.test() {
			return ""
		}
		return firstImport(f, func(p string) bool {
			return strings.HasPrefix(p, module+"internal/ops/") && p != module+"internal/ops/ledger"
		})
	},
	"a Kafka client is known to deliver/kafka alone": func(f file) string {
		if below(f.folder, "internal/deliver/kafka") || f.test() || below(f.folder, "test/kafka") ||
			below(f.folder, "bench") {
			return ""
		}
		return firstImport(f, prefix("github.com/twmb/franz-go"))
	},
	"Prometheus is known to ops/metrics alone": func(f file) string {
		if below(f.folder, "internal/ops/metrics") {
			return ""
		}
		return firstImport(f, prefix("github.com/prometheus"))
	},
	"what serves tests is imported by tests alone": func(f file) string {
		if f.test() || below(f.folder, "test") {
			return ""
		}
		return firstImport(f, func(p string) bool {
			own, ok := strings.CutPrefix(p, module)
			return ok && (below(own, "test") || strings.HasSuffix(own, "test") ||
				own == "internal/deliver/kafka/faultproxy")
		})
	},
	"another DNS library serves in tests alone": func(f file) string {
		if f.test() {
			return ""
		}
		return firstImport(f, prefix("github.com/miekg/dns"))
	},
	"only main ends the process": func(f file) string {
		if below(f.folder, "cmd") || below(f.folder, "bench") || f.folder == "schema/generate" ||
			f.folder == "test/drills/table" || f.test() {
			return ""
		}
		return firstCall(f, "panic", "os.Exit", "log.Fatal", "log.Fatalf", "log.Fatalln", "log.Panic")
	},
	"nothing happens in init": func(f file) string {
		if f.inits {
			return "has an init function"
		}
		return ""
	},
	"no file has more than 600 lines": func(f file) string {
		if f.lines > 600 && !f.test() {
			return fmt.Sprintf("has %d lines", f.lines)
		}
		return ""
	},
	"every file begins with its licence": func(f file) string {
		if !f.header {
			return "does not begin with // SPDX-License-Identifier: Apache-2.0"
		}
		return ""
	},
	"no room is called util": func(f file) string {
		switch base := path.Base(f.folder); base {
		case "util", "utils", "helpers", "common", "misc":
			return "is in a folder named " + base
		}
		return ""
	},
}

// in returns which of the rooms the folder belongs to, or "".
func in(folder string, rooms []string) string {
	for _, r := range rooms {
		if below(folder, "internal/"+r) {
			return r
		}
	}
	return ""
}

func below(folder, root string) bool { return folder == root || strings.HasPrefix(folder, root+"/") }

func prefix(p string) func(string) bool {
	return func(s string) bool { return strings.HasPrefix(s, p) }
}

func firstImport(f file, bad func(string) bool) string {
	for _, p := range f.imports {
		if bad(p) {
			return "imports " + p
		}
	}
	return ""
}

func firstCall(f file, names ...string) string {
	for _, c := range f.calls {
		for _, n := range names {
			if c == n {
				return "calls " + n
			}
		}
	}
	return ""
}

// parse reads one source.
func parse(folder, name string, src []byte) (file, error) {
	tree, err := parser.ParseFile(token.NewFileSet(), name, src, parser.ParseComments)
	if err != nil {
		return file{}, err
	}
	f := file{folder: folder, name: name, lines: strings.Count(string(src), "\n"),
		header: strings.HasPrefix(string(src), "// SPDX-License-Identifier: Apache-2.0\n")}
	for _, i := range tree.Imports {
		p, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			return file{}, err
		}
		f.imports = append(f.imports, p)
	}
	ast.Inspect(tree, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			f.inits = f.inits || n.Recv == nil && n.Name.Name == "init"
		case *ast.CallExpr:
			switch fn := n.Fun.(type) {
			case *ast.Ident:
				f.calls = append(f.calls, fn.Name)
			case *ast.SelectorExpr:
				if pkg, ok := fn.X.(*ast.Ident); ok {
					f.calls = append(f.calls, pkg.Name+"."+fn.Sel.Name)
				}
			}
		}
		return true
	})
	return f, nil
}

func TestTheTreeKeepsItsRules(t *testing.T) {
	const root = "../.."
	files := 0
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && strings.HasPrefix(d.Name(), ".") && p != root {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(p, ".go") {
			return nil
		}
		src, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		f, err := parse(filepath.ToSlash(filepath.Dir(rel)), d.Name(), src)
		if err != nil {
			return err
		}
		files++
		for name, broken := range rules {
			if what := broken(f); what != "" {
				t.Errorf("%s: %s: it %s", rel, name, what)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 50 {
		t.Errorf("only %d files were looked at", files)
	}
}

func TestPlantedViolationsAreCaught(t *testing.T) {
	imports := func(p string) string { return "package x\n\nimport _ \"" + p + "\"\n" }
	for _, c := range []struct{ rule, folder, name, src string }{
		{"a noun imports nothing of the project", "internal/packet", "x.go", imports(module + "internal/dnsmsg")},
		{"a verb imports nouns and its own folder, never another verb", "internal/decode/wire", "x.go", imports(module + "internal/capture")},
		{"a verb imports nouns and its own folder, never another verb", "internal/deliver", "x.go", imports(module + "internal/ops/ledger")},
		{"a verb imports nouns and its own folder, never another verb", "internal/encode/json", "x.go", imports(module + "internal/sensor")},
		{"ops knows nothing of the path", "internal/ops/httpd", "x.go", imports(module + "internal/sensor")},
		{"ops knows nothing of the path", "internal/ops/metrics", "x_test.go", imports(module + "internal/deliver")},
		{"the sensor imports stages and the ledger, and nothing else of ops", "internal/sensor", "x.go", imports(module + "internal/ops/httpd")},
		{"a Kafka client is known to deliver/kafka alone", "internal/deliver", "x.go", imports("github.com/twmb/franz-go/pkg/kgo")},
		{"Prometheus is known to ops/metrics alone", "internal/sensor", "x.go", imports("github.com/prometheus/client_golang/prometheus")},
		{"what serves tests is imported by tests alone", "internal/deliver/kafka", "x.go", imports(module + "internal/deliver/kafka/faultproxy")},
		{"what serves tests is imported by tests alone", "internal/encode/json", "x.go", imports(module + "internal/encode/encodetest")},
		{"what serves tests is imported by tests alone", "internal/capture/afpacket", "x.go", imports(module + "test/netns")},
		{"another DNS library serves in tests alone", "internal/dnsmsg", "x.go", imports("github.com/miekg/dns")},
		{"only main ends the process", "internal/deliver", "x.go", "package x\n\nfunc f() { panic(1) }\n"},
		{"only main ends the process", "internal/sensor", "x.go", "package x\n\nimport \"os\"\n\nfunc f() { os.Exit(1) }\n"},
		{"nothing happens in init", "internal/record", "x.go", "package x\n\nfunc init() {}\n"},
		{"no file has more than 600 lines", "internal/record", "x.go", "package x\n" + strings.Repeat("\n", 600)},
		{"every file begins with its licence", "internal/record", "x.go", "package x\n"},
		{"no room is called util", "internal/ops/util", "x.go", "package x\n"},
	} {
		t.Run(c.rule+" in "+c.folder, func(t *testing.T) {
			f, err := parse(c.folder, c.name, []byte(c.src))
			if err != nil {
				t.Fatal(err)
			}
			if rules[c.rule] == nil || rules[c.rule](f) == "" {
				t.Errorf("not caught: %s", c.src)
			}
		})
	}
}

func TestWhatIsAllowedIsNotRefused(t *testing.T) {
	for _, c := range []struct{ folder, name, path string }{
		{"internal/decode", "x.go", module + "internal/decode/wire"},
		{"internal/decode/wire", "x.go", module + "internal/dnsmsg"},
		{"internal/sensor", "x.go", module + "internal/capture/afpacket"},
		{"internal/sensor", "x.go", module + "internal/ops/ledger"},
		{"internal/deliver/kafka", "x.go", "github.com/twmb/franz-go/pkg/kgo"},
		{"internal/dnsmsg", "x_test.go", "github.com/miekg/dns"},
		{"internal/capture/afpacket", "x_test.go", module + "test/netns"},
		{"test/netns", "x.go", module + "test/need"},
		{"cmd/dnsluice", "x.go", module + "internal/sensor"},
	} {
		src := "// SPDX-License-Identifier: Apache-2.0\n\npackage x\n\nimport _ \"" + c.path + "\"\n"
		f, err := parse(c.folder, c.name, []byte(src))
		if err != nil {
			t.Fatal(err)
		}
		for name, broken := range rules {
			if what := broken(f); what != "" {
				t.Errorf("%s/%s: %s: it %s", c.folder, c.name, name, what)
			}
		}
	}
}
