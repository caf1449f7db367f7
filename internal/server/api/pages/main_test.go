package pages_test

import (
	"os"
	"testing"

	"github.com/gometheus/gometheus/internal/programtest"
)

var programs programtest.Builder

func TestMain(m *testing.M) { os.Exit(programs.Main(m)) }
