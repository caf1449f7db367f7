package errors_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	coded "github.com/gometheus/gometheus/pkg/errors"
)

func TestCodeAndMessage(t *testing.T) {
	for _, c := range []struct {
		name    string
		err     error
		code    coded.Code
		message string
		text    string
	}{
		{"new", coded.New(coded.Invalid, "delta is %d", -1), coded.Invalid, "delta is -1", "delta is -1"},
		{"new shows what %w wraps", coded.New(coded.Full, "write: %w", io.ErrShortWrite), coded.Full, "write: short write", "write: short write"},
		{"wrap hides the cause", coded.Wrap(coded.Unavailable, io.EOF, "try later"), coded.Unavailable, "try later", "try later: EOF"},
		{"wrap without a message", coded.Wrap(coded.Internal, io.EOF, ""), coded.Internal, "", "EOF"},
		{"a foreign wrap outside", fmt.Errorf("push: %w", coded.New(coded.NotFound, "no such metric")), coded.NotFound, "no such metric", "push: no such metric"},
		{"the outermost stands", coded.Wrap(coded.Unavailable, coded.New(coded.Invalid, "inner"), "outer"), coded.Unavailable, "outer", "outer: inner"},
		{"the outermost stands even without a message", coded.Wrap(coded.Internal, coded.New(coded.Invalid, "inner"), ""), coded.Internal, "", "inner"},
		{"the first of joined ones", errors.Join(io.EOF, coded.New(coded.TooLarge, "first"), coded.New(coded.Full, "second")), coded.TooLarge, "first", "EOF\nfirst\nsecond"},
		{"a code beats a context error", coded.Wrap(coded.Full, context.Canceled, "full"), coded.Full, "full", "full: context canceled"},
		{"canceled", fmt.Errorf("read: %w", context.Canceled), coded.Canceled, "", "read: context canceled"},
		{"deadline", fmt.Errorf("read: %w", context.DeadlineExceeded), coded.Unavailable, "", "read: context deadline exceeded"},
		{"uncoded", io.EOF, coded.Internal, "", "EOF"},
	} {
		t.Run(c.name, func(t *testing.T) {
			require.Equal(t, c.code, coded.CodeOf(c.err))
			require.Equal(t, c.message, coded.Message(c.err))
			require.EqualError(t, c.err, c.text)
		})
	}
}

func TestNil(t *testing.T) {
	require.NoError(t, coded.Wrap(coded.Internal, nil, "message"))
	require.Equal(t, coded.Code(""), coded.CodeOf(nil))
	require.Empty(t, coded.Message(nil))
	require.Empty(t, slices.Collect(coded.Leaves(nil)))
}

func TestUnwrap(t *testing.T) {
	require.ErrorIs(t, coded.Wrap(coded.Internal, fs.ErrNotExist, "x"), fs.ErrNotExist)
	require.ErrorIs(t, coded.New(coded.Internal, "x: %w", fs.ErrNotExist), fs.ErrNotExist)
	two := coded.New(coded.Internal, "%w and %w", fs.ErrNotExist, io.EOF)
	require.ErrorIs(t, two, fs.ErrNotExist)
	require.ErrorIs(t, two, io.EOF)
}

// childlessError looks like a wrapper and wraps nothing.
type childlessError struct{}

func (childlessError) Error() string   { return "childless" }
func (childlessError) Unwrap() []error { return nil }

func TestLeaves(t *testing.T) {
	a, b, c := errors.New("a"), errors.New("b"), coded.New(coded.Invalid, "c")
	for _, tt := range []struct {
		name string
		err  error
		want []error
	}{
		{"a leaf", a, []error{a}},
		{"a coded leaf", c, []error{c}},
		{"wrapped", fmt.Errorf("x: %w", a), []error{a}},
		{"joined", errors.Join(a, b, c), []error{a, b, c}},
		{"nested", errors.Join(fmt.Errorf("x: %w", errors.Join(a, b)), c), []error{a, b, c}},
		{"behind a code", coded.Wrap(coded.Invalid, errors.Join(a, c), "m"), []error{a, c}},
		{"two %w in New", coded.New(coded.Invalid, "%w %w", a, b), []error{a, b}},
		{"a wrapper of nothing", childlessError{}, []error{childlessError{}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, tt.want, slices.Collect(coded.Leaves(tt.err)))
		})
	}
}

func TestLeavesStopsWhenTold(t *testing.T) {
	tree := errors.Join(errors.Join(errors.New("a"), errors.New("b")), errors.New("c"))
	var seen []string
	for err := range coded.Leaves(tree) {
		seen = append(seen, err.Error())
		if len(seen) == 2 {
			break
		}
	}
	require.Equal(t, []string{"a", "b"}, seen)
}

func Example() {
	err := coded.Wrap(coded.Unavailable, errors.New("dial db:5432: connection refused"), "the storage does not answer")
	fmt.Println("program:", coded.CodeOf(err))
	fmt.Println("person: ", coded.Message(err))
	fmt.Println("log:    ", err)
	// Output:
	// program: unavailable
	// person:  the storage does not answer
	// log:     the storage does not answer: dial db:5432: connection refused
}

func ExampleLeaves() {
	batch := errors.Join(
		coded.New(coded.Invalid, "metric 3: delta is negative"),
		coded.New(coded.Invalid, "metric 7: no name"),
	)
	for err := range coded.Leaves(fmt.Errorf("decode: %w", batch)) {
		fmt.Println(err)
	}
	// Output:
	// metric 3: delta is negative
	// metric 7: no name
}
