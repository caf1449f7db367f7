package router_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/gometheus/gometheus/internal/common/metric"
	"github.com/gometheus/gometheus/internal/server/storage"
	"github.com/gometheus/gometheus/internal/server/storage/memory"
	"github.com/gometheus/gometheus/pkg/response"
)

// malformed is one request that must be refused.
type malformed struct {
	name   string
	method string
	target string // path and query, verbatim
	header []string
	body   string
	status int
	says   string // stands in the problem's detail or in the reason of an element
}

// refused is a malformed body of POST /updates.
func refused(name, body, says string) malformed {
	return malformed{name, http.MethodPost, "/updates", nil, body, 400, says}
}

// element is a malformed metric, in a batch behind a good one.
func element(name, body, says string) malformed {
	return refused(name, `[{"id":"good","type":"counter","delta":1},`+body+`]`, says)
}

// gauge and counter are elements with a malformed field.
func gauge(name, value, says string) malformed {
	return element("value "+name, `{"id":"x","type":"gauge","value":`+value+`}`, says)
}

func counter(name, delta, says string) malformed {
	return element("delta "+name, `{"id":"x","type":"counter","delta":`+delta+`}`, says)
}

func labels(name, set, says string) malformed {
	return element("labels "+name, `{"id":"x","type":"gauge","value":1,"labels":`+set+`}`, says)
}

func stamped(name, timestamp, says string) malformed {
	return element("timestamp "+name, `{"id":"x","type":"gauge","value":1,"timestamp":`+timestamp+`}`, says)
}

// encoded is a body of POST /updates with a Content-Encoding.
func encoded(name, encoding, body string, status int, says string) malformed {
	return malformed{name, http.MethodPost, "/updates", []string{"Content-Encoding", encoding}, body, status, says}
}

const goodBatch = `[{"id":"x","type":"counter","delta":1},{"id":"y","type":"gauge","value":-1.5e+3,"labels":{"a":"\u00e4"},"timestamp":1700000000000}]`

func syntaxCorpus() []malformed {
	const unexpected = "unexpected end"
	utf16le := func(s string) string {
		var b []byte
		for _, u := range utf16.Encode([]rune(s)) {
			b = binary.LittleEndian.AppendUint16(b, u)
		}
		return string(b)
	}
	deep := func(open, shut string, n int) string { return strings.Repeat(open, n) + strings.Repeat(shut, n) }
	return []malformed{
		refused("nothing", "", unexpected),
		refused("white space", " \t\r\n", unexpected),
		refused("null", "null", "array of metrics"),
		refused("a string", `"[]"`, "array of metrics"),
		refused("a number", "1", "array of metrics"),
		refused("an object instead of an array", `{"id":"x","type":"gauge","value":1}`, "array of metrics"),
		refused("XML", "<metrics/>", "array of metrics"),
		refused("a form", "id=x&type=gauge&value=1", "array of metrics"),
		refused("lines of JSON", `{"id":"x","type":"gauge","value":1}`+"\n"+`{"id":"y","type":"gauge","value":1}`, "array of metrics"),
		refused("a byte order mark", "\ufeff[]", "array of metrics"),
		refused("UTF-16", utf16le("[]"), "at byte 1"),
		refused("UTF-16 with its mark", "\xff\xfe"+utf16le("[]"), "invalid UTF-8"),
		refused("a comment", "/**/[]", "array of metrics"),
		refused("a comment behind", "[]//", "something follows"),
		refused("garbage behind", goodBatch+"x", "something follows"),
		refused("a second array", goodBatch+goodBatch, "something follows"),
		refused("a comma behind", goodBatch+",", "something follows"),
		refused("a NUL behind", goodBatch+"\x00", "something follows"),
		refused("a bracket behind", goodBatch+"]", "something follows"),
		refused("a form feed as white space", "\f[]", "array of metrics"),
		refused("a no-break space", "\u00a0[]", "array of metrics"),
		refused("only a comma", "[,]", "a value"),
		refused("a comma at the end of the array", `[{"id":"x","type":"counter","delta":1},]`, "a value"),
		refused("two commas", `[{"id":"x","type":"counter","delta":1},,{"id":"x","type":"counter","delta":1}]`, "a value"),
		refused("no comma between metrics", `[{"id":"x","type":"counter","delta":1}{"id":"x","type":"counter","delta":1}]`, "',' or ']'"),
		refused("a wrong bracket", `[{"id":"x","type":"counter","delta":1}}`, "',' or ']'"),
		refused("a comma at the end of a metric", `[{"id":"x","type":"counter","delta":1,}]`, "field name"),
		refused("no comma between fields", `[{"id":"x" "type":"counter","delta":1}]`, "',' or '}'"),
		refused("a semicolon between fields", `[{"id":"x";"type":"counter","delta":1}]`, "',' or '}'"),
		refused("no colon", `[{"id" "x","type":"counter","delta":1}]`, "':'"),
		refused("an equals sign", `[{"id"="x","type":"counter","delta":1}]`, "':'"),
		refused("no value", `[{"id":,"type":"counter","delta":1}]`, "a value"),
		refused("a field without a name", `[{:"x","type":"counter","delta":1}]`, "field name"),
		refused("a field name without quotes", `[{id:"x","type":"counter","delta":1}]`, "field name"),
		refused("a field name in single quotes", `[{'id':"x","type":"counter","delta":1}]`, "field name"),
		refused("a string in single quotes", `[{"id":'x',"type":"counter","delta":1}]`, "a value"),
		refused("a string in back quotes", "[{\"id\":`x`,\"type\":\"counter\",\"delta\":1}]", "a value"),
		refused("True", `[{"id":True,"type":"counter","delta":1}]`, "a value"),
		refused("half a literal", `[{"id":"x","type":"counter","delta":1,"value":nul}]`, "null"),
		refused("undefined", `[{"id":"x","type":"counter","delta":undefined}]`, "a value"),

		refused("brackets 100,000 deep", strings.Repeat("[", 100_000), "nested too deep"),
		refused("closed brackets 1,000 deep", deep("[", "]", 1000), "nested too deep"),
		refused("braces 100,000 deep", "["+strings.Repeat(`{"a":`, 100_000), "nested too deep"),
		element("an unknown field 1,000 deep", `{"x":`+deep("[", "]", 1000)+`}`, "nested too deep"),
		element("labels 1,000 deep", `{"id":"x","type":"gauge","value":1,"labels":`+deep(`{"a":`, "}", 1000)+`}`, "nested too deep"),
		element("a value 1,000 deep", `{"id":"x","type":"gauge","value":`+deep("[", "]", 1000)+`}`, "nested too deep"),

		refused("an unknown escape", `[{"id":"\x41","type":"counter","delta":1}]`, "unknown escape"),
		refused("an escaped single quote", `[{"id":"\'","type":"counter","delta":1}]`, "unknown escape"),
		refused("a short \\u", `[{"id":"\u12","type":"counter","delta":1}]`, "escape"),
		refused("a \\u that is not hexadecimal", `[{"id":"\u12g4","type":"counter","delta":1}]`, "escape"),
		refused("\\U", `[{"id":"\U00000041","type":"counter","delta":1}]`, "unknown escape"),
		refused("a lone high surrogate", `[{"id":"\ud83d","type":"counter","delta":1}]`, "lone surrogate"),
		refused("a lone low surrogate", `[{"id":"\ude00","type":"counter","delta":1}]`, "lone surrogate"),
		refused("two high surrogates", `[{"id":"\ud83d\ud83d","type":"counter","delta":1}]`, "lone surrogate"),
		refused("a high surrogate and a letter", `[{"id":"\ud83d\u0041","type":"counter","delta":1}]`, "lone surrogate"),
		refused("a lone surrogate in a field name", `[{"\ud800":1,"id":"x","type":"counter","delta":1}]`, "lone surrogate"),
		refused("a newline in a string", "[{\"id\":\"a\nb\",\"type\":\"counter\",\"delta\":1}]", "control character"),
		refused("a tab in a string", "[{\"id\":\"a\tb\",\"type\":\"counter\",\"delta\":1}]", "control character"),
		refused("a NUL in a string", "[{\"id\":\"a\x00b\",\"type\":\"counter\",\"delta\":1}]", "control character"),
		refused("a control character behind an escape", "[{\"id\":\"\\n\x01\",\"type\":\"counter\",\"delta\":1}]", "control character"),
		refused("a backslash at the end", `[{"id":"\`, unexpected),

		refused("a byte that is not UTF-8", "[{\"id\":\"\xff\",\"type\":\"counter\",\"delta\":1}]", "invalid UTF-8"),
		refused("an overlong NUL", "[{\"id\":\"\xc0\x80\",\"type\":\"counter\",\"delta\":1}]", "invalid UTF-8"),
		refused("a surrogate in UTF-8", "[{\"id\":\"\xed\xa0\x80\",\"type\":\"counter\",\"delta\":1}]", "invalid UTF-8"),
		refused("beyond U+10FFFF", "[{\"id\":\"\xf4\x90\x80\x80\",\"type\":\"counter\",\"delta\":1}]", "invalid UTF-8"),
		refused("half a character", "[{\"id\":\"\xe2\x82\",\"type\":\"counter\",\"delta\":1}]", "invalid UTF-8"),
		refused("a lone continuation byte", "[{\"id\":\"\x80\",\"type\":\"counter\",\"delta\":1}]", "invalid UTF-8"),
		refused("Latin-1 in a label value", "[{\"id\":\"x\",\"type\":\"counter\",\"delta\":1,\"labels\":{\"a\":\"\xe4\"}}]", "invalid UTF-8"),
		refused("not UTF-8 in a label name", "[{\"id\":\"x\",\"type\":\"counter\",\"delta\":1,\"labels\":{\"\xe4\":\"a\"}}]", "invalid UTF-8"),
		refused("not UTF-8 behind the array", goodBatch+"\xff", "invalid UTF-8"),
		refused("not UTF-8 between the tokens", "[\xff]", "invalid UTF-8"),
	}
}

func elementCorpus() []malformed {
	const grammar = "expected"
	ahead := func(d time.Duration) string { return fmt.Sprint(time.Now().Add(d).UnixMilli()) }
	many := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `,"l%d":"v"`, i)
		}
		return "{" + b.String()[1:] + "}"
	}
	return []malformed{
		element("instead of a metric: a number", `1`, "must be an object, not a number"),
		element("instead of a metric: a string", `"x"`, "must be an object, not a string"),
		element("instead of a metric: null", `null`, "must be an object, not null"),
		element("instead of a metric: a boolean", `true`, "must be an object, not a boolean"),
		element("instead of a metric: an array", `[]`, "must be an object, not an array"),
		element("instead of a metric: an empty object", `{}`, "no type"),

		gauge("with a leading zero", "01", grammar),
		gauge("only a minus", "-", grammar),
		gauge("with a plus", "+1", grammar),
		gauge("without a digit before the point", ".5", grammar),
		gauge("without a digit behind the point", "1.", grammar),
		gauge("with an empty exponent", "1e", grammar),
		gauge("with a sign for an exponent", "1e+", grammar),
		gauge("with two minuses", "--1", grammar),
		gauge("with two points", "1.5.5", grammar),
		gauge("hexadecimal", "0x10", grammar),
		gauge("with underscores", "1_000", grammar),
		gauge("with a decimal comma", "1,5", "field name"),
		gauge("with a space", "1 000", grammar),
		gauge("in full-width digits", "１", grammar),
		gauge("NaN", "NaN", grammar),
		gauge("nan", "nan", "null"),
		gauge("Infinity", "Infinity", grammar),
		gauge("-Infinity", "-Infinity", grammar),
		gauge("inf", "inf", grammar),
		gauge("NaN in quotes", `"NaN"`, "value must be a number, not a string"),
		gauge("+Inf in quotes", `"+Inf"`, "value must be a number, not a string"),
		gauge("in quotes", `"1.5"`, "value must be a number, not a string"),
		gauge("beyond float64", "1e309", "out of the range"),
		gauge("below float64", "-1e309", "out of the range"),
		gauge("with a huge exponent", "1e99999999999999999999", "out of the range"),
		gauge("of 400 digits", strings.Repeat("9", 400), "out of the range"),
		gauge("a boolean", "true", "value must be a number, not a boolean"),
		gauge("null", "null", "exactly a value"),
		gauge("an array", "[1]", "value must be a number, not an array"),
		gauge("an object", "{}", "value must be a number, not an object"),

		counter("negative", "-1", "can't be decreased"),
		counter("the lowest int64", "-9223372036854775808", "can't be decreased"),
		counter("above int64", "9223372036854775808", "out of the range"),
		counter("below int64", "-9223372036854775809", "out of the range"),
		counter("of 40 digits", strings.Repeat("9", 40), "out of the range"),
		counter("with a fraction", "1.5", "must be an integer"),
		counter("with a point", "1.0", "must be an integer"),
		counter("with an exponent", "1e3", "must be an integer"),
		counter("in quotes", `"1"`, "delta must be an integer, not a string"),
		counter("a boolean", "false", "delta must be an integer, not a boolean"),
		counter("null", "null", "exactly a delta"),
		counter("an array", "[1]", "delta must be an integer, not an array"),
		counter("an object", `{"a":1}`, "delta must be an integer, not an object"),
		counter("with a leading zero", "007", grammar),

		element("no id", `{"type":"gauge","value":1}`, "no id"),
		element("an empty id", `{"id":"","type":"gauge","value":1}`, "no id"),
		element("id null", `{"id":null,"type":"gauge","value":1}`, "id must be a string, not null"),
		element("id a number", `{"id":7,"type":"gauge","value":1}`, "id must be a string, not a number"),
		element("id an array", `{"id":["x"],"type":"gauge","value":1}`, "id must be a string, not an array"),
		element("a NUL in the id", `{"id":"a\u0000b","type":"gauge","value":1}`, "NUL"),
		element("an id of 513 bytes", `{"id":"`+strings.Repeat("x", 513)+`","type":"gauge","value":1}`, "at most 512"),
		element("an id of 257 characters of 2 bytes", `{"id":"`+strings.Repeat("ä", 257)+`","type":"gauge","value":1}`, "at most 512"),
		element("no type", `{"id":"x","value":1}`, "no type"),
		element("an unknown type", `{"id":"x","type":"histogram","value":1}`, "unknown type"),
		element("a type in capitals", `{"id":"x","type":"Gauge","value":1}`, "unknown type"),
		element("a type with a space", `{"id":"x","type":"gauge ","value":1}`, "unknown type"),
		element("an empty type", `{"id":"x","type":"","value":1}`, "unknown type"),
		element("a type with a NUL", `{"id":"x","type":"gauge\u0000","value":1}`, "unknown type"),
		element("type null", `{"id":"x","type":null,"value":1}`, "type must be a string, not null"),
		element("type a number", `{"id":"x","type":1,"value":1}`, "type must be a string, not a number"),
		element("a gauge without value", `{"id":"x","type":"gauge"}`, "exactly a value"),
		element("a counter without delta", `{"id":"x","type":"counter"}`, "exactly a delta"),
		element("a gauge with delta", `{"id":"x","type":"gauge","delta":1}`, "exactly a value"),
		element("a counter with value", `{"id":"x","type":"counter","value":1}`, "exactly a delta"),
		element("a gauge with both", `{"id":"x","type":"gauge","value":1,"delta":1}`, "exactly a value"),
		element("a counter with both", `{"id":"x","type":"counter","value":1,"delta":1}`, "exactly a delta"),
		element("two ids", `{"id":"x","id":"x","type":"gauge","value":1}`, "stands twice"),
		element("two types", `{"id":"x","type":"gauge","type":"gauge","value":1}`, "stands twice"),
		element("two values", `{"id":"x","type":"gauge","value":1,"value":1}`, "stands twice"),
		element("two values, the first null", `{"id":"x","type":"gauge","value":null,"value":1}`, "stands twice"),
		element("two deltas", `{"id":"x","type":"counter","delta":1,"delta":1}`, "stands twice"),
		element("two label sets", `{"id":"x","type":"counter","delta":1,"labels":{"a":"1"},"labels":{"b":"1"}}`, "stands twice"),
		element("two timestamps", `{"id":"x","type":"counter","delta":1,"timestamp":1,"timestamp":1}`, "stands twice"),
		element("a field twice, once escaped", `{"id":"x","type":"counter","delta":1,"\u0064elta":1}`, "stands twice"),
		element("an unknown field", `{"id":"x","type":"gauge","value":1,"unit":"s"}`, "unknown field"),
		element("an unknown field of another type", `{"id":"x","type":"gauge","value":1,"unit":{"a":[1,2]}}`, "unknown field"),
		element("a field in capitals", `{"ID":"x","type":"gauge","value":1}`, "unknown field"),
		element("a field with an empty name", `{"":1,"id":"x","type":"gauge","value":1}`, "unknown field"),

		labels("an array", `["a","b"]`, "object of strings, not an array"),
		labels("a string", `"a=b"`, "object of strings, not a string"),
		labels("a number", `1`, "object of strings, not a number"),
		labels("with a number", `{"a":1}`, "must be a string, not a number"),
		labels("with null", `{"a":null}`, "must be a string, not null"),
		labels("with a boolean", `{"a":true}`, "must be a string, not a boolean"),
		labels("with an object", `{"a":{"b":"c"}}`, "must be a string, not an object"),
		labels("with a name twice", `{"a":"1","a":"2"}`, "stands twice"),
		labels("with a name twice, once empty", `{"a":"1","a":""}`, "stands twice"),
		labels("with an empty name", `{"":"1"}`, "label name"),
		labels("starting with a digit", `{"9a":"1"}`, "label name"),
		labels("with a dash", `{"a-b":"1"}`, "label name"),
		labels("with a dot", `{"a.b":"1"}`, "label name"),
		labels("with a space", `{"a b":"1"}`, "label name"),
		labels("with an umlaut", `{"ä":"1"}`, "label name"),
		labels("with a NUL in the name", `{"a\u0000":"1"}`, "label name"),
		labels("with a NUL in the value", `{"a":"\u0000"}`, "NUL"),
		labels("of the query engine", `{"__name__":"y"}`, "label name"),
		labels("with a bad name and an empty value", `{"9a":""}`, "label name"),
		labels("of the query engine and an empty value", `{"__name__":""}`, "label name"),
		labels("with a name of 129 bytes", `{"`+strings.Repeat("a", 129)+`":"1"}`, "at most 128"),
		labels("with a value of 1,025 bytes", `{"a":"`+strings.Repeat("a", 1025)+`"}`, "at most 1024"),
		labels("33", many(33), "at most 32"),
		labels("with a comma behind", `{"a":"1",}`, "field name"),
		labels("without a colon", `{"a"}`, "':'"),

		stamped("negative", "-1", "not negative"),
		stamped("the lowest", "-9223372036854775808", "not negative"),
		stamped("with a fraction", "1700000000000.5", "must be an integer"),
		stamped("with an exponent", "1.7e12", "must be an integer"),
		stamped("beyond int64", "9223372036854775808", "out of the range"),
		stamped("the highest", "9223372036854775807", "10 minutes ahead"),
		stamped("11 minutes ahead", ahead(11*time.Minute), "10 minutes ahead"),
		stamped("in nanoseconds", fmt.Sprint(time.Now().UnixNano()), "10 minutes ahead"),
		stamped("in quotes", `"1700000000000"`, "must be an integer, not a string"),
		stamped("of RFC 3339", `"2026-01-01T00:00:00Z"`, "must be an integer, not a string"),
		stamped("a boolean", `true`, "must be an integer, not a boolean"),

		refused("a counter overflowing within the batch", `[{"id":"new","type":"counter","delta":9223372036854775807},{"id":"new","type":"counter","delta":1}]`, "would exceed"),
		refused("three increments overflowing together", `[{"id":"new","type":"counter","delta":4611686018427387904},{"id":"new","type":"counter","delta":4611686018427387903},{"id":"new","type":"counter","delta":1}]`, "would exceed"),
		refused("a counter overflowing what is stored", `[{"id":"good","type":"counter","delta":1},{"id":"full","type":"counter","delta":11}]`, "would exceed"),
		refused("a counter overflowing with labels in another order", `[{"id":"full","type":"counter","delta":9223372036854775807,"labels":{"b":"2","a":"1"}},{"id":"full","type":"counter","delta":1,"labels":{"a":"1","b":"2"}}]`, "would exceed"),
		refused("an overflow beside a newer gauge", `[{"id":"g","type":"gauge","value":9},{"id":"full","type":"counter","delta":11}]`, "would exceed"),

		{"one: nothing", "POST", "/update", nil, "", 400, "unexpected end"},
		{"one: an array", "POST", "/update/", nil, goodBatch, 400, "must be an object, not an array"},
		{"one: null", "POST", "/update", nil, "null", 400, "must be an object, not null"},
		{"one: two objects", "POST", "/update", nil, `{"id":"x","type":"gauge","value":1}{"id":"x","type":"gauge","value":1}`, 400, "something follows"},
		{"one: negative", "POST", "/update/", nil, `{"id":"x","type":"counter","delta":-1}`, 400, "can't be decreased"},
		{"one: overflow", "POST", "/update/", nil, `{"id":"full","type":"counter","delta":11}`, 400, "would exceed"},
		{"one: truncated", "POST", "/update", nil, `{"id":"x","type":"gauge","value":1`, 400, "',' or '}'"},

		{"question: nothing", "POST", "/value", nil, "", 400, "unexpected end"},
		{"question: an array", "POST", "/value/", nil, `[{"id":"g","type":"gauge"}]`, 400, "must be an object, not an array"},
		{"question: no type", "POST", "/value", nil, `{"id":"g"}`, 400, "no type"},
		{"question: no id", "POST", "/value", nil, `{"type":"gauge"}`, 400, "no id"},
		{"question: unknown type", "POST", "/value", nil, `{"id":"g","type":"x"}`, 400, "unknown type"},
		{"question: unknown field", "POST", "/value", nil, `{"id":"g","type":"gauge","name":"g"}`, 400, "unknown field"},
		{"question: label with a bad name", "POST", "/value", nil, `{"id":"g","type":"gauge","labels":{"a-b":"1"}}`, 400, "label name"},
		{"question: label twice", "POST", "/value", nil, `{"id":"g","type":"gauge","labels":{"a":"1","a":"1"}}`, 400, "stands twice"},
		{"question: 33 labels", "POST", "/value", nil, `{"id":"g","type":"gauge","labels":` + many(33) + `}`, 400, "at most 32"},
		{"question: garbage behind", "POST", "/value/", nil, `{"id":"g","type":"gauge"}]`, 400, "something follows"},
		{"question: not UTF-8", "POST", "/value", nil, "{\"id\":\"\xff\",\"type\":\"gauge\"}", 400, "invalid UTF-8"},
		{"question: unknown metric", "POST", "/value", nil, `{"id":"nope","type":"gauge"}`, 404, "no such metric"},
		{"question: the other kind", "POST", "/value/", nil, `{"id":"g","type":"counter"}`, 404, "no such metric"},
		{"question: other labels", "POST", "/value/", nil, `{"id":"c","type":"counter","labels":{"a":"2"}}`, 404, "no such metric"},
	}
}

func encodingCorpus(t testing.TB) []malformed {
	t.Helper()
	zipped, packed := gz(goodBatch), zs(goodBatch)
	change := func(s string, at int, b byte) string {
		c := []byte(s)
		c[(at+len(c))%len(c)] ^= b
		return string(c)
	}
	noise := make([]byte, 8<<20)
	rng := rand.NewChaCha8([32]byte{1})
	rng.Read(noise) //nolint:errcheck // never fails
	tooMany := "[" + strings.Repeat(`{"id":"x","type":"counter","delta":1},`, 100_000) + `{"id":"x","type":"counter","delta":1}]`
	spaces := func(n int) io.Reader { return io.LimitReader(spaceReader{}, int64(n)) }
	const limit, plain = 8 << 20, 32 << 20
	gzipBomb, zstdBomb := gzipOf(spaces(plain+1)), zstdOf(spaces(plain+1))
	cases := []malformed{
		encoded("gzip: nothing", "gzip", "", 400, "ends too early"),
		encoded("gzip: plain JSON", "gzip", goodBatch, 400, "not valid gzip"),
		encoded("gzip: of nothing", "gzip", gz(""), 400, "unexpected end"),
		encoded("gzip: zstd inside the header", "gzip", packed, 400, "not valid gzip"),
		encoded("gzip: wrong magic", "gzip", change(zipped, 0, 1), 400, "not valid gzip"),
		encoded("gzip: wrong method", "gzip", change(zipped, 2, 1), 400, "not valid gzip"),
		encoded("gzip: a wrong block", "gzip", zipped[:10]+"\xff\xff\xff\xff"+zipped[10:], 400, "not valid gzip"),
		encoded("gzip: wrong checksum", "gzip", change(zipped, -5, 0x40), 400, "not valid gzip"),
		encoded("gzip: wrong length", "gzip", change(zipped, -1, 1), 400, "not valid gzip"),
		encoded("gzip: no trailer", "gzip", zipped[:len(zipped)-8], 400, "ends too early"),
		encoded("gzip: half a trailer", "gzip", zipped[:len(zipped)-4], 400, "ends too early"),
		encoded("gzip: garbage behind", "gzip", zipped+"garbage that follows", 400, "not valid gzip"),
		encoded("gzip: a byte behind", "gzip", zipped+"x", 400, "ends too early"),
		encoded("gzip: zeros behind", "gzip", zipped+strings.Repeat("\x00", 512), 400, "not valid gzip"),
		encoded("gzip: garbage inside the JSON's end", "gzip", gz(goodBatch+"x"), 400, "something follows"),
		encoded("gzip: two batches in two members", "gzip", zipped+zipped, 400, "something follows"),
		encoded("gzip: twice", "gzip", gz(zipped), 400, "invalid UTF-8"),
		encoded("gzip: malformed JSON", "gzip", gz(`[{"id":"x"`), 400, "',' or '}'"),
		encoded("zstd: nothing", "zstd", "", 400, "unexpected end"),
		encoded("zstd: plain JSON", "zstd", goodBatch, 400, "not valid zstd"),
		encoded("zstd: of nothing", "zstd", zs(""), 400, "unexpected end"),
		encoded("zstd: gzip", "zstd", zipped, 400, "not valid zstd"),
		encoded("zstd: wrong magic", "zstd", change(packed, 0, 1), 400, "not valid zstd"),
		encoded("zstd: wrong checksum", "zstd", change(packed, -1, 1), 400, "not valid zstd"),
		encoded("zstd: truncated", "zstd", packed[:len(packed)-6], 400, "ends too early"),
		encoded("zstd: garbage behind", "zstd", packed+"garbage that follows", 400, "not valid zstd"),
		encoded("zstd: two batches in two frames", "zstd", packed+packed, 400, "something follows"),
		encoded("zstd: a window of 3 TB", "zstd", "\x28\xb5\x2f\xfd\x00\xff\x01\x00\x00", 400, "not valid zstd"),
		encoded("zstd: twice", "zstd", zs(packed), 400, "invalid UTF-8"),
		encoded("gzip declared as zstd and gzip", "gzip, zstd", zipped, 415, "allowed are gzip, zstd"),
		encoded("gzip declared twice", "gzip, gzip", gz(zipped), 415, "allowed are gzip, zstd"),
		encoded("deflate", "deflate", zipped, 415, "allowed are gzip, zstd"),
		encoded("br", "br", goodBatch, 415, "allowed are gzip, zstd"),
		encoded("an unknown encoding", "x-rot13", goodBatch, 415, "allowed are gzip, zstd"),
		encoded("an encoding with a quality", "gzip;q=1", zipped, 415, "allowed are gzip, zstd"),
		encoded("any encoding", "*", goodBatch, 415, "allowed are gzip, zstd"),
		{"two encoding headers", "POST", "/updates", []string{"Content-Encoding", "gzip", "Content-Encoding", "gzip"}, gz(zipped), 415, "allowed are gzip, zstd"},
		{"two encoding headers, identity first", "POST", "/updates", []string{"Content-Encoding", "identity", "Content-Encoding", "gzip"}, zipped, 415, "allowed are gzip, zstd"},
		{"gzip without saying so", "POST", "/updates", nil, zipped, 400, "invalid UTF-8"},
		{"br to a path", "POST", "/update/gauge/x/1", []string{"Content-Encoding", "br"}, "", 415, "allowed are gzip, zstd"},
		{"br to /value", "POST", "/value", []string{"Content-Encoding", "br"}, `{"id":"g","type":"gauge"}`, 415, "allowed are gzip, zstd"},
		{"broken gzip to /value", "POST", "/value/", []string{"Content-Encoding", "gzip"}, "x", 400, "ends too early"},

		{"a body over the limit", "POST", "/updates", nil, "[" + strings.Repeat(" ", limit-1) + "]", 413, "larger than 8388608 bytes"},
		{"one metric over the limit", "POST", "/update/", nil, "{" + strings.Repeat(" ", limit), 413, "larger than 8388608 bytes"},
		{"a question over the limit", "POST", "/value", nil, "{" + strings.Repeat(" ", limit), 413, "larger than 8388608 bytes"},
		encoded("gzip: over the limit on the wire", "gzip", gz("["+string(noise)), 413, "larger than 8388608 bytes"),
		encoded("zstd: over the limit on the wire", "zstd", zs("["+string(noise)), 413, "larger than 8388608 bytes"),
		encoded("gzip: a bomb", "gzip", gzipBomb, 413, "larger than 33554432 bytes"),
		encoded("gzip: a bomb of 1 GB in many members", "gzip", strings.Repeat(gzipOf(spaces(1<<20)), 1024), 413, "larger than 33554432 bytes"),
		encoded("zstd: a bomb", "zstd", zstdBomb, 413, "larger than 33554432 bytes"),
		encoded("zstd: a bomb of 1 GB in many frames", "zstd", strings.Repeat(zstdOf(spaces(1<<20)), 1024), 413, "larger than 33554432 bytes"),
		{"a question as a bomb", "POST", "/value/", []string{"Content-Encoding", "gzip"}, gzipBomb, 413, "larger than 33554432 bytes"},
		{"one metric as a bomb", "POST", "/update", []string{"Content-Encoding", "zstd"}, zstdBomb, 413, "larger than 33554432 bytes"},
		{"too many metrics", "POST", "/updates", nil, tooMany, 413, "at most 100000"},
		encoded("too many metrics in gzip", "gzip", gz(tooMany), 413, "at most 100000"),
		{"too many of nothing", "POST", "/updates/", nil, "[" + strings.Repeat("{},", 100_000) + "{}]", 413, "at most 100000"},
	}
	// Every way of ending too early.
	for n := range len(goodBatch) {
		cases = append(cases, refused(fmt.Sprintf("cut at byte %d", n), goodBatch[:n], "invalid JSON at byte"))
	}
	for n := range len(zipped) {
		cases = append(cases, encoded(fmt.Sprintf("gzip cut at byte %d", n), "gzip", zipped[:n], 400, "ends too early"))
	}
	for n := 1; n < len(packed); n++ {
		cases = append(cases, encoded(fmt.Sprintf("zstd cut at byte %d", n), "zstd", packed[:n], 400, "the body"))
	}
	return cases
}

func pathCorpus() []malformed {
	row := func(name, method, target string, status int, says string) malformed {
		return malformed{"path: " + name, method, target, nil, "", status, says}
	}
	long := func(n int) string { return strings.Repeat("x", n) }
	many := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "&l%d=v", i)
		}
		return b.String()[1:]
	}
	return []malformed{
		row("unknown path", "GET", "/nope", 404, "no such path"),
		row("unknown path, POST", "POST", "/nope", 404, "no such path"),
		row("unknown path with a known beginning", "GET", "/pingpong", 404, "no such path"),
		row("a path in capitals", "GET", "/PING", 404, "no such path"),
		row("an escaped letter in the route", "POST", "/%75pdate/gauge/x/1", 404, "no such path"),
		row("an escaped slash for a slash", "POST", "/update%2Fgauge%2Fx%2F1", 404, "no such path"),
		row("two slashes in front", "POST", "//update/gauge/x/1", 404, "no such path"),
		row("dots in the path", "POST", "/../update/gauge/x/1", 404, "no such path"),
		row("a path of 20,000 bytes", "GET", "/"+long(20_000), 404, "no such path"),
		row("an unknown file", "GET", "/static/nope.css", 404, ""),
		row("a file outside", "GET", "/static/../page.html", 404, ""),
		row("unknown method on an unknown path", "BREW", "/nope", 404, "no such path"),

		row("no kind", "POST", "/update//x/1", 400, "unknown type"),
		row("no kind, no name", "POST", "/update//", 404, "no name"),
		row("kind only", "POST", "/update/gauge", 404, "no name"),
		row("kind and slash", "POST", "/update/gauge/", 404, "no name"),
		row("no name", "POST", "/update/gauge//1", 404, "no name"),
		row("no name, unknown kind", "POST", "/update/unknown//1", 404, "no name"),
		row("no name to read", "GET", "/value/gauge", 404, "no name"),
		row("no name to read, slash", "GET", "/value/gauge/", 404, "no name"),
		row("nothing to read", "GET", "/value/", 404, "no name"),
		row("no value", "POST", "/update/gauge/x", 400, "finite decimal"),
		row("no value, slash", "POST", "/update/gauge/x/", 400, "finite decimal"),
		row("no value of a counter", "POST", "/update/counter/x", 400, "integer"),
		row("no value of a counter, slash", "POST", "/update/counter/x/", 400, "integer"),
		row("too long a path", "POST", "/update/gauge/x/1/2", 404, "no such path"),
		row("too long a path, slashes", "POST", "/update/gauge/x/1//", 404, "no such path"),
		row("too long a path to read", "GET", "/value/gauge/g/1", 404, "no such path"),
		row("unknown type", "POST", "/update/histogram/x/1", 400, "unknown type"),
		row("type in capitals", "POST", "/update/Gauge/x/1", 400, "unknown type"),
		row("type with an escaped slash", "POST", "/update/gauge%2F/x/1", 400, "unknown type"),
		row("type not UTF-8", "POST", "/update/%ff/x/1", 400, "unknown type"),
		row("unknown type to read", "GET", "/value/histogram/g", 404, "unknown type"),
		row("unknown metric to read", "GET", "/value/gauge/nope", 404, "no such metric"),
		row("the other kind to read", "GET", "/value/counter/g", 404, "no such metric"),
		row("other labels to read", "GET", "/value/counter/c?a=2", 404, "no such metric"),

		row("gauge: a word", "POST", "/update/gauge/x/none", 400, "finite decimal"),
		row("gauge: NaN", "POST", "/update/gauge/x/NaN", 400, "finite decimal"),
		row("gauge: Inf", "POST", "/update/gauge/x/Inf", 400, "finite decimal"),
		row("gauge: +Inf", "POST", "/update/gauge/x/+Inf", 400, "finite decimal"),
		row("gauge: -infinity", "POST", "/update/gauge/x/-infinity", 400, "finite decimal"),
		row("gauge: out of range", "POST", "/update/gauge/x/1e309", 400, "finite decimal"),
		row("gauge: hexadecimal", "POST", "/update/gauge/x/0x1p4", 400, "finite decimal"),
		row("gauge: underscores", "POST", "/update/gauge/x/1_000", 400, "finite decimal"),
		row("gauge: decimal comma", "POST", "/update/gauge/x/1,5", 400, "finite decimal"),
		row("gauge: space", "POST", "/update/gauge/x/%201", 400, "finite decimal"),
		row("gauge: NUL", "POST", "/update/gauge/x/1%00", 400, "finite decimal"),
		row("gauge: not UTF-8", "POST", "/update/gauge/x/%ff", 400, "finite decimal"),
		row("gauge: two points", "POST", "/update/gauge/x/1.2.3", 400, "finite decimal"),
		row("gauge: an escaped slash behind", "POST", "/update/gauge/x/1%2F", 400, "finite decimal"),
		row("gauge: a fraction with a slash", "POST", "/update/gauge/x/1%2F2", 400, "finite decimal"),
		row("counter: negative", "POST", "/update/counter/x/-1", 400, "decreased"),
		row("counter: fraction", "POST", "/update/counter/x/1.5", 400, "integer"),
		row("counter: exponent", "POST", "/update/counter/x/1e3", 400, "integer"),
		row("counter: out of range", "POST", "/update/counter/x/9223372036854775808", 400, "integer"),
		row("counter: plus", "POST", "/update/counter/x/+1", 400, "integer"),
		row("counter: hexadecimal", "POST", "/update/counter/x/0x1", 400, "integer"),
		row("counter: a word", "POST", "/update/counter/x/many", 400, "integer"),
		row("counter: overflow", "POST", "/update/counter/full/11", 400, "would exceed"),

		row("name with NUL", "POST", "/update/gauge/a%00b/1", 400, "NUL"),
		row("name not UTF-8", "POST", "/update/gauge/%ff/1", 400, "invalid UTF-8"),
		row("name not UTF-8, raw", "POST", "/update/gauge/a\xff/1", 400, "invalid UTF-8"),
		row("name with an overlong slash", "POST", "/update/gauge/%c0%af/1", 400, "invalid UTF-8"),
		row("name of 513 bytes", "POST", "/update/gauge/"+long(513)+"/1", 400, "at most 512"),
		row("name to read not UTF-8", "GET", "/value/gauge/%ff", 400, "invalid UTF-8"),
		row("name with quotes and a slash, no value", "POST", "/update/gauge/%3C%2F5/", 400, "finite decimal"),
		row("name with raw brackets and a slash, no value", "POST", "/update/gauge/<%2F5/", 400, "finite decimal"),
		row("name with raw UTF-8 and a slash, no value", "POST", "/update/gauge/ä%2F5", 400, "finite decimal"),

		row("label twice", "POST", "/update/gauge/x/1?a=1&a=2", 400, "stands 2 times"),
		row("label twice, one empty", "POST", "/update/gauge/x/1?a=&a=2", 400, "stands 2 times"),
		row("label without a name", "POST", "/update/gauge/x/1?=1", 400, "label name"),
		row("label with a dash", "POST", "/update/gauge/x/1?a-b=1", 400, "label name"),
		row("label starting with a digit", "POST", "/update/gauge/x/1?1a=1", 400, "label name"),
		row("label of the query engine", "POST", "/update/gauge/x/1?__name__=y", 400, "label name"),
		row("label with a bad name and no value", "POST", "/update/gauge/x/1?9a", 400, "label name"),
		row("label name not UTF-8", "POST", "/update/gauge/x/1?%ff=1", 400, "label name"),
		row("label name with NUL", "POST", "/update/gauge/x/1?a%00=1", 400, "label name"),
		row("label name of 129 bytes", "POST", "/update/gauge/x/1?"+long(129)+"=1", 400, "at most 128"),
		row("label value not UTF-8", "POST", "/update/gauge/x/1?a=%ff", 400, "invalid UTF-8"),
		row("label value not UTF-8, raw", "POST", "/update/gauge/x/1?a=\xff", 400, "invalid UTF-8"),
		row("label value with NUL", "POST", "/update/gauge/x/1?a=%00", 400, "NUL"),
		row("label value of 1,025 bytes", "POST", "/update/gauge/x/1?a="+long(1025), 400, "at most 1024"),
		row("a bad escape in the query", "POST", "/update/gauge/x/1?a=%zz", 400, "query"),
		row("half an escape in the query", "POST", "/update/gauge/x/1?a=%4", 400, "query"),
		row("a bad escape in a label name", "POST", "/update/gauge/x/1?%=1", 400, "query"),
		row("a semicolon in the query", "POST", "/update/gauge/x/1?a=1;b=2", 400, "query"),
		row("33 labels", "POST", "/update/gauge/x/1?"+many(33), 400, "at most 32"),
		row("reading: 33 labels", "GET", "/value/gauge/g?"+many(33), 400, "at most 32"),
		row("reading: 5,000 labels", "GET", "/value/gauge/g?"+many(5000), 400, "at most 32"),
		row("reading: label twice", "GET", "/value/gauge/g?a=1&a=1", 400, "stands 2 times"),
		row("reading: label with a dash", "GET", "/value/gauge/g?a-b=1", 400, "label name"),
		row("reading: label not UTF-8", "GET", "/value/gauge/g?a=%ff", 400, "invalid UTF-8"),
		row("reading: label with NUL", "GET", "/value/gauge/g?a=%00", 400, "NUL"),
		row("reading: a bad escape in the query", "GET", "/value/gauge/g?a=%", 400, "query"),

		row("method: GET /update", "GET", "/update", 405, "POST"),
		row("method: GET /update/", "GET", "/update/", 405, "POST"),
		row("method: GET /updates", "GET", "/updates", 405, "POST"),
		row("method: PUT /updates/", "PUT", "/updates/", 405, "POST"),
		row("method: GET a path", "GET", "/update/gauge/x/1", 405, "POST"),
		row("method: DELETE a path", "DELETE", "/update/gauge/x/1", 405, "POST"),
		row("method: PATCH /update", "PATCH", "/update", 405, "POST"),
		row("method: GET /value", "GET", "/value", 405, "POST"),
		row("method: PUT /value/", "PUT", "/value/", 405, "GET, HEAD, POST"),
		row("method: POST a value", "POST", "/value/gauge/g", 405, "GET, HEAD"),
		row("method: DELETE a value", "DELETE", "/value/gauge/g", 405, "GET, HEAD"),
		row("method: POST /ping", "POST", "/ping", 405, "GET, HEAD"),
		row("method: OPTIONS /ping", "OPTIONS", "/ping", 405, "GET, HEAD"),
		row("method: POST /", "POST", "/", 405, "GET, HEAD"),
		row("method: TRACE /", "TRACE", "/", 405, "GET, HEAD"),
		row("method: unknown on /", "BREW", "/", 405, "GET, HEAD"),
		row("method: unknown on /updates", "BREW", "/updates", 405, "POST"),
		row("method: in small letters", "post", "/update/gauge/x/1", 405, "POST"),
		row("method: POST a file", "POST", "/static/app.css", 405, "GET, HEAD"),
	}
}

func keyCorpus() []malformed {
	row := func(name, says string, header ...string) malformed {
		return malformed{"Idempotency-Key " + name, http.MethodPost, "/updates", header, goodBatch, 400, says}
	}
	const key = "Idempotency-Key"
	return []malformed{
		row("empty", "is empty", key, ""),
		row("empty in quotes", "is empty", key, `""`),
		row("spaces", "is empty", key, "   "),
		row("without a closing quote", "no closing quote", key, `"p/1`),
		row("a lone quote", "no closing quote", key, `"`),
		row("an escaped closing quote", "no closing quote", key, `"p/1\"`),
		row("behind its quote", "goes on after", key, `"p/1"x`),
		row("with parameters", "goes on after", key, `"p/1";a=1`),
		row("twice in one header", "goes on after", key, `"p/1", "p/2"`),
		row("with an unknown escape", "backslash", key, `"p\n/1"`),
		row("ending in a backslash", "backslash", key, `"p\`),
		row("not ASCII", "printable ASCII", key, "ä/1"),
		row("not ASCII in quotes", "printable ASCII", key, `"ä/1"`),
		row("with a tab", "printable ASCII", key, "p\t/1"),
		row("of 257 bytes", "longer than 256", key, strings.Repeat("k", 257)),
		row("of 257 bytes in quotes", "longer than 256", key, `"`+strings.Repeat("k", 257)+`"`),
		row("in two headers", "stands 2 times", key, `"p/1"`, key, `"p/2"`),
		row("in two equal headers", "stands 2 times", key, `"p/1"`, key, `"p/1"`),
		{"Idempotency-Key bad on one metric", "POST", "/update/", []string{key, ""}, `{"id":"x","type":"counter","delta":1}`, 400, "is empty"},
		{"Idempotency-Key bad on a path", "POST", "/update/counter/x/1", []string{key, `"`}, "", 400, "no closing quote"},
	}
}

const secret = "correct horse"

func sign(key, body string) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(body))
	return hex.EncodeToString(mac.Sum(nil))
}

// signatureCorpus is for a server with the key secret.
func signatureCorpus() []malformed {
	const mismatch, missing = "does not match", "is missing"
	good := sign(secret, goodBatch)
	row := func(name, says string, header ...string) malformed {
		return malformed{"signature " + name, http.MethodPost, "/updates", header, goodBatch, 400, says}
	}
	zipped := gz(goodBatch)
	over := "[" + strings.Repeat(" ", 8<<20)
	return []malformed{
		row("missing", missing),
		row("empty", missing, "HashSHA256", ""),
		row("of another key", mismatch, "HashSHA256", sign("wrong", goodBatch)),
		row("of no key", mismatch, "HashSHA256", sign("", goodBatch)),
		row("of another body", mismatch, "HashSHA256", sign(secret, goodBatch+" ")),
		row("of nothing", mismatch, "HashSHA256", sign(secret, "")),
		row("not hexadecimal", mismatch, "HashSHA256", strings.Repeat("xy", 32)),
		row("too short", mismatch, "HashSHA256", good[:62]),
		row("of an odd length", mismatch, "HashSHA256", good[:63]),
		row("too long", mismatch, "HashSHA256", good+"00"),
		row("in quotes", mismatch, "HashSHA256", `"`+good+`"`),
		row("with a prefix", mismatch, "HashSHA256", "sha256="+good),
		row("with zeros", mismatch, "HashSHA256", strings.Repeat("0", 64)),
		row("in two headers, the second right", "stands 2 times", "HashSHA256", sign("wrong", goodBatch), "HashSHA256", good),
		row("in two headers, the first right", "stands 2 times", "HashSHA256", good, "HashSHA256", "x"),
		row("twice in one header", mismatch, "HashSHA256", good+", "+good),
		row("under another name", missing, "Hash", good),
		{"signature of the plain body", "POST", "/updates", []string{"Content-Encoding", "gzip", "HashSHA256", good}, zipped, 400, mismatch},
		{"signature missing on gzip", "POST", "/updates/", []string{"Content-Encoding", "gzip"}, zipped, 400, missing},
		{"signature right, gzip broken", "POST", "/updates", []string{"Content-Encoding", "gzip", "HashSHA256", good}, goodBatch, 400, "not valid gzip"},
		{"signature right, encoding unknown", "POST", "/updates", []string{"Content-Encoding", "br", "HashSHA256", good}, goodBatch, 415, "allowed are gzip, zstd"},
		{"signature right, JSON malformed", "POST", "/updates", []string{"HashSHA256", sign(secret, "[{]")}, "[{]", 400, "field name"},
		{"signature right, body over the limit", "POST", "/updates", []string{"HashSHA256", sign(secret, over)}, over, 413, "larger than 8388608 bytes"},
		{"signature missing on one metric", "POST", "/update", nil, `{"id":"x","type":"counter","delta":1}`, 400, missing},
		{"signature missing on a path", "POST", "/update/counter/x/1", nil, "", 400, missing},
		{"signature wrong on a path", "POST", "/update/counter/x/1/", []string{"HashSHA256", good}, "", 400, mismatch},
		{"signature of nothing on a path", "POST", "/update/counter/x/1", []string{"HashSHA256", sign(secret, "")}, "", 400, mismatch},
		{"signature of the body on a path", "POST", "/update/counter/x/1", []string{"HashSHA256", good}, goodBatch, 400, mismatch},
		{"signature of the path alone", "POST", "/update/counter/x/1", []string{"HashSHA256", sign(secret, "/update/counter/x/1")}, "", 400, mismatch},
		{"signature of another path", "POST", "/update/counter/x/10", []string{"HashSHA256", sign(secret, "POST /update/counter/x/1")}, "", 400, mismatch},
		{"signature of the path without its query", "POST", "/update/counter/x/1?a=b", []string{"HashSHA256", sign(secret, "POST /update/counter/x/1")}, "", 400, mismatch},
		{"signature of a path on a body", "POST", "/update", []string{"HashSHA256", sign(secret, "POST /update")}, goodBatch, 400, mismatch},
		{"signature right, body ends as an answer", "POST", "/updates", []string{"HashSHA256", sign(secret, goodBatch+" \t\r\n")}, goodBatch + " \t\r\n", 400, "is no request"},
		{"signature wrong on a question", "POST", "/value", []string{"HashSHA256", good}, `{"id":"g","type":"gauge"}`, 400, mismatch},
		{"signed unknown path", "POST", "/nope", []string{"HashSHA256", good}, goodBatch, 404, "no such path"},
		{"signed wrong method", "PUT", "/updates", []string{"HashSHA256", good}, goodBatch, 405, "POST"},
	}
}

// TestMalformed sends every malformed request to a server that holds something
// and demands a problem, and that nothing changed.
func TestMalformed(t *testing.T) {
	open := append(append(syntaxCorpus(), elementCorpus()...), append(pathCorpus(), keyCorpus()...)...)
	open = append(open, encodingCorpus(t)...)
	runMalformed(t, "", open)
	runMalformed(t, secret, signatureCorpus())
}

func runMalformed(t *testing.T, key string, cases []malformed) {
	store := seeded(t)
	srv := serve(t, newHandler(store, key, zap.NewNop()))
	seen := map[string]bool{}
	for i, tt := range cases {
		require.False(t, seen[tt.name], "two cases of the name %q", tt.name)
		seen[tt.name] = true
		t.Run(tt.name, func(t *testing.T) {
			header := tt.header
			mark := fmt.Sprintf(`"malformed/%d"`, i+1)
			own := strings.Contains(strings.Join(header, "\n"), "Idempotency-Key")
			if !own {
				header = append(slices.Clip(header), "Idempotency-Key", mark)
			}
			before := everything(t, store)
			got := do(t, srv, tt.method, tt.target, tt.body, header...)
			p := requireProblem(t, got, tt.status)
			says := p.Detail
			for _, e := range p.Errors {
				says += "\n" + e.Reason
			}
			require.Contains(t, says, tt.says)
			if tt.status == http.StatusMethodNotAllowed {
				require.Equal(t, tt.says, got.header.Get("Allow"))
			}
			if tt.status == http.StatusUnsupportedMediaType {
				require.Equal(t, "gzip, zstd", got.header.Get("Accept-Encoding"))
			}
			require.Equal(t, before, everything(t, store), "the state changed")
			if !own {
				m, err := storage.ParseMark(mark)
				require.NoError(t, err)
				replayed, err := store.Apply(t.Context(), &storage.Write{Mark: m})
				require.NoError(t, err)
				require.False(t, replayed, "the refused batch counts as applied")
			}
		})
	}
}

// requireProblem checks all that holds for every error answer.
func requireProblem(t testing.TB, got answer, status int) response.Problem {
	t.Helper()
	require.Equal(t, status, got.status, got.body)
	require.Equal(t, []string{"application/problem+json"}, got.header["Content-Type"], got.body)
	require.Equal(t, "nosniff", got.header.Get("X-Content-Type-Options"))
	require.Equal(t, fmt.Sprint(len(got.body)), got.header.Get("Content-Length"))
	var p response.Problem
	d := json.NewDecoder(strings.NewReader(got.body))
	d.DisallowUnknownFields()
	require.NoError(t, d.Decode(&p), got.body)
	require.Equal(t, "about:blank", p.Type)
	require.Equal(t, http.StatusText(status), p.Title)
	require.Equal(t, status, p.Status)
	require.NotEmpty(t, p.Code)
	require.NotEmpty(t, p.RequestID)
	require.Equal(t, []string{p.RequestID}, got.header["X-Request-Id"])
	require.LessOrEqual(t, len(p.Errors), response.MaxErrors)
	return p
}

// TestMalformedElements: every offending element is listed, the first twenty by
// index, and counted.
func TestMalformedElements(t *testing.T) {
	bad := func(n int) (body string, want []response.ElementError) {
		var rows []string
		for i := range n {
			rows = append(rows, fmt.Sprintf(`{"id":"good%d","type":"counter","delta":1}`, i), `{"id":"","type":"gauge","value":1}`)
			if len(want) < response.MaxErrors {
				want = append(want, response.ElementError{Index: 2*i + 1, Reason: "no id: the name of the metric is missing"})
			}
		}
		return "[" + strings.Join(rows, ",") + "]", want
	}
	for _, n := range []int{1, 2, 20, 21, 500} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			store := seeded(t)
			before := everything(t, store)
			srv := serve(t, newHandler(store, "", zap.NewNop()))
			body, want := bad(n)
			p := requireProblem(t, do(t, srv, "POST", "/updates", body), 400)
			require.Equal(t, n, p.ErrorCount)
			require.Equal(t, want, p.Errors)
			require.Equal(t, before, everything(t, store))
		})
	}
	t.Run("overflows", func(t *testing.T) {
		store := memory.New()
		var rows []string
		for i := range 200 {
			rows = append(rows, fmt.Sprintf(`{"id":"c%d","type":"counter","delta":9223372036854775807}`, i))
		}
		body := "[" + strings.Join(rows, ",") + "]"
		srv := serve(t, newHandler(store, "", zap.NewNop()))
		require.Equal(t, 200, do(t, srv, "POST", "/updates", body).status)
		before := everything(t, store)
		p := requireProblem(t, do(t, srv, "POST", "/updates", body), 400)
		require.Equal(t, 200, p.ErrorCount)
		var indexes []int
		for _, e := range p.Errors {
			indexes = append(indexes, e.Index)
		}
		require.Equal(t, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19}, indexes)
		require.Equal(t, before, everything(t, store))
	})
}

// TestMalformedLabelSets: far too many labels, in the worst order, are refused
// in no time: the work must not grow with the square of what one request holds.
func TestMalformedLabelSets(t *testing.T) {
	const n = 30_000
	var set strings.Builder
	for i := n; i > 0; i-- {
		fmt.Fprintf(&set, `,"l%07d":"v"`, i)
	}
	one := `{"id":"x","type":"gauge","value":1,"labels":{` + set.String()[1:] + "}}"
	store := seeded(t)
	before := everything(t, store)
	srv := serve(t, newHandler(store, "", zap.NewNop()))
	srv.Client().Timeout = 2 * time.Second // a hundred times what it takes
	for _, tt := range []struct{ name, target, body string }{
		{"one", "/update", one},
		{"many", "/updates", "[" + one + "]"},
		{"question", "/value", one},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := requireProblem(t, do(t, srv, "POST", tt.target, tt.body), 400)
			require.Contains(t, p.Detail, "at most 32")
			require.Equal(t, before, everything(t, store))
		})
	}
}

// TestMalformedStreams: bodies without a length, and bodies that break off on
// the wire: those may be right when they come whole, and 408 says so.
func TestMalformedStreams(t *testing.T) {
	head := "POST /updates HTTP/1.1\r\nHost: x\r\nIdempotency-Key: \"stream/1\"\r\n"
	chunk := func(s string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(s), s) }
	for _, tt := range []struct {
		name, request string
		status        int
	}{
		{"shorter than its length", head + "Content-Length: 1000\r\n\r\n" + goodBatch, 408},
		{"no body, but a length", head + "Content-Length: 1000\r\n\r\n", 408},
		{"chunks without an end", head + "Transfer-Encoding: chunked\r\n\r\n" + chunk(goodBatch), 408},
		{"half a chunk", head + "Transfer-Encoding: chunked\r\n\r\n" + chunk(goodBatch[:9]) + "ff\r\n" + goodBatch[9:], 408},
		{"a chunk length that is none", head + "Transfer-Encoding: chunked\r\n\r\nxyz\r\n" + goodBatch + "\r\n0\r\n\r\n", 400},
		{"a negative chunk length", head + "Transfer-Encoding: chunked\r\n\r\n-1\r\n" + goodBatch + "\r\n0\r\n\r\n", 400},
		{"a chunk longer than it says", head + "Transfer-Encoding: chunked\r\n\r\n5\r\n" + goodBatch + "\r\n0\r\n\r\n", 400},
		{"gzip breaking off", head + "Content-Encoding: gzip\r\nContent-Length: 1000\r\n\r\n" + gz(goodBatch)[:60], 408},
		{"chunks of an empty body", head + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
	} {
		t.Run(tt.name, func(t *testing.T) {
			store := seeded(t)
			before := everything(t, store)
			srv := serve(t, newHandler(store, "", zap.NewNop()))
			got := rawRequest(t, srv, tt.request)
			requireProblem(t, got, tt.status)
			require.Equal(t, before, everything(t, store))
			replayed, err := store.Apply(t.Context(), &storage.Write{Mark: storage.Mark{Producer: "#stream", Sequence: 1}})
			require.NoError(t, err)
			require.False(t, replayed)
			require.Equal(t, 200, do(t, srv, "GET", "/ping", "").status)
		})
	}
}

// TestRefusedByNetHTTP: what never reaches the handler. The answer is
// net/http's own; here it matters that it is a 4xx and that the server goes on.
func TestRefusedByNetHTTP(t *testing.T) {
	store := seeded(t)
	before := everything(t, store)
	srv := serve(t, newHandler(store, "", zap.NewNop()), func(s *http.Server) { s.MaxHeaderBytes = 64 << 10 })
	const post = "POST /update/counter/c/1 HTTP/1.1\r\n"
	for _, tt := range []struct {
		name, request string
		status        int
	}{
		{"garbage", "garbage\r\n\r\n", 400},
		{"binary garbage", "\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400},
		{"no path", "POST HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		{"no version", "POST /update/counter/c/1\r\nHost: x\r\n\r\n", 400},
		{"a wrong version", "POST /update/counter/c/1 HTTP/x.y\r\nHost: x\r\n\r\n", 400},
		{"a space in the path", "POST /update/counter/c c/1 HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		{"a relative path", "POST update/counter/c/1 HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		{"a bad escape in the path", "POST /update/counter/%zz/1 HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		{"half an escape in the path", "POST /update/counter/c/1% HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		{"a NUL in the path", "POST /update/counter/c\x00/1 HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		{"a control character in the query", "POST /update/counter/c/1?a=\x01 HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		{"a method that is no token", "PO@ST /update/counter/c/1 HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		{"no host", post + "\r\n", 400},
		{"two hosts", post + "Host: x\r\nHost: y\r\n\r\n", 400},
		{"a host with a slash", post + "Host: x/y z\r\n\r\n", 400},
		{"a header name with a space", post + "Host: x\r\nX Y: 1\r\n\r\n", 400},
		{"a header without a colon", post + "Host: x\r\nnonsense\r\n\r\n", 400},
		{"a header without a name", post + "Host: x\r\n: 1\r\n\r\n", 400},
		{"a NUL in a header", post + "Host: x\r\nX-Y: a\x00b\r\n\r\n", 400},
		{"a length that is no number", post + "Host: x\r\nContent-Length: many\r\n\r\n", 400},
		{"a negative length", post + "Host: x\r\nContent-Length: -1\r\n\r\n", 400},
		{"two lengths", post + "Host: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400},
		{"a length beyond int64", post + "Host: x\r\nContent-Length: 99999999999999999999\r\n\r\n", 400},
		{"an expectation nobody meets", post + "Host: x\r\nExpect: the-unexpected\r\n\r\n", 417},
		{"a header too large", post + "Host: x\r\nX-Y: " + strings.Repeat("x", 100<<10) + "\r\n\r\n", 431},
		{"too many headers", post + "Host: x\r\n" + strings.Repeat("X-Y: 1\r\n", 20_000) + "\r\n", 431},
		{"a path too long", "POST /update/counter/" + strings.Repeat("c", 100<<10) + "/1 HTTP/1.1\r\nHost: x\r\n\r\n", 431},
	} {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, tt.status, rawRequest(t, srv, tt.request).status)
			require.Equal(t, before, everything(t, store))
			require.Equal(t, 200, do(t, srv, "GET", "/ping", "").status)
		})
	}
}

// seeded is a storage that holds something.
func seeded(t testing.TB) storage.Storage {
	t.Helper()
	s := memory.New()
	const ts = 1_700_000_000_000
	_, err := s.Apply(t.Context(), &storage.Write{Metrics: []metric.Metric{
		{Kind: metric.Gauge, Name: "g", Value: 1.5, Timestamp: ts},
		{Kind: metric.Counter, Name: "c", Delta: 7, Labels: metric.NewLabels("a", "1"), Timestamp: ts},
		{Kind: metric.Counter, Name: "full", Delta: 9223372036854775797, Timestamp: ts},
	}})
	require.NoError(t, err)
	return s
}

// everything is what the storage holds.
func everything(t testing.TB, s storage.Storage) map[string]metric.Metric {
	t.Helper()
	all := map[string]metric.Metric{}
	for m, err := range s.All(t.Context()) {
		require.NoError(t, err)
		all[string(m.AppendKey(nil))] = m
	}
	return all
}

// rawRequest sends bytes, ends its side of the connection, and reads one answer.
func rawRequest(t testing.TB, srv *httptest.Server, request string) answer {
	t.Helper()
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		// The server may answer and hang up before it has read all.
		if _, err := io.WriteString(conn, request); err == nil {
			conn.(*net.TCPConn).CloseWrite()
		}
	}()
	got := readAnswer(t, conn, http.MethodPost)
	conn.Close()
	<-sent
	return got
}

func gz(s string) string { return gzipOf(strings.NewReader(s)) }
func zs(s string) string { return zstdOf(strings.NewReader(s)) }

func gzipOf(r io.Reader) string {
	var buf bytes.Buffer
	zw, err := gzip.NewWriterLevel(&buf, gzip.BestSpeed)
	must(err)
	_, err = io.Copy(zw, r)
	must(err, zw.Close())
	return buf.String()
}

func zstdOf(r io.Reader) string {
	var buf bytes.Buffer
	zw, err := zstd.NewWriter(&buf, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithLowerEncoderMem(true))
	must(err)
	_, err = io.Copy(zw, r)
	must(err, zw.Close())
	return buf.String()
}

// must is for what fails only when the test itself is wrong.
func must(errs ...error) {
	for _, err := range errs {
		if err != nil {
			panic("router_test: " + err.Error())
		}
	}
}

// spaceReader is white space without end.
type spaceReader struct{}

func (spaceReader) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}
