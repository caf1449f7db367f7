package promapi

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// formatQuery returns the query laid out over lines.
func (a *API) formatQuery(r *http.Request) answer {
	expr, err := a.o.Parser.ParseExpr(r.FormValue("query"))
	if err != nil {
		return badParam("query", err)
	}
	pretty := expr.Pretty(0)
	return answer{data: func(o *output) { o.b = appendText(o.b, pretty) }}
}

// parseQuery returns the query's syntax tree.
func (a *API) parseQuery(r *http.Request) answer {
	expr, err := a.o.Parser.ParseExpr(r.FormValue("query"))
	if err != nil {
		return badParam("query", err)
	}
	t := tree{}
	t.expr(expr)
	if t.err != nil {
		return fail(Internal, t.err)
	}
	return answer{data: func(o *output) { o.b = append(o.b, t.b...) }}
}

// tree encodes a syntax tree. The fields of each node are in the order of their
// names.
type tree struct {
	b   []byte
	err error
}

func (t *tree) raw(s string) { t.b = append(t.b, s...) }

func (t *tree) text(key, s string) {
	t.raw(key)
	t.b = appendText(t.b, s)
}

func (t *tree) flag(key string, v bool) {
	t.raw(key)
	t.b = strconv.AppendBool(t.b, v)
}

func (t *tree) number(key string, v int64) {
	t.raw(key)
	t.b = strconv.AppendInt(t.b, v, 10)
}

func (t *tree) texts(key string, list []string) {
	t.raw(key)
	t.b = appendTexts(t.b, list)
}

func (t *tree) child(key string, e parser.Expr) {
	t.raw(key)
	t.expr(e)
}

func (t *tree) expr(e parser.Expr) {
	switch n := e.(type) {
	case nil:
		t.raw(`null`)
	case *parser.AggregateExpr:
		t.child(`{"expr":`, n.Expr)
		t.texts(`,"grouping":`, n.Grouping)
		t.text(`,"op":`, n.Op.String())
		t.child(`,"param":`, n.Param)
		t.flag(`,"type":"aggregation","without":`, n.Without)
		t.raw(`}`)
	case *parser.BinaryExpr:
		t.flag(`{"bool":`, n.ReturnBool)
		t.child(`,"lhs":`, n.LHS)
		t.raw(`,"matching":`)
		t.matching(n.VectorMatching)
		t.text(`,"op":`, n.Op.String())
		t.child(`,"rhs":`, n.RHS)
		t.raw(`,"type":"binaryExpr"}`)
	case *parser.Call:
		t.call(n)
	case *parser.DurationExpr:
		t.duration(n)
	case *parser.MatrixSelector:
		v, ok := n.VectorSelector.(*parser.VectorSelector)
		if !ok {
			t.err = fmt.Errorf("a range over %T can't be encoded", n.VectorSelector)
			return
		}
		t.flag(`{"anchored":`, v.Anchored)
		t.matchers(`,"matchers":`, v.LabelMatchers)
		t.text(`,"name":`, v.Name)
		t.offset(v.OriginalOffset.Milliseconds(), v.OriginalOffsetExpr)
		t.number(`,"range":`, n.Range.Milliseconds())
		t.raw(`,"rangeExpr":`)
		t.duration(n.RangeExpr)
		t.flag(`,"smoothed":`, v.Smoothed)
		t.at(v.StartOrEnd, v.Timestamp)
		t.raw(`,"type":"matrixSelector"}`)
	case *parser.NumberLiteral:
		t.text(`{"type":"numberLiteral","val":`, strconv.FormatFloat(n.Val, 'f', -1, 64))
		t.raw(`}`)
	case *parser.ParenExpr:
		t.child(`{"expr":`, n.Expr)
		t.raw(`,"type":"parenExpr"}`)
	case *parser.StringLiteral:
		t.text(`{"type":"stringLiteral","val":`, n.Val)
		t.raw(`}`)
	case *parser.SubqueryExpr:
		t.child(`{"expr":`, n.Expr)
		t.offset(n.OriginalOffset.Milliseconds(), n.OriginalOffsetExpr)
		t.number(`,"range":`, n.Range.Milliseconds())
		t.raw(`,"rangeExpr":`)
		t.duration(n.RangeExpr)
		t.startOrEnd(n.StartOrEnd)
		t.number(`,"step":`, n.Step.Milliseconds())
		t.raw(`,"stepExpr":`)
		t.duration(n.StepExpr)
		t.timestamp(n.Timestamp)
		t.raw(`,"type":"subquery"}`)
	case *parser.UnaryExpr:
		t.child(`{"expr":`, n.Expr)
		t.text(`,"op":`, n.Op.String())
		t.raw(`,"type":"unaryExpr"}`)
	case *parser.VectorSelector:
		t.flag(`{"anchored":`, n.Anchored)
		t.matchers(`,"matchers":`, n.LabelMatchers)
		t.text(`,"name":`, n.Name)
		t.offset(n.OriginalOffset.Milliseconds(), n.OriginalOffsetExpr)
		t.flag(`,"smoothed":`, n.Smoothed)
		t.at(n.StartOrEnd, n.Timestamp)
		t.raw(`,"type":"vectorSelector"}`)
	default:
		t.err = fmt.Errorf("an expression of type %T can't be encoded", e)
	}
}

func (t *tree) call(n *parser.Call) {
	t.raw(`{"args":[`)
	for i, arg := range n.Args {
		if i > 0 {
			t.raw(`,`)
		}
		t.expr(arg)
	}
	t.raw(`],"func":{"argTypes":`)
	if n.Func.ArgTypes == nil {
		t.raw(`null`)
	} else {
		types := make([]string, 0, len(n.Func.ArgTypes))
		for _, typ := range n.Func.ArgTypes {
			types = append(types, string(typ))
		}
		t.texts(``, types)
	}
	t.text(`,"name":`, n.Func.Name)
	t.text(`,"returnType":`, string(n.Func.ReturnType))
	t.number(`,"variadic":`, int64(n.Func.Variadic))
	t.raw(`},"type":"call"}`)
}

func (t *tree) matching(m *parser.VectorMatching) {
	if m == nil {
		t.raw(`null`)
		return
	}
	t.text(`{"card":`, m.Card.String())
	t.raw(`,"fillValues":{"lhs":`)
	t.fill(m.FillValues.LHS)
	t.raw(`,"rhs":`)
	t.fill(m.FillValues.RHS)
	t.texts(`},"include":`, m.Include)
	t.texts(`,"labels":`, m.MatchingLabels)
	t.flag(`,"on":`, m.On)
	t.raw(`}`)
}

// errFill is why some queries have no tree: their fill value is no number in JSON.
var errFill = errors.New("fill values of NaN and Inf can't be encoded")

func (t *tree) fill(v *float64) {
	switch {
	case v == nil:
		t.raw(`null`)
	case math.IsNaN(*v) || math.IsInf(*v, 0):
		t.err = errFill
	default:
		t.b = appendNumber(t.b, *v)
	}
}

func (t *tree) matchers(key string, list []*labels.Matcher) {
	t.raw(key)
	t.raw(`[`)
	for i, m := range list {
		if i > 0 {
			t.raw(`,`)
		}
		t.text(`{"name":`, m.Name)
		t.text(`,"type":`, m.Type.String())
		t.text(`,"value":`, m.Value)
		t.raw(`}`)
	}
	t.raw(`]`)
}

func (t *tree) offset(ms int64, e *parser.DurationExpr) {
	t.number(`,"offset":`, ms)
	t.raw(`,"offsetExpr":`)
	t.duration(e)
}

func (t *tree) at(startOrEnd parser.ItemType, ts *int64) {
	t.startOrEnd(startOrEnd)
	t.timestamp(ts)
}

func (t *tree) startOrEnd(i parser.ItemType) {
	t.raw(`,"startOrEnd":`)
	if i == 0 {
		t.raw(`null`)
		return
	}
	t.b = appendText(t.b, i.String())
}

func (t *tree) timestamp(ts *int64) {
	if ts == nil {
		t.raw(`,"timestamp":null`)
		return
	}
	t.number(`,"timestamp":`, *ts)
}

// duration encodes what a duration is computed from. A plain duration has nothing.
func (t *tree) duration(e parser.Expr) {
	switch n := e.(type) {
	case *parser.DurationExpr:
		if n == nil {
			t.raw(`null`)
			return
		}
		t.raw(`{"lhs":`)
		t.duration(n.LHS)
		t.text(`,"op":`, n.Op.String())
		t.raw(`,"rhs":`)
		t.duration(n.RHS)
		t.flag(`,"type":"durationExpr","wrapped":`, n.Wrapped)
		t.raw(`}`)
	case *parser.NumberLiteral:
		if n == nil {
			t.raw(`null`)
			return
		}
		t.flag(`{"duration":`, n.Duration)
		t.text(`,"type":"numberLiteral","val":`, strconv.FormatFloat(n.Val, 'f', -1, 64))
		t.raw(`}`)
	default:
		t.expr(e)
	}
}
