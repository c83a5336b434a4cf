// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/dnsluice/dnsluice/internal/ops/config"
	"github.com/dnsluice/dnsluice/internal/sensor"
)

func readCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "read FILE...",
		Short: "Decode capture files and print records, one JSON object a line",
		Long: "Decode capture files (pcap and pcapng, plain, gzip or zstd; - is standard input) and print\n" +
			"their records on standard output, one JSON object a line, in the order of the packets.",
		Example: "  dnsluice read capture.pcap\n  tcpdump -w - port 53 | dnsluice read -",
		Args:    usageArgs(cobra.MinimumNArgs(1)),
	}
	config.Bind(c.Flags(), "sensor", "capture.ports", "match.emit")
	c.RunE = func(c *cobra.Command, files []string) error {
		loaded, err := config.Load(c.Flags(), os.Environ(), os.ReadFile)
		if err != nil {
			return err
		}
		_, err = sensor.Print(c.Context(), sensor.Config{
			Sensor: loaded.Config.Sensor,
			Run:    sensor.RunID(time.Now()),
			Files:  files,
			Ports:  loaded.Config.Capture.Ports,
			Match:  matchConfig(loaded.Config.Match),
		}, c.OutOrStdout())
		return err
	}
	return c
}
