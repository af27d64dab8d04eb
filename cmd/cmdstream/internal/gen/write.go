package gen

import (
	"bytes"
	"fmt"
	"go/format"
	"go/token"
	"go/types"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A writer makes the text of the file.
type writer struct {
	*plan
	body    bytes.Buffer
	imports map[string]string // names by path
	taken   map[string]bool   // names that nothing else in the file may have

	client, errors    string // names of what is not exported
	command, result   map[*method]string
	commands, creator string
	root, codec, stub string // names of imports
	context           string
	c, ctx, format    string // names of what could hide a type
}

// locals are the names that the functions of a written file use for what is their own.
var locals = []string{"receiver", "r", "err", "send", "set", "yield", "client"}

func (p *plan) write() ([]byte, error) {
	w := &writer{
		plan: p, imports: make(map[string]string), taken: make(map[string]bool),
		command: make(map[*method]string), result: make(map[*method]string),
		commands: p.typeName + "Commands", creator: constructor(p.typeName),
	}
	for name := range p.top {
		w.taken[name] = true
	}
	for _, name := range slices.Concat(types.Universe.Names(), locals, []string{w.commands, w.creator, p.typeName}) {
		w.taken[name] = true
	}
	w.c, w.ctx, w.format = w.unique("c"), w.unique("ctx"), w.unique("format")
	prefix := lowerFirst(p.typeName)
	w.client, w.errors = w.declare(prefix+"Client"), w.declare(prefix+"Errors")
	for _, m := range p.methods {
		w.command[m], w.result[m] = w.declare(prefix+m.Name()+"Command"), w.declare(prefix+m.Name()+"Result")
	}
	w.root, w.codec, w.stub = w.importName(rootPath, "cmdstream"), w.importName(codecPath, "codec"), w.importName(stubPath, "stub")
	w.context = w.importName("context", "context")

	w.writeSet()
	for _, m := range p.methods {
		w.writeCommand(m)
		w.writeMethod(m)
	}
	w.writeErrors()

	var file bytes.Buffer
	fmt.Fprintf(&file, "%s\n\npackage %s\n\n%s\n%s", header(p.typeName), p.Name, w.importDeclaration(), w.body.Bytes())
	text, err := format.Source(file.Bytes())
	if err != nil {
		return nil, fmt.Errorf("%s: what was made for %s is not Go, which is a fault of cmdstream gen: %w", shown(p.dir), p.typeName, err)
	}
	return text, nil
}

func (w *writer) printf(format string, args ...any) { fmt.Fprintf(&w.body, format, args...) }

// unique returns a name that nothing has yet, and takes it.
func (w *writer) unique(name string) string { return free(name, w.taken, nil) }

// declare is unique for what the file declares: no file of a package may import anything by
// such a name.
func (w *writer) declare(name string) string { return free(name, w.taken, w.imported) }

// free returns the name, with a number where it is taken, and takes it.
func free(name string, taken map[string]bool, imported map[string]token.Pos) string {
	found := name
	for n := 2; taken[found] || imported[found].IsValid(); n++ {
		found = fmt.Sprintf("%s%d", name, n)
	}
	taken[found] = true
	return found
}

func (w *writer) importName(path, name string) string {
	if _, known := w.imports[path]; !known {
		w.imports[path] = w.unique(name)
	}
	return w.imports[path]
}

// importDeclaration lists the imports, those of the standard library first. One that has
// another name than its package says so.
func (w *writer) importDeclaration() string {
	var standard, others strings.Builder
	for _, path := range slices.Sorted(maps.Keys(w.imports)) {
		to := &standard
		if first, _, _ := strings.Cut(path, "/"); strings.Contains(first, ".") || strings.HasPrefix(w.Types.Path(), first+"/") {
			to = &others
		}
		name := w.imports[path]
		if name == path[strings.LastIndex(path, "/")+1:] {
			name = ""
		}
		fmt.Fprintf(to, "\t%s %q\n", name, path)
	}
	return fmt.Sprintf("import (\n%s\n%s)\n", standard.String(), others.String())
}

// spell returns a type as the file writes it.
func (w *writer) spell(t types.Type) string {
	return types.TypeString(t, func(p *types.Package) string {
		if p.Path() == w.Types.Path() {
			return ""
		}
		return w.importName(p.Path(), p.Name())
	})
}

func (w *writer) writeSet() {
	name := w.typeName
	w.printf("// %s returns the methods of %s as commands in the given format, for\n// client and server. Their receiver is what implements %[2]s at the server.\n", w.commands, name)
	w.printf("//\n// The numbers are the tags of the methods on the wire. A method keeps its own, and that\n// of one that is gone is given to no other.\n")
	w.printf("func %s(%s %s.Format) *%[3]s.Set[%[4]s] {\n", w.commands, w.format, w.codec, name)
	w.printf("\tset := %s.NewSet[%s](%s)\n", w.codec, name, w.format)
	methods := w.methods
	for tag := 1; tag <= len(w.methods)+len(w.gone); tag++ {
		if gone, is := w.gone[tag]; is {
			w.printf("\t// reserved %d: %s\n", tag, gone)
			continue
		}
		m := methods[0]
		methods = methods[1:]
		form := "Unary"
		if m.iterator != nil {
			form = "Stream"
		}
		w.printf("\t%s.%s[%s](set, %d) // %s\n", w.codec, form, w.command[m], tag, m.Name())
	}
	w.printf("\treturn set\n}\n\n")

	w.printf("// %s returns a %s whose methods run at the server that client sends to.\n// Any number of goroutines may call them at once.\n", w.creator, name)
	w.printf("func %s(client %s.Client[%s]) %[3]s { return %[4]s{client} }\n\n", w.creator, w.root, name, w.client)
	w.printf("type %s struct{ %s %s.Client[%s] }\n\n", w.client, w.field(), w.root, name)
}

// field is the name of the client's only field: no method may have it.
func (w *writer) field() string {
	name := "client"
	for slices.ContainsFunc(w.methods, func(m *method) bool { return m.Name() == name }) {
		name += "_"
	}
	return name
}

// writeCommand writes a command and its result. The fields go by their places, as the
// parameters of Go do, so that a parameter may get another name.
func (w *writer) writeCommand(m *method) {
	w.printf("// %s is a call of %s.\ntype %[1]s struct {", w.command[m], m.Name())
	args := make([]string, 0, len(m.params)+1)
	if m.ctx {
		args = append(args, "ctx")
	}
	for i, p := range m.params {
		w.printf("\n\tP%d %s", i+1, w.spell(p.Type))
		if p.name != "" && p.name != "_" {
			w.printf(" // %s", p.name)
		}
		args = append(args, fmt.Sprintf("c.P%d", i+1))
	}
	w.printf("%s}\n\n", ending(len(m.params)))
	w.printf("// %s is what %s %s.\ntype %[1]s struct {", w.result[m], m.Name(), verb(m))
	var fields []string
	for i, t := range m.results {
		w.printf("\n\tR%d %s", i+1, w.spell(t))
		fields = append(fields, fmt.Sprintf("r.R%d", i+1))
	}
	w.printf("%s}\n\n", ending(len(m.results)))

	w.printf("// CommandName is what the method is called between client and server.\n")
	w.printf("func (%s) CommandName() string { return %q }\n\n", w.command[m], w.typeName+"."+m.Name())

	call := fmt.Sprintf("receiver.%s(%s%s)", m.Name(), strings.Join(args, ", "), dots(m))
	if m.iterator != nil {
		w.printf("// Stream calls %s at the server.\n", m.Name())
		w.printf("func (c %s) Stream(ctx %s.Context, receiver %s, send func(%s) error) error {\n", w.command[m], w.context, w.typeName, w.result[m])
		w.printf("\tfor r, err := range %s {\n\t\tif err != nil {\n\t\t\treturn %s.Outgoing(err, %s)\n\t\t}\n", call, w.stub, w.errors)
		w.printf("\t\tif err := send(%s{R1: r}); err != nil {\n\t\t\treturn err\n\t\t}\n\t}\n\treturn nil\n}\n\n", w.result[m])
		return
	}
	w.printf("// Run calls %s at the server.\n", m.Name())
	w.printf("func (c %s) Run(ctx %s.Context, receiver %s) (r %s, err error) {\n", w.command[m], w.context, w.typeName, w.result[m])
	w.printf("\t%s = %s\n", strings.Join(append(fields, "err"), ", "), call)
	w.printf("\treturn r, %s.Outgoing(err, %s)\n}\n\n", w.stub, w.errors)
}

func ending(fields int) string {
	if fields > 0 {
		return "\n"
	}
	return ""
}

func verb(m *method) string {
	if m.iterator != nil {
		return "yields"
	}
	return "returns"
}

func dots(m *method) string {
	if m.variadic {
		return "..."
	}
	return ""
}

// writeMethod writes the method of the client.
func (w *writer) writeMethod(m *method) {
	// The parameters have their own names, but for those that mean something else in here.
	own := maps.Clone(w.taken)
	name := func(wanted, otherwise string) string {
		if wanted == "" || wanted == "_" {
			wanted = otherwise
		}
		return free(wanted, own, nil)
	}
	var params, values []string
	ctx := w.context + ".Background()"
	if m.ctx {
		ctx = w.ctx
		params = append(params, w.ctx+" "+w.context+".Context")
	}
	for i, p := range m.params {
		called := name(p.name, fmt.Sprintf("p%d", i+1))
		spelled := w.spell(p.Type)
		if m.variadic && i == len(m.params)-1 {
			spelled = "..." + strings.TrimPrefix(spelled, "[]")
		}
		params = append(params, called+" "+spelled)
		values = append(values, fmt.Sprintf("P%d: %s", i+1, called))
	}
	command := fmt.Sprintf("%s{%s}", w.command[m], strings.Join(values, ", "))
	incoming := fmt.Sprintf("%s.Incoming(err, %s)", w.stub, w.errors)
	w.printf("func (%s %s) %s(%s) ", w.c, w.client, m.Name(), strings.Join(params, ", "))

	if m.iterator != nil {
		item := w.spell(m.results[0])
		w.printf("%s {\n\treturn func(yield func(%s, error) bool) {\n", w.spell(m.iterator), item)
		w.printf("\t\tfor r, err := range %s.Results(%s, %s.%s, %s) {\n", w.root, ctx, w.c, w.field(), command)
		w.printf("\t\t\tif !yield(r.R1, %s) {\n\t\t\t\treturn\n\t\t\t}\n\t\t}\n\t}\n}\n\n", incoming)
		return
	}
	results, returned, r := make([]string, 0, len(m.results)+1), make([]string, 0, len(m.results)+1), "r"
	for i, t := range m.results {
		results = append(results, w.spell(t))
		returned = append(returned, fmt.Sprintf("r.R%d", i+1))
	}
	if len(results) == 0 {
		r = "_"
		w.printf("error {\n")
	} else {
		w.printf("(%s, error) {\n", strings.Join(results, ", "))
	}
	w.printf("\t%s, err := %s.Do(%s, %s.%s, %s)\n", r, w.root, ctx, w.c, w.field(), command)
	w.printf("\treturn %s\n}\n\n", strings.Join(append(returned, incoming), ", "))
}

// writeErrors writes which errors travel.
func (w *writer) writeErrors() {
	w.printf("// %s are the errors of this package that a client knows again, by errors.Is and\n// errors.As.\n", w.errors)
	for _, lost := range w.plan.errors.lost {
		w.printf("//\n// %s is none of them: %s.\n", lost.name, lost.why)
	}
	w.printf("func %s() %s.Errors {\n\treturn %[2]s.Errors{Package: %[3]q", w.errors, w.stub, w.Name)
	if len(w.plan.errors.types)+len(w.plan.errors.values) > 0 {
		w.printf(", Known: []%s.Known{\n", w.stub)
		for _, name := range w.plan.errors.types {
			w.printf("\t\t%s.Type[%s](%[2]q),\n", w.stub, name)
		}
		for _, name := range w.plan.errors.values {
			w.printf("\t\t%s.Value(%q, %[2]s),\n", w.stub, name)
		}
		w.printf("\t}")
	}
	w.printf("}\n}\n")
}

func lowerFirst(name string) string { return changeFirst(name, unicode.ToLower) }
func upperFirst(name string) string { return changeFirst(name, unicode.ToUpper) }

func changeFirst(name string, change func(rune) rune) string {
	first, size := utf8.DecodeRuneInString(name)
	return string(change(first)) + name[size:]
}
