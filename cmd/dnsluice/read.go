// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/dnsluice/dnsluice/internal/ops/config"
	"github.com/dnsluice/dnsluice/internal/sensor"
)

// warn prints the warnings of the configuration.
func warn(c *cobra.Command, loaded *config.Loaded) {
	for _, w := range loaded.Warnings {
		fmt.Fprintln(c.ErrOrStderr(), "warning:", w)
	}
}

func readCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "read FILE...",
		Short: "Decode capture files and print records, one JSON object a line",
		Long: "Decode capture files (pcap and pcapng, plain, gzip, zstd, xz or lz4; - is standard input)\n" +
			"and print their records on standard output, one JSON object a line, in the order of the\n" +
			"packets.",
		Example: "  dnsluice read capture.pcap\n  tcpdump -w - port 53 | dnsluice read -",
		Args:    usageArgs(someArgs("a capture file, or - for standard input")),
	}
	config.Bind(c.Flags(), "sensor", "capture.ports", "capture.tunnels", "match.emit", "encode.format")
	// There is nothing to choose. It stays, so that who asks for another format is told.
	c.Flags().Lookup("format").Hidden = true
	c.RunE = func(c *cobra.Command, files []string) error {
		loaded, err := config.Load(c.Flags(), os.Environ(), config.ReadFile)
		if err != nil {
			return err
		}
		warn(c, loaded)
		if f := loaded.Config.Encode.Format; c.Flags().Changed("format") && f != "json" {
			return usageError{fmt.Errorf("dnsluice read: --format %s: its records are lines of JSON; "+
				"dnsluice run delivers others", f)}
		}
		l, err := sensor.Print(c.Context(), sensor.Config{
			Sensor:  loaded.Config.Sensor,
			Run:     sensor.RunID(time.Now()),
			Files:   files,
			Ports:   loaded.Config.Capture.Ports,
			Tunnels: loaded.Config.Capture.Tunnels,
			TCP:     tcpConfig(loaded.Config.Decode),
			Defrag:  defragConfig(loaded.Config.Decode),
			Match:   matchConfig(loaded.Config.Match),
		}, c.OutOrStdout())
		if l.Packets > 0 && l.Messages == 0 {
			// Silence would be taken for a capture without DNS.
			fmt.Fprintf(c.ErrOrStderr(), "no DNS message in %d packets:\n", l.Packets)
			return errors.Join(err, l.WriteText(c.ErrOrStderr()))
		}
		return err
	}
	return c
}
