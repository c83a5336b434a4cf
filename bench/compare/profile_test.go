// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestOptionsOfAProfileThatMakeNoSenseAreRefused(t *testing.T) {
	for args, want := range map[string]string{
		"-o x":                    "-dnsluice must be given",
		"-dnsluice x":             "-o must be given",
		"-dnsluice x -o x -for 0": "-for",
	} {
		if _, err := parseProfile(strings.Fields(args)); err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", args, err, want)
		}
	}
}

func TestAProfileThatIsRefusedIsNoProfile(t *testing.T) {
	status := http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte("profile"))
	}))
	defer server.Close()
	name := filepath.Join(t.TempDir(), "x.pprof")
	if err := fetch(t.Context(), server.URL, name); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(name); err != nil || string(got) != "profile" {
		t.Errorf("%q, %v", got, err)
	}
	status = http.StatusNotFound
	if err := fetch(t.Context(), server.URL, name); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("error %v", err)
	}
}
