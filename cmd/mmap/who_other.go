//go:build !linux

package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
)

// whoWorks says that only Linux tells.
func whoWorks() error {
	return fmt.Errorf("%s does not tell this program which processes use a file: %w", runtime.GOOS, errors.ErrUnsupported)
}

// whoUses says the same.
func whoUses(context.Context, *console, []string) (*found, error) { return nil, whoWorks() }
