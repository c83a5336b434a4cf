// SPDX-License-Identifier: Apache-2.0

package config

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

func TestThePageOfDecodingHasTheBounds(t *testing.T) {
	page, err := os.ReadFile("../../../docs/decoding.md")
	if err != nil {
		t.Fatal(err)
	}
	c := Default()
	for _, o := range options(&c) {
		if section, _ := split(o.key); section != "decode" && section != "match" {
			continue
		}
		line := regexp.MustCompile("(?m)^.*`" + regexp.QuoteMeta(o.key) + "`.*$").Find(page)
		if def := strings.Trim(o.byDefault(), "`"); !strings.Contains(string(line), def) {
			t.Errorf("docs/decoding.md does not have %s, which is %s, on one line", o.key, def)
		}
	}
}
