package project

import (
	"fmt"
	"strings"
	"testing"
)

func TestRead(t *testing.T) {
	b, err := Read("go.mod")
	if err != nil || !strings.HasPrefix(string(b), "module") {
		t.Errorf("%q, %v", b, err)
	}
}

func TestSkipped(t *testing.T) { t.Skip("not here") }

func TestFailsAnyway(t *testing.T) { t.Error("as ever") }

func TestType(t *testing.T) {
	f, err := Open("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	if s := fmt.Sprintf("%T", f); s != "*os.File" {
		t.Errorf("it is a %s", s)
	}
}
