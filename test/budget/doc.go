// SPDX-License-Identifier: Apache-2.0

// Package budget holds what the whole line may cost a message: instructions, which valgrind counts
// the same on every machine of an architecture if the program is kept from choosing its code by the
// processor, and allocations. A change that costs more than the
// stored budget and its tolerance fails.
//
//	make budget           # compare
//	make budget UPDATE=1  # store what is measured as the new budget
//
// Two captures are measured, one larger than the other, and the difference divided by the
// difference in messages: what starting up and ending cost cancels out.
package budget
