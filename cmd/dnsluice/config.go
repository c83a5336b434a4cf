// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

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
		Args: usageArgs(noArgs),
	}
	config.Bind(c.Flags())
	markdown := c.Flags().Bool("markdown", false, "Print the page of the manual instead.")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if *markdown {
			return config.WriteMarkdown(c.OutOrStdout())
		}
		loaded, err := config.Load(c.Flags(), os.Environ(), config.ReadFile)
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
		Args: usageArgs(func(_ *cobra.Command, args []string) error {
			if len(args) > 1 || len(args) == 1 && schemas[args[0]] == nil {
				return fmt.Errorf("it takes json or protobuf, not %q", strings.Join(args, " "))
			}
			return nil
		}),
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
