// SPDX-License-Identifier: Apache-2.0

package check

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLimitsOfControlGroups(t *testing.T) {
	files := map[string]string{
		"/sys/fs/cgroup/a/b/memory.max":                  "max\n",
		"/sys/fs/cgroup/a/memory.max":                    "100\n",
		"/sys/fs/cgroup/memory/x/memory.limit_in_bytes":  "7\n",
		"/sys/fs/cgroup/memory/memory.limit_in_bytes":    "9223372036854771712\n",
		"/sys/fs/cgroup/memory/other/memory.usage_bytes": "1\n",
	}
	read := func(path string) ([]byte, error) {
		if text, ok := files[path]; ok {
			return []byte(text), nil
		}
		return nil, os.ErrNotExist
	}
	for _, c := range []struct {
		name, groups string
		want         []Limit
	}{
		{"version 2: the group above limits", "0::/a/b\n", []Limit{{100, "the control group /a"}}},
		{"version 1", "5:cpu,memory:/x\n3:pids:/a\n",
			[]Limit{{7, "the control group /x"}, {9223372036854771712, "the control group /"}}},
		{"both", "1:memory:/x\n0::/a\n",
			[]Limit{{7, "the control group /x"}, {9223372036854771712, "the control group /"}, {100, "the control group /a"}}},
		{"none", "0::/\n", nil},
		{"nonsense", "what\n::\n", nil},
		{"a path that climbs", "0::/../../etc\n", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, groupLimits(c.groups, read)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheRightToCaptureIsFoundAndMissed(t *testing.T) {
	const inside = "DNSLUICE_TEST_INSIDE"
	if os.Getenv(inside) != "" {
		if err := ThisMachine().MayCapture(); err == nil || !strings.Contains(err.Error(), "does not have CAP_NET_RAW") {
			t.Errorf("without it: %v", err)
		}
		return
	}
	cannot := t.Skip
	if os.Getenv("CI") == "true" {
		cannot = t.Fatal
	}
	if os.Geteuid() != 0 {
		cannot("needs root: sudo make test-root")
	}
	if err := ThisMachine().MayCapture(); err != nil {
		t.Errorf("as root: %v", err)
	}
	if _, err := exec.LookPath("setpriv"); err != nil {
		cannot("needs setpriv: apt-get install util-linux")
	}
	cmd := exec.CommandContext(t.Context(), "setpriv", "--bounding-set=-net_raw", "--inh-caps=-net_raw",
		os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), inside+"=1")
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("%v: %s", err, out)
	}
}
