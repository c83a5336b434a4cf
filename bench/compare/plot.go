// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"math"
	"strings"
)

// dot is a measured point: how many there were, and what it cost.
type dot struct{ x, y float64 }

type line struct {
	name   string
	color  string
	dashed bool
	dots   []dot
}

// panel is a plot over powers of ten. Its vertical axis begins at 0, or is one of powers of two.
type panel struct {
	title    string
	doubling bool
	lines    []line
}

// The plot in pixels. Grey and the colors of the lines have enough contrast with white and with
// black: a page cannot tell an image which of the two is behind it.
const (
	plotWidth, plotLeft, plotRight = 760, 56, 510 // to the right of it stands the legend
	panelTop, panelHeight          = 34, 220
	panelPitch                     = panelTop + panelHeight + 40
	grey                           = "#7d8590"
)

// plot draws panels below each other. Their lines are the same, so one legend is enough.
func plot(panels ...panel) string {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %d" `+
		`font-family="sans-serif" font-size="12" fill="%s">`+"\n", plotWidth, len(panels)*panelPitch, grey)
	for i, p := range panels {
		fmt.Fprintf(&b, "<g transform=\"translate(0 %d)\">\n", i*panelPitch)
		p.draw(&b)
		if i == 0 {
			p.legend(&b)
		}
		b.WriteString("</g>\n")
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// scale maps values to pixels, and names some of them.
type scale struct {
	low, high float64 // as transformed
	from, to  float64 // pixels
	transform func(float64) float64
	ticks     []float64
}

func (s scale) at(v float64) float64 {
	return s.from + (s.transform(v)-s.low)/(s.high-s.low)*(s.to-s.from)
}

// across is the horizontal scale: powers of ten around all points.
func (p panel) across() scale {
	s := scale{transform: math.Log10, from: plotLeft, to: plotRight, high: 1}
	_, high := p.extent(func(d dot) float64 { return d.x })
	s.high = max(1, math.Ceil(math.Log10(high)))
	for e := s.low; e <= s.high; e++ {
		s.ticks = append(s.ticks, math.Pow(10, e))
	}
	return s
}

// up is the vertical scale.
func (p panel) up() scale {
	low, high := p.extent(func(d dot) float64 { return d.y })
	s := scale{from: panelTop + panelHeight, to: panelTop}
	if p.doubling {
		s.transform = math.Log2
		s.low, s.high = math.Floor(math.Log2(low)), math.Ceil(math.Log2(high))
		s.high = max(s.high, s.low+1)
		for e := s.low; e <= s.high; e++ {
			s.ticks = append(s.ticks, math.Exp2(e))
		}
		return s
	}
	s.transform = func(v float64) float64 { return v }
	step := math.Pow(10, math.Floor(math.Log10(high)))
	for _, part := range []float64{0.2, 0.5} {
		if high/(step*part) <= 8 {
			step *= part
			break
		}
	}
	s.high = math.Ceil(high/step) * step
	for n := 0.0; n*step <= s.high; n++ {
		s.ticks = append(s.ticks, n*step)
	}
	return s
}

// extent returns the least and the most of all points; without any, 1 is both.
func (p panel) extent(of func(dot) float64) (low, high float64) {
	low, high = math.Inf(1), math.Inf(-1)
	for _, l := range p.lines {
		for _, d := range l.dots {
			low, high = min(low, of(d)), max(high, of(d))
		}
	}
	if low > high || high <= 0 {
		return 1, 1
	}
	return low, high
}

func (p panel) draw(b *strings.Builder) {
	x, y := p.across(), p.up()
	fmt.Fprintf(b, "<text x=\"%d\" y=\"20\" font-weight=\"bold\">%s</text>\n", plotLeft, p.title)
	for _, v := range y.ticks {
		fmt.Fprintf(b, "<path d=\"M%d %.1fH%d\" stroke=\"%s\" stroke-opacity=\".3\"/>"+
			"<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n",
			plotLeft, y.at(v), plotRight, grey, plotLeft-8, y.at(v)+4, short(v))
	}
	for _, v := range x.ticks {
		fmt.Fprintf(b, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%s</text>\n",
			x.at(v), panelTop+panelHeight+18, short(v))
	}
	for _, l := range p.lines {
		for i, d := range l.dots {
			to := byte('L')
			if i == 0 {
				b.WriteString("<path d=\"")
				to = 'M'
			}
			fmt.Fprintf(b, "%c%.1f %.1f", to, x.at(d.x), y.at(d.y))
		}
		if len(l.dots) > 0 {
			b.WriteString("\"" + l.stroke() + "/>\n")
		}
		for _, d := range l.dots {
			fmt.Fprintf(b, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\" fill=\"%s\"/>\n",
				x.at(d.x), y.at(d.y), l.color)
		}
	}
}

// stroke returns how a line is drawn.
func (l line) stroke() string {
	s := fmt.Sprintf(" fill=\"none\" stroke=\"%s\" stroke-width=\"2\"", l.color)
	if l.dashed {
		s += " stroke-dasharray=\"5 4\""
	}
	return s
}

func (p panel) legend(b *strings.Builder) {
	const left, sample = plotRight + 24, 26
	for i, l := range p.lines {
		y := panelTop + 8 + 22*i
		fmt.Fprintf(b, "<path d=\"M%d %dh%d\"%s/><text x=\"%d\" y=\"%d\">%s</text>\n",
			left, y, sample, l.stroke(), left+sample+8, y+4, l.name)
	}
}

// short writes a number as an axis has it: 1, 0.5, 10k, 1M.
func short(v float64) string {
	switch {
	case v >= 1e6:
		return fmt.Sprintf("%gM", v/1e6)
	case v >= 1e4:
		return fmt.Sprintf("%gk", v/1e3)
	}
	return fmt.Sprintf("%.4g", v)
}
