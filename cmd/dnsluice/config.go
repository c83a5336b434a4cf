// SPDX-License-Identifier: Apache-2.0

package main

import (
	"maps"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/dnsluice/dnsluice/internal/ops/config"
	"github.com/dnsluice/dnsluice/schema"
)

func configCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "config",
		Short: "Print the configuration, merged from its sources and commented",
		Long: "Print the configuration as a commented YAML file, merged from the defaults, --config, the\n" +
			"environment (DNSLUICE_...) and flags. With none of them it is the default.",
		Args: usageArgs(cobra.NoArgs),
	}
	config.Bind(c.Flags())
	markdown := c.Flags().Bool("markdown", false, "Print the page of the manual instead.")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if *markdown {
			return config.WriteMarkdown(c.OutOrStdout())
		}
		loaded, err := config.Load(c.Flags(), os.Environ(), os.ReadFile)
		if err != nil {
			return err
		}
		warn(c, loaded)
		return loaded.WriteYAML(c.OutOrStdout())
	}
	return c
}

func schemaCommand() *cobra.Command {
	schemas := map[string][]byte{"json": schema.JSON, "protobuf": schema.Proto}
	return &cobra.Command{
		Use:       "schema [json|protobuf]",
		Short:     "Print the schema of the record: JSON Schema, or Protobuf",
		Example:   "  dnsluice schema protobuf > dns.proto",
		ValidArgs: slices.Sorted(maps.Keys(schemas)),
		Args:      usageArgs(cobra.MatchAll(cobra.MaximumNArgs(1), cobra.OnlyValidArgs)),
		RunE: func(c *cobra.Command, args []string) error {
			format := "json"
			if len(args) > 0 {
				format = args[0]
			}
			_, err := c.OutOrStdout().Write(schemas[format])
			return err
		},
	}
}
