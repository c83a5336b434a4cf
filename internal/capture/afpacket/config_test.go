// SPDX-License-Identifier: Apache-2.0

package afpacket

import (
	"os"
	"strings"
	"testing"
	"time"
)

func TestConfigValidate(t *testing.T) {
	page := os.Getpagesize()
	tests := []struct {
		name   string
		change func(*Config)
		want   string // part of the error, empty for none
	}{
		{"the default with an interface is valid", func(*Config) {}, ""},
		{"the smallest ring is valid", func(c *Config) { c.BlockSize, c.Blocks = page, 2 }, ""},
		{"an interface is needed", func(c *Config) { c.Interface = "" }, "no interface"},
		{"a name is at most 15 bytes", func(c *Config) { c.Interface = "abcdefghijklmnop" }, "15"},
		{"a name has no slash", func(c *Config) { c.Interface = "a/b" }, `"a/b"`},
		{"a lane is needed", func(c *Config) { c.Lanes = 0 }, "0 lanes"},
		{"lanes fit one fanout group", func(c *Config) { c.Lanes = 257 }, "257 lanes"},
		{"a port is needed", func(c *Config) { c.Ports = nil }, "0 ports"},
		{"ports fit the filter", func(c *Config) { c.Ports = make([]uint16, 101) }, "101 ports"},
		{"port 0 is none", func(c *Config) { c.Ports = []uint16{53, 0} }, "port 0"},
		{"tunnels have names", func(c *Config) { c.Tunnels = []string{"vxlan", "gre"} }, ""},
		{"a tunnel that is not known is named, with those that are", func(c *Config) {
			c.Tunnels = []string{"vxlan", "vxlam"}
		}, `tunnel "vxlam" is not known; known are all, ip, erspan, mpls, pppoe, gre`},
		{"a block is not empty", func(c *Config) { c.BlockSize = 0 }, "block of 0 bytes"},
		{"a block is whole pages", func(c *Config) { c.BlockSize = page + 16 }, "page size"},
		{"one block is no ring", func(c *Config) { c.Blocks = 1 }, "ring of 1 blocks"},
		{"a ring has a bound", func(c *Config) { c.Blocks = 1 << 20 }, "1024 MiB"},
		{"no retire timeout would wait for ever", func(c *Config) { c.RetireTimeout = 0 }, "0s"},
		{"the kernel counts milliseconds", func(c *Config) {
			c.RetireTimeout = 1500 * time.Microsecond
		}, "whole milliseconds"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			cfg := DefaultConfig()
			cfg.Interface = "eth0"
			test.change(&cfg)
			err := cfg.Validate()
			if test.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want an error with %q", err, test.want)
			}
			if _, err := NewGroup(cfg); err == nil {
				t.Error("NewGroup took it")
			}
		})
	}
}
