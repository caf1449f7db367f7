package health

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.uber.org/zap"
)

const (
	// Every is how often the file is written.
	Every = 5 * time.Second
	// MaxAge is how old a file may be: it may miss two times.
	MaxAge = 3 * Every
)

// Keep writes the file every 5 s as long as check finds no error, and removes it
// when ctx has ended. The text that check gives is for people. Trouble with the file
// is logged and stops nothing.
func Keep(ctx context.Context, path string, log *zap.Logger, check func() (string, error)) {
	log = log.With(zap.String("path", path))
	defer func() {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			log.Warn("the health file stays behind", zap.Error(err))
		}
	}()
	ticker := time.NewTicker(Every)
	defer ticker.Stop()
	sick := false
	for {
		text, err := check()
		if err == nil {
			err = write(path, text)
		}
		if err != nil && !sick {
			log.Error("the health file is not written", zap.Error(err))
		}
		sick = err != nil
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// write replaces the file in one step. It is not synced: after a power cut there is
// nothing alive.
func write(path, text string) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.tmp") // 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.WriteString(text + "\n")
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// Read is the text of the file, or an error when nobody has written it lately.
func Read(path string, now time.Time) (string, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%s is not there: nothing runs that writes it", path)
	}
	if err != nil {
		return "", fmt.Errorf("look at the health file: %w", err)
	}
	if age := now.Sub(info.ModTime()); age > MaxAge {
		return "", fmt.Errorf("%s is %v old: what writes it every %v hangs or is dead", path, age.Round(time.Second), Every)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read the health file: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}
