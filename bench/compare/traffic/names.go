// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"math/rand/v2"
	"strconv"
	"strings"
)

// domains is how many registered domains there are; zipfSkew is how unevenly they are asked for.
// Resolver traces fit an exponent just above one.
const (
	domains  = 200_000
	zipfSkew = 1.07
)

var (
	onsets = []string{"b", "br", "c", "ch", "d", "f", "g", "gr", "h", "k", "l", "m", "n", "p", "pl",
		"r", "s", "st", "t", "tr", "v", "w", "z"}
	vowels = []string{"a", "e", "i", "o", "u", "ai", "ea", "oo"}
	codas  = []string{"", "", "n", "r", "s", "t", "ck", "x"}
	// tlds are weighted by repetition.
	tlds = []string{"com", "com", "com", "com", "com", "net", "net", "org", "org", "io", "de", "nl",
		"fr", "co.uk", "jp", "com.br", "info", "dev"}
	hosts = []string{"www", "www", "www", "api", "mail", "cdn", "img", "static", "login", "ns1", "app"}
	// services stand in front of names asked for SRV and TXT.
	services = []string{"_sip._tcp", "_ldap._tcp", "_dmarc", "_domainkey"}
)

// namer makes names. A domain is a pure function of its number, so nothing is kept of them.
type namer struct {
	random  *rand.Rand
	popular *rand.Zipf
	text    strings.Builder
}

func newNamer(random *rand.Rand) *namer {
	return &namer{random: random, popular: rand.NewZipf(random, zipfSkew, 1, domains-1)}
}

// domain returns the registered domain of a number, without a final dot.
func (n *namer) domain(number uint64) string {
	r := rand.New(rand.NewPCG(number, 0x646f6d61696e))
	n.text.Reset()
	for range 2 + r.IntN(3) {
		n.text.WriteString(pick(r, onsets))
		n.text.WriteString(pick(r, vowels))
		n.text.WriteString(pick(r, codas))
	}
	if r.IntN(4) == 0 {
		n.text.WriteString(strconv.Itoa(r.IntN(1000)))
	}
	n.text.WriteByte('.')
	n.text.WriteString(pick(r, tlds))
	return n.text.String()
}

// popularDomain returns a domain as often as it is asked for.
func (n *namer) popularDomain() string { return n.domain(n.popular.Uint64()) }

// host returns a name to ask for.
func (n *namer) host() string {
	domain := n.popularDomain()
	switch k := n.random.IntN(20); {
	case k < 3:
		return domain
	case k < 16:
		return pick(n.random, hosts) + "." + domain
	case k < 18:
		return n.node() + "." + pick(n.random, hosts) + "." + domain
	default: // a name that is asked for once
		return strconv.FormatUint(n.random.Uint64(), 36) + ".t." + domain
	}
}

// node returns the name of one machine of many.
func (n *namer) node() string {
	return "e" + strconv.Itoa(n.random.IntN(20_000)) + "-" + strconv.Itoa(n.random.IntN(16))
}

// mixed returns the name with its letters in random case, as resolvers do to be harder to spoof.
func (n *namer) mixed(name string) string {
	text := []byte(name)
	bits := n.random.Uint64()
	for i, c := range text {
		if c >= 'a' && c <= 'z' && bits>>(i%64)&1 == 1 {
			text[i] = c - 'a' + 'A'
		}
	}
	return string(text)
}

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }
