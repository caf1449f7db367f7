package metric

import (
	"fmt"
	"strconv"
)

// number scans one number and checks its grammar. mant holds its digits without
// point, valid if digits <= 18; frac is how many of them stand after the point.
func (p *parser) number() (tok []byte, n numeral, ok bool) {
	buf, i := p.buf, p.pos
	start := i
	if i < len(buf) && buf[i] == '-' {
		n.negative = true
		i++
	}
	first := i
	for ; i < len(buf) && '0' <= buf[i] && buf[i] <= '9'; i++ {
		n.mant = n.mant*10 + uint64(buf[i]-'0')
	}
	n.digits = i - first
	if n.digits == 0 || n.digits > 1 && buf[first] == '0' {
		p.pos = first
		return nil, n, p.fail("a number")
	}
	n.integer = true
	if i < len(buf) && buf[i] == '.' {
		n.integer = false
		i++
		point := i
		for ; i < len(buf) && '0' <= buf[i] && buf[i] <= '9'; i++ {
			n.mant = n.mant*10 + uint64(buf[i]-'0')
		}
		n.frac = i - point
		n.digits += n.frac
		if n.frac == 0 {
			p.pos = i
			return nil, n, p.fail("a digit after the point")
		}
	}
	if i < len(buf) && (buf[i] == 'e' || buf[i] == 'E') {
		n.integer, n.exponent = false, true
		i++
		if i < len(buf) && (buf[i] == '+' || buf[i] == '-') {
			i++
		}
		exp := i
		for i < len(buf) && '0' <= buf[i] && buf[i] <= '9' {
			i++
		}
		if i == exp {
			p.pos = i
			return nil, n, p.fail("a digit in the exponent")
		}
	}
	p.pos = i
	return buf[start:i], n, true
}

type numeral struct {
	mant     uint64
	digits   int
	frac     int
	negative bool
	integer  bool // neither point nor exponent
	exponent bool
}

var pow10 = [...]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15}

// float is the value of the number. Up to 15 digits without exponent both the
// digits and the power of ten are exact in float64, so one division rounds
// correctly.
func (n numeral) float(tok []byte) (float64, error) {
	if n.digits <= 15 && !n.exponent {
		f := float64(n.mant)
		if n.frac > 0 {
			f /= pow10[n.frac]
		}
		if n.negative {
			f = -f
		}
		return f, nil
	}
	return strconv.ParseFloat(view(tok), 64)
}

func (p *parser) isNumber() bool {
	c := p.peek()
	return c == '-' || '0' <= c && c <= '9'
}

func (p *parser) floatValue(field string) (float64, error) {
	if !p.isNumber() {
		return 0, p.skipWrong(field, "a number")
	}
	tok, n, ok := p.number()
	if !ok {
		return 0, nil
	}
	f, err := n.float(tok)
	if err != nil {
		return 0, fmt.Errorf("%s %s: out of the range of a float64", field, quote(string(tok)))
	}
	return f, nil
}

func (p *parser) intValue(field string) (int64, error) {
	if !p.isNumber() {
		return 0, p.skipWrong(field, "an integer")
	}
	tok, n, ok := p.number()
	if !ok {
		return 0, nil
	}
	if !n.integer {
		return 0, fmt.Errorf("%s %s: must be an integer", field, quote(string(tok)))
	}
	if n.digits > 18 {
		v, err := strconv.ParseInt(view(tok), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%s %s: out of the range of an int64", field, quote(string(tok)))
		}
		return v, nil
	}
	if n.negative {
		return -int64(n.mant), nil
	}
	return int64(n.mant), nil
}
