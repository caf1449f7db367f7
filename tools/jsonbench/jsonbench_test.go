// Package jsonbench compares JSON decoders on a batch of 200 labelled metrics:
// from the plain bytes to metric.Metric values, with strings that share the
// buffer where the decoder can do that. Only gometheus' own also validates.
package jsonbench

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/bytedance/sonic"
	"github.com/go-faster/jx"
	jsonv2 "github.com/go-json-experiment/json"
	goccy "github.com/goccy/go-json"
	"github.com/valyala/fastjson"

	"github.com/gometheus/gometheus/internal/common/metric"
	"github.com/gometheus/gometheus/pkg/request"
)

const n = 200

func body() []byte {
	ms := make([]metric.Metric, n)
	for i := range ms {
		ms[i] = metric.Metric{
			Kind: metric.Gauge, Name: fmt.Sprintf("HeapMetric%dBytes", i), Value: float64(i) * 1234.5678,
			Labels:    metric.NewLabels("instance", "web-17.example.org", "zone", "eu-central-1"),
			Timestamp: 1_795_454_731_960,
		}
		if i%10 == 0 {
			ms[i].Kind, ms[i].Delta = metric.Counter, int64(i)
		}
	}
	return metric.AppendJSONArray(nil, ms)
}

func BenchmarkDecode(b *testing.B) {
	in := body()
	lim := metric.DefaultLimits()
	run := func(name string, decode func(buf []byte) (int, error)) {
		b.Run("impl="+name, func(b *testing.B) {
			buf := make([]byte, len(in))
			b.SetBytes(int64(len(in)))
			b.ReportAllocs()
			for b.Loop() {
				copy(buf, in)
				if got, err := decode(buf); err != nil || got != n {
					b.Fatal(got, err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/metric")
		})
	}
	into := func(unmarshal func([]byte, *[]request.Metric) error) func([]byte) (int, error) {
		return func(buf []byte) (int, error) {
			var ms []request.Metric
			err := unmarshal(buf, &ms)
			return len(ms), err
		}
	}
	var batch metric.Batch
	run("gometheus", func(buf []byte) (int, error) {
		err := batch.DecodeArray(buf, &lim, 1_795_454_731_960)
		return len(batch.Metrics), err
	})
	run("encoding-json", into(func(b []byte, ms *[]request.Metric) error { return json.Unmarshal(b, ms) }))
	run("json-v2", into(func(b []byte, ms *[]request.Metric) error { return jsonv2.Unmarshal(b, ms) }))
	run("goccy", into(func(b []byte, ms *[]request.Metric) error { return goccy.Unmarshal(b, ms) }))
	run("sonic", into(func(b []byte, ms *[]request.Metric) error { return sonic.ConfigStd.Unmarshal(b, ms) }))
	run("jx", decodeJX())
	run("fastjson", decodeFast())
}

func decodeJX() func([]byte) (int, error) {
	var ms []metric.Metric
	var labels []metric.Label
	d := &jx.Decoder{}
	return func(buf []byte) (int, error) {
		ms, labels = ms[:0], labels[:0]
		d.ResetBytes(buf)
		err := d.Arr(func(d *jx.Decoder) error {
			var m metric.Metric
			err := d.ObjBytes(func(d *jx.Decoder, key []byte) (err error) {
				switch string(key) {
				case "id":
					m.Name, err = d.Str()
				case "type":
					var kind []byte
					if kind, err = d.StrBytes(); err == nil {
						m.Kind, err = metric.ParseKind(string(kind))
					}
				case "value":
					m.Value, err = d.Float64()
				case "delta":
					m.Delta, err = d.Int64()
				case "timestamp":
					m.Timestamp, err = d.Int64()
				case "labels":
					start := len(labels)
					err = d.ObjBytes(func(d *jx.Decoder, key []byte) error {
						value, err := d.Str()
						labels = append(labels, metric.Label{Name: string(key), Value: value})
						return err
					})
					m.Labels = labels[start:]
				default:
					err = fmt.Errorf("unknown field %q", key)
				}
				return err
			})
			ms = append(ms, m)
			return err
		})
		return len(ms), err
	}
}

func decodeFast() func([]byte) (int, error) {
	var p fastjson.Parser
	var ms []metric.Metric
	var labels []metric.Label
	return func(buf []byte) (int, error) {
		ms, labels = ms[:0], labels[:0]
		v, err := p.ParseBytes(buf)
		if err != nil {
			return 0, err
		}
		all, err := v.Array()
		if err != nil {
			return 0, err
		}
		for _, e := range all {
			m := metric.Metric{Name: string(e.GetStringBytes("id")), Timestamp: e.GetInt64("timestamp")}
			if m.Kind, err = metric.ParseKind(string(e.GetStringBytes("type"))); err != nil {
				return 0, err
			}
			m.Value, m.Delta = e.GetFloat64("value"), e.GetInt64("delta")
			start := len(labels)
			e.GetObject("labels").Visit(func(key []byte, v *fastjson.Value) {
				s, _ := v.StringBytes()
				labels = append(labels, metric.Label{Name: string(key), Value: string(s)})
			})
			m.Labels = labels[start:]
			ms = append(ms, m)
		}
		return len(ms), nil
	}
}
