// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/dnsluice/dnsluice/internal/ops/ask"
	"github.com/dnsluice/dnsluice/internal/ops/config"
	"github.com/dnsluice/dnsluice/internal/ops/why"
)

// exitNoSensor is how why and top end when nobody answers.
const exitNoSensor = 2

func whyCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "why",
		Short: "Ask a running sensor why nothing, or less, reaches Kafka",
		Long: "Ask the sensor at --http how it is, and answer in one sentence, with the evidence under it and\n" +
			"what can be done next. The exit status is 0 when records flow or there are none, 1 when not,\n" +
			"and 2 when no sensor answers.",
		Example: "  dnsluice why\n  dnsluice why --http 127.0.0.1:9953 --json",
		Args:    usageArgs(noArgs),
	}
	config.Bind(c.Flags(), "ops.http")
	asJSON := c.Flags().Bool("json", false, "Print the answer as JSON, with all that the sensor says.")
	c.RunE = func(c *cobra.Command, _ []string) error {
		address, err := sensorAddress(c)
		if err != nil {
			return err
		}
		a, err := ask.Sensor(c.Context(), address)
		if err != nil {
			fmt.Fprintln(c.ErrOrStderr(), "dnsluice:", oneLine(err))
			return exitStatus(exitNoSensor)
		}
		e := why.Explain(a)
		if *asJSON {
			enc := json.NewEncoder(c.OutOrStdout())
			enc.SetIndent("", "  ")
			err = enc.Encode(struct {
				why.Explanation
				Answer ask.Answer `json:"answer"`
			}{e, a})
		} else {
			err = e.WriteText(c.OutOrStdout())
		}
		if err == nil && !e.OK {
			return exitStatus(exitFailure)
		}
		return err
	}
	return c
}

// sensorAddress returns where the sensor of this configuration listens.
func sensorAddress(c *cobra.Command) (string, error) {
	loaded, err := config.Load(c.Flags(), os.Environ(), config.ReadFile)
	if err != nil {
		return "", err
	}
	if loaded.Config.Ops.HTTP == config.Off {
		return "", usageError{errors.New("the sensor of this configuration has no HTTP (ops.http is off); " +
			"name the address of one that has with --http")}
	}
	return loaded.Config.Ops.HTTP, nil
}
