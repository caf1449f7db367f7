package memory_test

import (
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gometheus/gometheus/internal/server/storage"
	"github.com/gometheus/gometheus/internal/server/storage/memory"
	"github.com/gometheus/gometheus/internal/server/storage/storagetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestContract(t *testing.T) {
	storagetest.Run(t, func(*testing.T) storage.Storage { return memory.New(time.Now) })
}
