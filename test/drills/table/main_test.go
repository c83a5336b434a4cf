// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"
)

func TestTheNewestResultCountsAndWhatIsMissingIsListed(t *testing.T) {
	var out strings.Builder
	err := write(&out, strings.NewReader(`{"drill":4,"what":"a|b","broker":"fake","in":10,"lost":1}
{"drill":4,"what":"a|b","broker":"fake","in":20,"lost":2,"dropped":2,"detect":1500000000,"heal":20000000}
{"drill":3,"what":"c","broker":"fake","in":5,"detect":1}
`))
	if err != nil {
		t.Fatal(err)
	}
	got := out.String()
	for _, want := range []string{
		"| 3 | c | fake | 5 | 0 | 0 | 0 | - | < 10 ms | - |\n| 4 | a\\|b | fake | 20 | 2 | 2 | 0 | - | 1.5 s | 20 ms |\n",
		"- 36, the schema registry is away: there is none in this product yet",
		"- 2, leaders move, again and again: it did not run here, or failed",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in %s", want, got)
		}
	}
	if strings.Contains(got, "- 3,") {
		t.Error("a drill with a result is listed as one without")
	}
}

func TestALineThatIsNoResultIsAnError(t *testing.T) {
	for _, line := range []string{"x", `{"drill":41}`, `{"drill":0}`} {
		if err := write(&strings.Builder{}, strings.NewReader(line)); err == nil {
			t.Errorf("%s: no error", line)
		}
	}
}
