package memory_test

import (
	"testing"

	"github.com/gometheus/gometheus/internal/server/storage/memory"
	"github.com/gometheus/gometheus/internal/server/storage/storagetest"
)

func TestNamed(t *testing.T) { storagetest.RunNamed(t, memory.New()) }
