// SPDX-License-Identifier: Apache-2.0

package dnsmsg

// Reason is why a message could not be read to its end. The set is closed and small, so that a
// reason indexes an array of counters.
type Reason uint8

// The reasons, in the order of the wire.
const (
	OK            Reason = iota
	ShortHeader          // fewer than 12 bytes
	NameTruncated        // a name runs past the end of the message
	NameTooLong          // a name of more than 255 bytes (RFC 1035, section 2.3.4)
	NameLabel            // a label type other than 00 and 11 (RFC 6891, section 5: 01 is historic)
	NamePointer          // a compression pointer that does not point back (RFC 1035, section 4.1.4)
	QuestionShort        // type or class of a question runs past the end
	RecordShort          // the fixed part of a resource record runs past the end
	DataTruncated        // the data of a resource record runs past the end
	Cut                  // the capture's snapshot length cut the message here
	NumReasons           // how many there are; not a reason
)

var reasonNames = [NumReasons]string{
	OK:            "ok",
	ShortHeader:   "short_header",
	NameTruncated: "name_truncated",
	NameTooLong:   "name_too_long",
	NameLabel:     "name_label",
	NamePointer:   "name_pointer",
	QuestionShort: "question_short",
	RecordShort:   "record_short",
	DataTruncated: "data_truncated",
	Cut:           "cut",
}

// String returns the word that records, metrics and the ledger use.
func (r Reason) String() string { return reasonNames[r] }
