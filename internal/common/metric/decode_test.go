package metric_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/common/metric"
	"github.com/gometheus/gometheus/pkg/request"
)

const now = 1_795_454_731_960

var limits = metric.DefaultLimits()

func decode(t testing.TB, in string) ([]metric.Metric, error) {
	t.Helper()
	var b metric.Batch
	err := b.DecodeArray([]byte(in), &limits, now)
	return b.Metrics, err
}

func TestDecodeArray(t *testing.T) {
	gauge := func(name string, v float64) metric.Metric {
		return metric.Metric{Kind: metric.Gauge, Name: name, Value: v, Timestamp: now}
	}
	counter := func(name string, d int64) metric.Metric {
		return metric.Metric{Kind: metric.Counter, Name: name, Delta: d, Timestamp: now}
	}
	labelled := gauge("g", 1)
	labelled.Labels = metric.NewLabels("a", "1", "b", "2")
	dated := counter("c", 1)
	dated.Timestamp = 1234567890123
	withLabel := func(value string) metric.Metric {
		m := gauge("g", 1)
		m.Labels = metric.NewLabels("a", value)
		return m
	}
	tests := []struct {
		name, in string
		want     []metric.Metric
	}{
		{"empty", `[]`, nil},
		{"white space", " \t\r\n[ ] \n", nil},
		{"gauge", `[{"id":"g","type":"gauge","value":1.5}]`, []metric.Metric{gauge("g", 1.5)}},
		{"counter", `[{"id":"c","type":"counter","delta":3}]`, []metric.Metric{counter("c", 3)}},
		{"any order and space", "[ {\n\"delta\" : 3 , \"type\":\"counter\",\t\"id\" :\"c\" } ]", []metric.Metric{counter("c", 3)}},
		{"two", `[{"id":"g","type":"gauge","value":0},{"id":"c","type":"counter","delta":0}]`, []metric.Metric{gauge("g", 0), counter("c", 0)}},
		{"nulls are absent", `[{"id":"g","type":"gauge","value":1,"delta":null,"labels":null,"timestamp":null}]`, []metric.Metric{gauge("g", 1)}},
		{"labels are sorted", `[{"id":"g","type":"gauge","value":1,"labels":{"b":"2","a":"1"}}]`, []metric.Metric{labelled}},
		{"empty label is no label", `[{"id":"g","type":"gauge","value":1,"labels":{"b":"2","x":"","a":"1"}}]`, []metric.Metric{labelled}},
		{"no labels", `[{"id":"g","type":"gauge","value":1,"labels":{}}]`, []metric.Metric{gauge("g", 1)}},
		{"timestamp", `[{"id":"c","type":"counter","delta":1,"timestamp":1234567890123}]`, []metric.Metric{dated}},
		{"timestamp zero is now", `[{"id":"c","type":"counter","delta":1,"timestamp":0}]`, []metric.Metric{counter("c", 1)}},
		{"largest counter", `[{"id":"c","type":"counter","delta":9223372036854775807}]`, []metric.Metric{counter("c", math.MaxInt64)}},
		{"minus zero", `[{"id":"c","type":"counter","delta":-0}]`, []metric.Metric{counter("c", 0)}},
		{"exponent", `[{"id":"g","type":"gauge","value":-1.25e-3}]`, []metric.Metric{gauge("g", -1.25e-3)}},
		{"smallest float", `[{"id":"g","type":"gauge","value":5e-324}]`, []metric.Metric{gauge("g", math.SmallestNonzeroFloat64)}},
		{"largest float", `[{"id":"g","type":"gauge","value":1.7976931348623157e308}]`, []metric.Metric{gauge("g", math.MaxFloat64)}},
		{"underflow is zero", `[{"id":"g","type":"gauge","value":1e-400}]`, []metric.Metric{gauge("g", 0)}},
		{"many digits", `[{"id":"g","type":"gauge","value":0.1000000000000000055511151231257827}]`, []metric.Metric{gauge("g", 0.1)}},
		{"escapes", `[{"id":"\"\\\/\b\f\n\r\té€😀\ud83d\ude00","type":"gauge","value":1}]`, []metric.Metric{gauge("\"\\/\b\f\n\r\té€😀😀", 1)}},
		{"escaped field name", `[{"\u0069d":"g","type":"gauge","value":1}]`, []metric.Metric{gauge("g", 1)}},
		{"the same labels again", `[{"id":"g","type":"gauge","value":1,"labels":{"b":"2","a":"1"}},{"id":"g","type":"gauge","value":1,"labels":{"b":"2","a":"1"}}]`, []metric.Metric{labelled, labelled}},
		{"labels that look the same once unescaped", `[{"id":"g","type":"gauge","value":1,"labels":{"a":"\u0041"}},{"id":"g","type":"gauge","value":1,"labels":{"a":"Au0041"}}]`, []metric.Metric{withLabel("A"), withLabel("Au0041")}},
		{"labels that start the same", `[{"id":"g","type":"gauge","value":1,"labels":{"a":"x"}},{"id":"g","type":"gauge","value":1,"labels":{"a":"xy"}}]`, []metric.Metric{withLabel("x"), withLabel("xy")}},
		{"html", `[{"id":"<script>alert(1)</script>","type":"gauge","value":1}]`, []metric.Metric{gauge("<script>alert(1)</script>", 1)}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := decode(t, tt.in)
			require.NoError(t, err)
			require.Equal(t, len(tt.want), len(got))
			for i := range got {
				require.Equal(t, tt.want[i], got[i])
			}
		})
	}
}

func TestDecodeSyntaxErrors(t *testing.T) {
	tests := []struct {
		in     string
		offset int
	}{
		{``, 0},
		{` `, 1},
		{`{}`, 0},
		{`null`, 0},
		{`[`, 1},
		{`[]]`, 2},
		{`[],`, 2},
		{`[,]`, 1},
		{`[{"id":"g","type":"gauge","value":1},]`, 37},
		{`[{"id":"g","type":"gauge","value":1}`, 36},
		{`[{"id":"g","type":"gauge","value":1}}`, 36},
		{`[{"id":"g","type":"gauge","value":1,}]`, 36},
		{`[{"id":"g" "type":"gauge"}]`, 11},
		{`[{"id" "g"}]`, 7},
		{`[{id:"g"}]`, 2},
		{`[{'id':'g'}]`, 2},
		{`[{"id":"g}]`, 11},
		{"[{\"id\":\"a\nb\"}]", 9},
		{`[{"id":"\x"}]`, 8},
		{`[{"id":"\u12"}]`, 8},
		{`[{"id":"\ud800"}]`, 8},
		{`[{"id":"\ud800\u0041"}]`, 8},
		{`[{"id":"\udc00"}]`, 8},
		{"[{\"id\":\"\xff\"}]", 8},
		{`[{"value":01}]`, 10},
		{`[{"value":1.}]`, 12},
		{`[{"value":.5}]`, 10},
		{`[{"value":+1}]`, 10},
		{`[{"value":-}]`, 11},
		{`[{"value":1e}]`, 12},
		{`[{"value":NaN}]`, 10},
		{`[{"value":Infinity}]`, 10},
		{`[{"value":0x10}]`, 11},
		{`[{"value":nul}]`, 10},
		{`[{"value":tru}]`, 10},
		{`[1 2]`, 3},
		{"\ufeff[]", 0},
		{"[]\x00", 2},
		{`[{"x":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}]`, 39},
		{`[{"x":` + strings.Repeat(`{"a":`, 40), 171},
	}
	for _, tt := range tests {
		t.Run(tt.in, func(t *testing.T) {
			_, err := decode(t, tt.in)
			var syntax *metric.SyntaxError
			require.ErrorAs(t, err, &syntax)
			require.Equal(t, tt.offset, syntax.Offset, err)
			require.False(t, !strings.HasPrefix(tt.in, "\ufeff") && json.Valid([]byte(tt.in)) && !strings.Contains(tt.in, `\ud`) &&
				!strings.Contains(tt.in, "\xff") && strings.HasPrefix(tt.in, "[") && !strings.Contains(tt.in, "[[["), "encoding/json takes it")
		})
	}
}

func TestDecodeElementErrors(t *testing.T) {
	tests := []struct{ element, reason string }{
		{`1`, "a metric must be an object, not a number"},
		{`null`, "a metric must be an object, not null"},
		{`[]`, "a metric must be an object, not an array"},
		{`"x"`, "a metric must be an object, not a string"},
		{`true`, "a metric must be an object, not a boolean"},
		{`{}`, "no type"},
		{`{"type":"gauge","value":1}`, "no id"},
		{`{"id":"","type":"gauge","value":1}`, "no id"},
		{`{"id":1,"type":"gauge","value":1}`, "id must be a string, not a number"},
		{`{"id":null,"type":"gauge","value":1}`, "id must be a string, not null"},
		{`{"id":"a\u0000b","type":"gauge","value":1}`, "NUL"},
		{`{"id":"` + strings.Repeat("x", 513) + `","type":"gauge","value":1}`, "513 bytes"},
		{`{"id":"g","value":1}`, "no type"},
		{`{"id":"g","type":"histogram","value":1}`, `unknown type "histogram": allowed are gauge, counter`},
		{`{"id":"g","type":"Gauge","value":1}`, `unknown type "Gauge"`},
		{`{"id":"g","type":"gauge"}`, "exactly a value"},
		{`{"id":"g","type":"gauge","value":null}`, "exactly a value"},
		{`{"id":"g","type":"gauge","delta":1}`, "exactly a value"},
		{`{"id":"g","type":"gauge","value":1,"delta":1}`, "exactly a value"},
		{`{"id":"c","type":"counter"}`, "exactly a delta"},
		{`{"id":"c","type":"counter","value":1}`, "exactly a delta"},
		{`{"id":"c","type":"counter","value":1,"delta":1}`, "exactly a delta"},
		{`{"id":"c","type":"counter","delta":-1}`, "can't be decreased"},
		{`{"id":"c","type":"counter","delta":1.0}`, "must be an integer"},
		{`{"id":"c","type":"counter","delta":1e3}`, "must be an integer"},
		{`{"id":"c","type":"counter","delta":"1"}`, "delta must be an integer, not a string"},
		{`{"id":"c","type":"counter","delta":9223372036854775808}`, "out of the range of an int64"},
		{`{"id":"c","type":"counter","delta":99999999999999999999999}`, "out of the range of an int64"},
		{`{"id":"g","type":"gauge","value":"1"}`, "value must be a number, not a string"},
		{`{"id":"g","type":"gauge","value":[1]}`, "value must be a number, not an array"},
		{`{"id":"g","type":"gauge","value":{"a":[1,{"b":null}]}}`, "value must be a number, not an object"},
		{`{"id":"g","type":"gauge","value":1e309}`, "out of the range of a float64"},
		{`{"id":"g","type":"gauge","value":1,"id":"h"}`, `field "id" stands twice`},
		{`{"id":"g","type":"gauge","value":1,"value":1}`, `field "value" stands twice`},
		{`{"id":"g","type":"gauge","value":1,"value":null}`, `field "value" stands twice`},
		{`{"id":"g","type":"gauge","value":1,"lables":{}}`, `unknown field "lables"`},
		{`{"id":"g","type":"gauge","value":1,"ID":"g"}`, `unknown field "ID"`},
		{`{"id":"g","type":"gauge","value":1,"labels":[]}`, "labels must be an object of strings, not an array"},
		{`{"id":"g","type":"gauge","value":1,"labels":{"a":1}}`, `label "a" must be a string, not a number`},
		{`{"id":"g","type":"gauge","value":1,"labels":{"a":null}}`, `label "a" must be a string, not null`},
		{`{"id":"g","type":"gauge","value":1,"labels":{"a":"1","a":"1"}}`, `label "a" stands twice`},
		{`{"id":"g","type":"gauge","value":1,"labels":{"":"1"}}`, `label name ""`},
		{`{"id":"g","type":"gauge","value":1,"labels":{"1a":"1"}}`, `label name "1a"`},
		{`{"id":"g","type":"gauge","value":1,"labels":{"a-b":"1"}}`, `label name "a-b"`},
		{`{"id":"g","type":"gauge","value":1,"labels":{"é":"1"}}`, `label name "é"`},
		{`{"id":"g","type":"gauge","value":1,"labels":{"__name__":"1"}}`, `label name "__name__"`},
		{`{"id":"g","type":"gauge","value":1,"labels":{"a":"\u0000"}}`, "NUL"},
		{`{"id":"g","type":"gauge","value":1,"labels":{"a":"` + strings.Repeat("x", 1025) + `"}}`, "1025 bytes"},
		{`{"id":"g","type":"gauge","value":1,"labels":{"` + strings.Repeat("x", 129) + `":"1"}}`, "129 bytes"},
		{`{"id":"g","type":"gauge","value":1,"labels":{` + manyLabels(33) + `}}`, "33 labels"},
		{`{"id":"g","type":"gauge","value":1,"timestamp":-1}`, "not negative"},
		{`{"id":"g","type":"gauge","value":1,"timestamp":"now"}`, "timestamp must be an integer, not a string"},
		{`{"id":"g","type":"gauge","value":1,"timestamp":1.5}`, "must be an integer"},
		{fmt.Sprintf(`{"id":"g","type":"gauge","value":1,"timestamp":%d}`, int64(now+10*60*1000+1)), "more than 10 minutes ahead"},
	}
	const good = `{"id":"ok","type":"counter","delta":1}`
	for _, tt := range tests {
		t.Run(tt.element, func(t *testing.T) {
			_, err := decode(t, "["+good+","+tt.element+","+good+","+tt.element+"]")
			var invalid *metric.InvalidError
			require.ErrorAs(t, err, &invalid)
			require.Equal(t, 2, invalid.Count)
			require.Len(t, invalid.Elements, 2)
			require.Equal(t, 1, invalid.Elements[0].Index)
			require.Equal(t, 3, invalid.Elements[1].Index)
			require.Contains(t, invalid.Elements[0].Reason, tt.reason)

			var b metric.Batch
			require.Error(t, b.DecodeOne([]byte(tt.element), &limits, now))
		})
	}
}

func manyLabels(n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `"l%d":"x"`, i)
	}
	return b.String()
}

func TestDecodeListsTheFirstTwenty(t *testing.T) {
	_, err := decode(t, "["+strings.Repeat("1,", 30)+"1]")
	var invalid *metric.InvalidError
	require.ErrorAs(t, err, &invalid)
	require.Equal(t, 31, invalid.Count)
	require.Len(t, invalid.Elements, metric.MaxElementErrors)
}

func TestDecodeTooMany(t *testing.T) {
	lim := limits
	lim.Metrics = 2
	var b metric.Batch
	one := `{"id":"c","type":"counter","delta":1}`
	require.NoError(t, b.DecodeArray([]byte("["+one+","+one+"]"), &lim, now))
	err := b.DecodeArray([]byte("["+one+","+one+","+one+"]"), &lim, now)
	require.ErrorIs(t, err, metric.ErrTooMany)
}

func TestDecodeQuery(t *testing.T) {
	m, err := metric.DecodeQuery([]byte(`{"id":"g","type":"gauge","labels":{"b":"","a":"1"}}`), &limits)
	require.NoError(t, err)
	require.Equal(t, metric.Metric{Kind: metric.Gauge, Name: "g", Labels: metric.Labels{{Name: "a", Value: "1"}, {Name: "b", Value: ""}}}, m)

	for _, in := range []string{``, `{}`, `{"id":"g"}`, `{"type":"gauge"}`, `{"id":"g","type":"x"}`, `[]`, `{"id":"g","type":"gauge"} x`} {
		_, err := metric.DecodeQuery([]byte(in), &limits)
		require.Error(t, err, in)
	}
}

// FuzzDecode holds the decoder to encoding/json: what it accepts, encoding/json
// accepts with the same content, and what it writes it reads back.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`[{"id":"g","type":"gauge","value":1.5,"labels":{"a":"b"},"timestamp":1795454731960}]`))
	f.Add([]byte(`[{"id":"c\n\ud83d\ude00","type":"counter","delta":9223372036854775807},{}]`))
	f.Add([]byte(`[{"id":"g","type":"gauge","value":-0.1e-7,"delta":null}]`))
	f.Add([]byte("[{\"x\":[[[{\"y\":1e999}]]],\"id\":\"\xff\"}]"))
	f.Fuzz(func(t *testing.T, in []byte) {
		var b metric.Batch
		if err := b.DecodeArray(append([]byte(nil), in...), &limits, now); err != nil {
			var syntax *metric.SyntaxError
			var invalid *metric.InvalidError
			if !errors.As(err, &syntax) && !errors.As(err, &invalid) && !errors.Is(err, metric.ErrTooMany) {
				t.Fatalf("untyped error %v", err)
			}
			if errors.As(err, &syntax) && (syntax.Offset < 0 || syntax.Offset > len(in)) {
				t.Fatalf("offset %d of %d bytes", syntax.Offset, len(in))
			}
			return
		}
		var want []request.Metric
		if err := json.Unmarshal(in, &want); err != nil {
			t.Fatalf("accepted what encoding/json refuses: %v", err)
		}
		if len(want) != len(b.Metrics) {
			t.Fatalf("%d metrics instead of %d", len(b.Metrics), len(want))
		}
		for i := range want {
			requireSame(t, &want[i], &b.Metrics[i])
		}
		again := metric.AppendJSONArray(nil, b.Metrics)
		var b2 metric.Batch
		if err := b2.DecodeArray(append([]byte(nil), again...), &limits, now); err != nil {
			t.Fatalf("does not read back %s: %v", again, err)
		}
		if got := metric.AppendJSONArray(nil, b2.Metrics); string(got) != string(again) {
			t.Fatalf("reads back as\n%s instead of\n%s", got, again)
		}
	})
}

func requireSame(t *testing.T, want *request.Metric, got *metric.Metric) {
	t.Helper()
	if want.ID != got.Name || want.Type != got.Kind.String() {
		t.Fatalf("%v instead of %v", got, want)
	}
	if got.Kind == metric.Gauge && *want.Value != got.Value || got.Kind == metric.Counter && *want.Delta != got.Delta {
		t.Fatalf("%v instead of %v", got, want)
	}
	n := 0
	for name, value := range want.Labels {
		if got.Labels.Get(name) != value {
			t.Fatalf("label %q is %q instead of %q", name, got.Labels.Get(name), value)
		}
		if value != "" {
			n++
		}
	}
	if n != len(got.Labels) {
		t.Fatalf("labels %v instead of %v", got.Labels, want.Labels)
	}
}
