// Package replaceable holds the promise that users can replace each part that
// is an interface or a function of a Conf: the codec, the transport, the
// Invoker, the dialer and the listener. Everything here is written as a user
// would, with exported names only.
package replaceable

import (
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/cmdstream/cmdstream/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

// The name of this module would let it import internal packages. It must not,
// but for the check for leaks.
func TestImportsAreExported(t *testing.T) {
	names, err := filepath.Glob("*.go")
	if err != nil || len(names) < 2 {
		t.Fatalf("found %q, %v", names, err)
	}
	for _, name := range names {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, spec := range file.Imports {
			path, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(path, "/internal/") && !strings.HasSuffix(path, "/internal/leak") {
				t.Errorf("%s imports %s, which users can't", name, path)
			}
		}
	}
}
