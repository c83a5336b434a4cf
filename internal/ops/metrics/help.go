// SPDX-License-Identifier: Apache-2.0

package metrics

// detail is how one count beside the law is shown. What is not in the table has its name and a help
// text made of it.
type detail struct {
	path  string // in the place of the name; empty: stage and name
	help  string
	gauge bool // it goes down as well
}

// details is by stage and name, and by stage, name and reason for what is shown by itself because
// its unit is another than that of its neighbours.
var details = map[string]detail{
	"capture.bytes":       {help: "Bytes of the packets that were read."},
	"capture.reopened":    {help: "Times that an interface was away and was opened again."},
	"capture.frozen":      {help: "Times that the kernel found a ring full."},
	"capture.connections": {help: "Connections that name servers made to dnstap sockets."},
	"capture.ended":       {help: "Connections to dnstap sockets that ended, by how (docs/dnstap.md)."},

	"decode.fragments":     {help: "Datagrams put together, and fragments that were odd."},
	"decode.tcp":           {help: "What TCP streams went through, by what it was."},
	"decode.tcp.streams":   {path: "decode_tcp_streams", gauge: true, help: "TCP streams remembered now."},
	"decode.tcp.gap_bytes": {path: "decode_tcp_gap_bytes", help: "Bytes missing in TCP streams."},
	"decode.tunnel":        {help: "Headers of tunnels taken off, by kind."},

	"wire.malformed": {help: "Malformed messages, which are records as well, by what is wrong."},

	"match.kind":        {help: "Records made, by kind."},
	"match.unpaired":    {help: "Messages that left alone before their timeout, by why."},
	"match.retransmits": {help: "Queries that were the same as one that waits."},
	"match.reordered":   {help: "Pairs whose response came before the query."},
	"match.reversed":    {help: "Pairs whose response has the earlier time."},
	"match.retries":     {help: "Queries over TCP with a link to a truncated answer."},

	"deliver.batches":        {help: "Batches acknowledged."},
	"deliver.bytes":          {help: "Bytes of the batches acknowledged, as sent."},
	"deliver.failed":         {help: "Calls to brokers that failed."},
	"deliver.retried":        {help: "Records sent again unchanged; brokers remove what they had."},
	"deliver.redelivered":    {help: "Records sent again under a new identity: they may be in the topic twice."},
	"deliver.redated":        {help: "Records whose Kafka time stamp was moved to now."},
	"deliver.replayed":       {help: "Records of an earlier run, from its spool, acknowledged."},
	"deliver.replay_dropped": {help: "Records of an earlier run, from its spool, that no broker takes."},
	"deliver.split":          {help: "Batches split in two, for brokers found them too large or refused a part."},
	"deliver.recycled":       {help: "Clients that were stuck and were replaced."},
	"deliver.panics":         {help: "Goroutines started again after a mistake in the program."},
	"deliver.dead_letters":   {help: "Records written to the dead-letter file."},

	"spool.recovered":       {help: "Records that an earlier run left on disk."},
	"spool.corrupt_frames":  {help: "Frames found damaged on disk."},
	"spool.corrupt_bytes":   {help: "Bytes found damaged on disk."},
	"spool.corrupt_records": {help: "Records found damaged on disk, and lost."},
}
