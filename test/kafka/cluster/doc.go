// SPDX-License-Identifier: Apache-2.0

// Package cluster starts a real Apache Kafka for tests: one node or several, in KRaft mode, on
// loopback, each a Java process of its own whose data live in the test's temporary folder. It is
// no stage of the path; it owns the processes, and ends them with the test.
//
//	c := cluster.Start(t, 3)
//	c.CreateTopic("dns", 4, 3, nil)
//	... produce to c.Brokers() ...
//	c.Kill(0)
//	c.Restart(0)
//	got := c.Consume("dns") // Kafka's own console consumer
//	got = c.Kcat("dns")     // librdkafka
//	dumps := c.DumpLog("dns")
//
// A test that needs it carries the build tag kafka. It is skipped where Java or the jars are
// missing, and fails there when CI=true. Nodes are counted from 0, as in Brokers; Kafka's node
// id is one more. What goes wrong ends the test with the tail of the brokers' logs; like
// testing.TB.FailNow, all methods must be called from the goroutine of the test.
package cluster
