// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/dnsluice/dnsluice/internal/deliver"
	"github.com/dnsluice/dnsluice/internal/deliver/kafka/faultproxy"
)

// proxied returns a step of a drill that does something to each proxy.
func proxied(change func(*faultproxy.Proxy)) func(*rig) {
	return func(r *rig) {
		for _, p := range r.p {
			change(p)
		}
	}
}

// healed makes the front a wire again. What was taken and never answered is let go.
func healed(r *rig) {
	for _, p := range r.p {
		until(r, "the port is free", func() bool { return p.Heal() == nil })
	}
}

// reconnected breaks all connections, so that what concerns new ones shows.
var reconnected = proxied(func(p *faultproxy.Proxy) { p.Break(faultproxy.RST) })

// welcome changes what becomes of new connections, and breaks the old.
func welcome(w faultproxy.Welcome) func(*rig) {
	return func(r *rig) {
		proxied(func(p *faultproxy.Proxy) { p.Greet(w) })(r)
		reconnected(r)
	}
}

// ruled changes what is done to the bytes of both directions.
func ruled(up, down faultproxy.Rule) func(*rig) {
	return proxied(func(p *faultproxy.Proxy) {
		p.Set(faultproxy.Up, up)
		p.Set(faultproxy.Down, down)
	})
}

// both is a sequence of steps.
func both(steps ...func(*rig)) func(*rig) {
	return func(r *rig) {
		for _, s := range steps {
			s(r)
		}
	}
}

// says checks that the newest error has words in it.
func says(words ...string) func(*rig) {
	return func(r *rig) {
		r.Helper()
		text := r.d.Status().LastError
		for _, w := range words {
			if !strings.Contains(text, w) {
				r.Errorf("%q is not in: %s", w, text)
			}
		}
	}
}

// The drills that concern the link. The numbers are those of the list of forty.
var linkDrills = []drill{
	{name: "6: a broker takes connections and never answers, at the start", front: true,
		start: welcome(faultproxy.Silence), want: deliver.NoAnswer, heal: both(healed, reconnected), after: once},
	{name: "6: and later", front: true, brokers: 3,
		fault: welcome(faultproxy.Silence), want: deliver.NoAnswer, heal: both(healed, reconnected), after: once},
	{name: "7: nothing passes in either direction, with batches in flight", front: true, brokers: 3,
		fault: ruled(faultproxy.Rule{Hold: true}, faultproxy.Rule{Hold: true}),
		want:  deliver.NoAnswer, heal: healed, after: once},
	{name: "7: no answer passes, with batches in flight", front: true,
		fault: ruled(faultproxy.Rule{}, faultproxy.Rule{Hold: true}),
		want:  deliver.NoAnswer, heal: healed, after: once},
	{name: "8: answers are lost with their connection", front: true,
		fault: ruled(faultproxy.Rule{}, faultproxy.Rule{Cut: &faultproxy.Cut{After: 0, End: faultproxy.RST}}),
		want:  deliver.Unreachable, heal: healed, after: once},
	{name: "9: connections end in order in the middle of an answer", front: true,
		fault: ruled(faultproxy.Rule{}, faultproxy.Rule{Cut: &faultproxy.Cut{After: 6, End: faultproxy.FIN}}),
		want:  deliver.Unreachable, heal: healed, after: once},
	{name: "9: connections are reset in the middle of a batch", front: true, brokers: 3,
		fault: both(ruled(faultproxy.Rule{Cut: &faultproxy.Cut{After: 300, End: faultproxy.RST}}, faultproxy.Rule{}),
			func(r *rig) {
				until(r, "failures", func() bool { return r.d.Counters().Failed > 10 })
			}),
		heal: healed, after: once},
	{name: "9: a load balancer takes and closes", front: true,
		fault: welcome(faultproxy.Hangup), want: deliver.Unreachable, heal: healed, after: once},
	{name: "9: a load balancer takes and resets", front: true,
		fault: welcome(faultproxy.Reset), want: deliver.Unreachable, heal: healed, after: once},
	{name: "9: the port is closed", front: true,
		fault: both(proxied((*faultproxy.Proxy).Refuse), reconnected), want: deliver.Unreachable, heal: healed, after: once},
	{name: "5: the link is slow", front: true, brokers: 2,
		fault: ruled(faultproxy.Rule{Delay: 10 * time.Millisecond, Rate: 64 << 10}, faultproxy.Rule{Delay: 10 * time.Millisecond}),
		want:  deliver.Flowing, heal: healed, after: once},
	{name: "38: Kafka 2.8", opts: []kfake.Opt{kfake.MaxVersions(kversion.V2_8_0())}, after: once},
	{name: "38: Kafka 3.9", opts: []kfake.Opt{kfake.MaxVersions(kversion.V3_9_0())}, after: once},
	{name: "38: Kafka 4.0", opts: []kfake.Opt{kfake.MaxVersions(kversion.V4_0_0())}, after: once},
}

func TestLinkDrills(t *testing.T) {
	for _, d := range linkDrills {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			d.run(t)
		})
	}
}

// TestDrill15 is about the password: one that is wrong at the start, and one that is changed at
// the brokers while the sensor runs and in its file afterwards.
func TestDrill15ThePasswordIsWrong(t *testing.T) {
	for _, c := range []struct {
		name    string
		atStart bool
	}{{"at the start", true}, {"later", false}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			file := write(t, filepath.Join(t.TempDir(), "password"), []byte("old"))
			g := &gatekeeper{}
			g.admit(saying("sensor\x00old"))
			change := both(func(*rig) { g.admit(saying("sensor\x00new")) }, reconnected)
			d := drill{front: true, want: deliver.AuthFailed, after: once,
				config: func(_ *rig, c *Config) {
					c.SASL = &SASL{Mechanism: Plain, User: "sensor", Password: FileSecret(file)}
				},
				heal: func(r *rig) {
					says("SASL_AUTHENTICATION_FAILED", refusal)(r)
					write(t, file, []byte("new\n"))
				},
			}
			d.start, d.fault = func(r *rig) { g.guard(r.c) }, change
			if c.atStart {
				d.start, d.fault = both(d.start, change), nil
			}
			d.run(t)
		})
	}
}

// TestDrill15 of a broker that gives no reason, but closes the connection.
func TestDrill15ThePasswordIsWrongAndTheBrokerSilent(t *testing.T) {
	file := write(t, filepath.Join(t.TempDir(), "password"), []byte("wrong"))
	drill{front: true, want: deliver.AuthFailed, after: once,
		opts: []kfake.Opt{kfake.EnableSASL(), kfake.Superuser(ScramSHA512, "sensor", "right")},
		config: func(_ *rig, c *Config) {
			c.SASL = &SASL{Mechanism: ScramSHA512, User: "sensor", Password: FileSecret(file)}
		},
		heal: func(r *rig) {
			says("closed the connection during the authentication")(r)
			write(t, file, []byte("right"))
		},
	}.run(t)
}

func TestDrill16TheTokenEndpointIsDown(t *testing.T) {
	i := newIssuer(t)
	i.life = 3600
	c := &clock{at: time.Now()}
	g := &gatekeeper{}
	g.admit(saying("auth=Bearer token-"))
	drill{front: true, want: deliver.AuthFailed, after: once,
		config: func(_ *rig, cfg *Config) {
			cfg.now = c.now
			cfg.SASL = &SASL{Mechanism: OAuthBearer, OAuth: i.config()}
		},
		start: func(r *rig) { g.guard(r.c) },
		fault: func(r *rig) {
			i.set(func() { i.down = true })
			c.add(50 * time.Minute) // time for another, and the last one lives
			reconnected(r)
			r.acknowledged(10)
			r.state(deliver.Flowing)
			c.add(10 * time.Minute) // but not for ever
			reconnected(r)
		},
		heal: func(r *rig) {
			says("no token", "503", "temporarily_unavailable")(r)
			i.set(func() { i.down = false })
			c.add(shortTries)
		},
	}.run(t)
}

// TestDrill17 is about certificates that stop to fit while the sensor runs, and are mended.
func TestDrill17Certificates(t *testing.T) {
	ours, theirs := newAuthority(t, "our authority"), newAuthority(t, "their authority")
	old := func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }
	broker, sensor := ours.sign("a broker", nil), ours.sign("a sensor", nil)
	for _, c := range []struct {
		name   string
		before *tls.Config
		during *tls.Config
		words  []string
		mend   func(t *testing.T, dir string, s *secured)
	}{
		{"the broker's expires and is renewed", serving(broker), serving(ours.sign("a broker", old)),
			[]string{"expired on"}, func(_ *testing.T, _ string, s *secured) { s.set(serving(broker)) }},
		{"another authority signs the broker, and is put on disk", serving(broker), serving(theirs.sign("a broker", nil)),
			[]string{"their authority"}, func(_ *testing.T, dir string, _ *secured) { theirs.file(filepath.Join(dir, "ca.pem")) }},
		{"the broker wants another authority for clients, and a new certificate is put on disk",
			mutual(broker, ours), mutual(broker, theirs), []string{"the client's certificate"},
			func(t *testing.T, dir string, _ *secured) { files(t, dir, theirs.sign("a sensor", nil)) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir, s := t.TempDir(), &secured{cfg: c.before}
			cfg := TLS{CA: ours.file(filepath.Join(dir, "ca.pem"))}
			cfg.Cert, cfg.Key = files(t, dir, sensor)
			drill{front: true, want: deliver.TLSFailed, after: once,
				opts:   []kfake.Opt{s.option()},
				config: func(_ *rig, k *Config) { k.TLS = &cfg },
				fault:  both(func(*rig) { s.set(c.during) }, reconnected),
				heal: func(r *rig) {
					says(c.words...)(r)
					c.mend(t, dir, s)
				},
			}.run(t)
		})
	}
}

// resolver is the world of names.
type resolver struct {
	mu    sync.Mutex // guards the following
	names map[string]string
	asked int
}

func (n *resolver) dial(ctx context.Context, network, address string) (net.Conn, error) {
	n.mu.Lock()
	n.asked++
	to, known := n.names[address]
	n.mu.Unlock()
	if !known && strings.Contains(address, ".test:") {
		return nil, &net.OpError{Op: "dial", Net: network, Err: &net.DNSError{Err: "no such host", Name: address, IsNotFound: true}}
	}
	if !known {
		to = address
	}
	return (&net.Dialer{}).DialContext(ctx, network, to)
}

func (n *resolver) set(name, to string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if to == "" {
		delete(n.names, name)
		return
	}
	n.names[name] = to
}

func TestDrill18TheNameDoesNotResolveAndThenMoves(t *testing.T) {
	const name = "kafka.test:9092"
	n := &resolver{names: map[string]string{}}
	drill{front: true, want: deliver.Unresolvable, after: once,
		config: func(_ *rig, c *Config) { c.Brokers, c.dial = []string{name}, n.dial },
		heal: func(r *rig) {
			says(name)(r)
			n.set(name, r.p[0].Addr())
			r.acknowledged(10)
			// The same broker behind another address.
			second, err := faultproxy.New(r.p[0].Addr())
			if err != nil {
				r.Fatal(err)
			}
			r.Cleanup(second.Close)
			n.set(name, second.Addr())
			cl, err := r.all.client()
			if err != nil {
				r.Fatal(err)
			}
			defer cl.Close()
			if _, err := cl.Leaders(cl.within(r)); err != nil || second.Stats().Accepted == 0 {
				r.Errorf("the new address was not looked up: %v, %+v", err, second.Stats())
			}
		},
	}.run(t)
}

func TestDrill24AQuota(t *testing.T) {
	const pause = 2 * time.Second
	drill{partitions: 2, fault: func(r *rig) {
		r.w.set(func() {
			r.w.answer = func(_ int, resp kmsg.Response) move {
				if p, ok := resp.(*kmsg.ProduceResponse); ok {
					p.ThrottleMillis = int32(pause.Milliseconds())
				}
				return pass
			}
		})
		r.state(deliver.Throttled)
		until(r, "the reason is told", func() bool {
			return strings.Contains(r.d.Status().LastError, "the broker's quota asks for a pause of")
		})
		if until := r.cl.Throttled(); time.Until(until) > pause || until.IsZero() {
			r.Errorf("throttled until %v", until)
		}
		if node, left := r.all.Pause(); node != 0 || left <= 0 {
			r.Errorf("broker %d wants a pause of %v", node, left)
		}
		unwired(r)
		if n := r.d.Counters(); n.Retried > 0 {
			r.Errorf("a batch was sent twice: %+v", n)
		}
	}, after: func(r *rig, n deliver.Counters) {
		once(r, n)
		if n.Retried > 0 {
			r.Errorf("%+v", n)
		}
	}}.run(t)
}

func TestDrill38ABrokerThatIsTooOldIsRefusedInWords(t *testing.T) {
	none := kversion.V4_0_0()
	none.SetMaxKeyVersion(int16(kmsg.InitProducerID), -1)
	for _, c := range []struct {
		name     string
		versions *kversion.Versions
		words    string
	}{
		{"no record batches", kversion.V0_10_2(), "below the user defined min"},
		{"no idempotence", none, "broker is too old"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := drill{opts: []kfake.Opt{kfake.MaxVersions(c.versions)}, brokers: 1, partitions: 1}
			r := newRig(t, d)
			r.run()
			r.state(deliver.BrokerError)
			says(c.words)(r)
			if n := r.d.Counters(); n.Acknowledged > 0 {
				t.Errorf("%+v", n)
			}
		})
	}
}
