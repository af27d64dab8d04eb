package gen

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"strconv"
	"strings"
)

// tags are what a file says of the methods' tags. The zero tags are those of no file.
type tags struct {
	of   map[string]int // of the methods that there are
	gone map[int]string // the methods that there were
}

// next returns the first tag that no method has ever had.
func (t tags) next() int { return len(t.of) + len(t.gone) + 1 }

// The lines of the function that returns the set.
var (
	registerLine = regexp.MustCompile(`^\w+\.(?:Unary|Stream)\[(\w+)\]\(set, (\d+)\)\s*// (\w+)$`)
	reservedLine = regexp.MustCompile(`^// reserved (\d+): (\w+)$`)
	anyTag       = regexp.MustCompile(`\(set, (\d+)\)|// reserved (\d+):`)
	otherLine    = regexp.MustCompile(`^(?:|set := \w+\.NewSet\[\w+\]\(format\d*\)|return set)$`)
)

// readTags reads the tags from the file that was written before. It refuses one that it
// can't understand whole: to guess would be to give a method the tag of another.
func readTags(path string, text []byte, typeName string) (tags, error) {
	switch generatedFor(text) {
	case typeName:
	case "":
		return tags{}, fmt.Errorf("%s:1: the file was not written by cmdstream gen, and stays as it is: remove it, or give another one by -out", path)
	default:
		return tags{}, fmt.Errorf("%s:1: the file was written for the type %s: give another one by -out", path, generatedFor(text))
	}
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, path, text, parser.SkipObjectResolution)
	if err != nil {
		return tags{}, fmt.Errorf("%w: the file is broken, and with it the tags of the methods: restore it as it was", firstError(err))
	}
	r := tagReader{path: path, tags: tags{make(map[string]int), make(map[int]string)}, lineOf: make(map[int]int), registered: make(map[string]bool)}
	found := false
	for _, declared := range file.Decls {
		switch d := declared.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil && d.Name.Name == typeName+"Commands" && d.Body != nil {
				found = true
				r.first = set.Position(d.Body.Lbrace).Line
				body := text[set.Position(d.Body.Lbrace).Offset+1 : set.Position(d.Body.Rbrace).Offset]
				if err := r.read(string(body)); err != nil {
					return tags{}, err
				}
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				if declared, ok := spec.(*ast.TypeSpec); ok && strings.HasSuffix(declared.Name.Name, "Command") {
					r.types = append(r.types, declared.Name)
				}
			}
		}
	}
	if !found {
		return tags{}, fmt.Errorf("%s:1: the file has no function %sCommands, and so no tags of the methods: restore it as it was", path, typeName)
	}
	return r.tags, r.whole(set)
}

type tagReader struct {
	path       string
	first      int // the line on which the function's body begins
	tags       tags
	lineOf     map[int]int // by tag
	registered map[string]bool
	types      []*ast.Ident // of the commands
}

// read reads the body of the function.
func (r *tagReader) read(body string) error {
	for i, line := range strings.Split(body, "\n") {
		line = strings.TrimSpace(line)
		var number, method string
		if found := registerLine.FindStringSubmatch(line); found != nil {
			number, method = found[2], found[3]
			r.registered[found[1]] = true
		} else if found := reservedLine.FindStringSubmatch(line); found != nil {
			number, method = found[1], found[2]
		} else if otherLine.MatchString(line) {
			continue
		} else {
			return r.fail(r.first+i, "%q is nothing that cmdstream gen writes: restore the file as it was", line)
		}
		tag, err := strconv.Atoi(number)
		if err != nil || tag < 1 {
			return r.fail(r.first+i, "%s: the tag %s is not a number from 1 on: restore the file as it was", method, number)
		}
		if other, taken := r.lineOf[tag]; taken {
			return r.fail(r.first+i, "%s: the tag %d is that of line %d too: give the method of the two that no program in use knows the tag %d", method, tag, other, highest(body)+1)
		}
		r.lineOf[tag] = r.first + i
		if strings.HasPrefix(line, "//") {
			r.tags.gone[tag] = method
			continue
		}
		if _, twice := r.tags.of[method]; twice {
			return r.fail(r.first+i, "%s has two tags: restore the file as it was", method)
		}
		r.tags.of[method] = tag
	}
	return nil
}

// highest returns the highest tag in the body of the function.
func highest(body string) (tag int) {
	for _, found := range anyTag.FindAllStringSubmatch(body, -1) {
		if n, err := strconv.Atoi(found[1] + found[2]); err == nil {
			tag = max(tag, n)
		}
	}
	return tag
}

// whole finds lines that are missing: tags are given without a gap, and each command has one.
func (r *tagReader) whole(set *token.FileSet) error {
	for tag := 1; tag < r.tags.next(); tag++ {
		if _, known := r.lineOf[tag]; !known {
			return r.fail(r.first, "the tag %d is missing, as if a line had been removed: restore the file as it was", tag)
		}
	}
	for _, name := range r.types {
		if !r.registered[name.Name] {
			return r.fail(set.Position(name.Pos()).Line, "the command %s has no tag, as if a line had been removed: restore the file as it was", name.Name)
		}
	}
	return nil
}

func (r *tagReader) fail(line int, format string, args ...any) error {
	return fmt.Errorf("%s:%d: %s", r.path, line, fmt.Sprintf(format, args...))
}
