// Package complete completes command lines of a kong program in a shell. The shell's
// script, of Script, asks the program itself, which prints what Words finds.
package complete

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/alecthomas/kong"
)

// Files stands for the names of files: the shell finds those itself.
const Files = ":files"

// Candidate is what may stand at the end of a command line.
type Candidate struct{ Text, Help string }

// String is the candidate as the scripts read it.
func (c Candidate) String() string {
	if c.Help == "" {
		return c.Text
	}
	return c.Text + "\t" + c.Help
}

// line is a command line that is read word by word.
type line struct {
	node        *kong.Node
	positionals int        // that have come, of node
	value       *kong.Flag // the next word is its value; nil: it is not one
	noFlags     bool       // a -- has come
}

// Words returns what may take the place of the last of the words behind the program's
// name, which may be empty.
func Words(model *kong.Node, words []string) []Candidate {
	if len(words) == 0 {
		words = []string{""}
	}
	at := line{node: model}
	before, last := words[:len(words)-1], words[len(words)-1]
	for _, word := range before {
		at.read(word)
	}
	return at.candidates(last)
}

func (l *line) read(word string) {
	switch {
	case l.value != nil:
		l.value = nil
	case l.noFlags || !strings.HasPrefix(word, "-") || word == "-":
		if child := l.child(word); child != nil {
			l.node, l.positionals = child, 0
		} else {
			l.positionals++
		}
	case word == "--":
		l.noFlags = true
	default:
		name, _, hasValue := strings.Cut(word, "=")
		if flag := l.flag(name); flag != nil && !flag.IsBool() && !hasValue {
			l.value = flag
		}
	}
}

func (l *line) child(name string) *kong.Node {
	for _, child := range l.node.Children {
		if child.Name == name && !child.Hidden {
			return child
		}
	}
	return nil
}

// flags are those of the command and of what it is a command of.
func (l *line) flags() (flags []*kong.Flag) {
	for node := l.node; node != nil; node = node.Parent {
		for _, flag := range node.Flags {
			if !flag.Hidden {
				flags = append(flags, flag)
			}
		}
	}
	return flags
}

func (l *line) flag(name string) *kong.Flag {
	for _, flag := range l.flags() {
		if name == "--"+flag.Name || flag.Short != 0 && name == "-"+string(flag.Short) {
			return flag
		}
	}
	return nil
}

func (l *line) candidates(last string) (found []Candidate) {
	add := func(text, help string) {
		if strings.HasPrefix(text, last) {
			found = append(found, Candidate{text, firstLine(help)})
		}
	}
	name, value, hasValue := strings.Cut(last, "=")
	switch {
	case l.value != nil:
		return values(l.value.Value, last)
	case !l.noFlags && strings.HasPrefix(last, "--") && hasValue:
		if flag := l.flag(name); flag != nil {
			for _, c := range values(flag.Value, value) {
				if c.Text != Files {
					c.Text = name + "=" + c.Text
				}
				found = append(found, c)
			}
		}
		return found
	case !l.noFlags && strings.HasPrefix(last, "-"):
		for _, flag := range l.flags() {
			add("--"+flag.Name, flag.Help)
		}
		return found
	}
	for _, child := range l.node.Children {
		if !child.Hidden {
			add(child.Name, child.Help)
		}
	}
	if l.positionals < len(l.node.Positional) {
		found = append(found, values(l.node.Positional[l.positionals], last)...)
	}
	return found
}

// values are those that a flag or an argument may have, as far as they are known.
func values(v *kong.Value, prefix string) (found []Candidate) {
	if v.Tag.Type == "path" || v.Tag.Type == "existingfile" {
		return []Candidate{{Text: Files}}
	}
	if v.Enum == "" || v.Target.Kind() != reflect.String {
		return nil
	}
	for _, value := range v.EnumSlice() {
		if strings.HasPrefix(value, prefix) {
			found = append(found, Candidate{Text: value})
		}
	}
	return found
}

func firstLine(text string) string {
	text, _, _ = strings.Cut(text, "\n")
	return text
}

// Split splits what was typed into words, as shells do, as far as quotes and backslashes
// go. The last word is empty where a space is at the end.
func Split(typed string) []string {
	words := []string{""}
	var quote rune
	escaped, inWord := false, false
	for _, r := range typed {
		last := &words[len(words)-1]
		switch {
		case escaped:
			*last += string(r)
			escaped = false
		case r == '\\' && quote != '\'':
			escaped, inWord = true, true
		case quote != 0:
			if r == quote {
				quote = 0
			} else {
				*last += string(r)
			}
		case r == '\'' || r == '"':
			quote, inWord = r, true
		case r == ' ' || r == '\t' || r == '\n':
			if inWord {
				words = append(words, "")
			}
			inWord = false
		default:
			*last += string(r)
			inWord = true
		}
	}
	return words
}

// Shells are those for which there is a Script.
var Shells = []string{"bash", "zsh", "fish"}

// Script returns the script that a shell reads to complete the command lines of a program.
// It runs the program with ask before the words: `bash` is followed by what was typed in
// one argument, `zsh` and `fish` by the words behind the program's name.
func Script(shell, program, ask string) (string, error) {
	script, ok := scripts[shell]
	if !ok {
		return "", fmt.Errorf("there is no script for %s", shell)
	}
	return strings.NewReplacer("PROGRAM", program, "ASK", ask, "FILES", Files).Replace(script), nil
}

var scripts = map[string]string{
	// Bash takes colons and equal signs for the ends of words, so it is asked about the
	// line, and answers are cut where it thinks that the word began.
	"bash": `# bash completion of PROGRAM: source <(PROGRAM completion bash)
_PROGRAM_complete() {
	local typed="${COMP_LINE:0:COMP_POINT}" candidate word
	local word="${COMP_WORDS[COMP_CWORD]}" whole="${typed##*[[:space:]]}"
	[[ $word == ":" || $word == "=" ]] && word=""
	local cut="${whole%"$word"}"
	COMPREPLY=()
	while IFS= read -r candidate; do
		candidate="${candidate%%$'\t'*}"
		if [[ $candidate == "FILES" ]]; then
			compopt -o filenames 2>/dev/null
			while IFS= read -r candidate; do
				COMPREPLY+=("$candidate")
			done < <(compgen -f -- "$word")
			return
		fi
		COMPREPLY+=("${candidate#"$cut"}")
	done < <("${COMP_WORDS[0]}" ASK bash "$typed" 2>/dev/null)
}
complete -F _PROGRAM_complete PROGRAM
`,
	"zsh": `#compdef PROGRAM
# zsh completion of PROGRAM: source <(PROGRAM completion zsh), after compinit
_PROGRAM() {
	local -a described
	local candidate
	for candidate in "${(@f)$("${words[1]}" ASK zsh "${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
		[[ -z $candidate ]] && continue
		if [[ $candidate == "FILES" ]]; then
			[[ $PREFIX == --*=* ]] && compset -P '*='
			_files
			return
		fi
		candidate="${candidate//:/\\:}"
		described+=("${candidate/$'\t'/:}")
	done
	_describe PROGRAM described
}
compdef _PROGRAM PROGRAM
`,
	"fish": `# fish completion of PROGRAM: PROGRAM completion fish | source
function __PROGRAM_complete
	set -l words (commandline -opc)
	set -l current (commandline -ct)
	for candidate in ($words[1] ASK fish $words[2..-1] "$current" 2>/dev/null)
		if test "$candidate" = "FILES"
			set -l flag (string match -r -- '^--[^=]*=' "$current")
			for path in (__fish_complete_path (string replace -r -- '^--[^=]*=' '' "$current"))
				echo "$flag$path"
			end
		else
			echo $candidate
		end
	end
end
complete -c PROGRAM -f -a "(__PROGRAM_complete)"
`,
}
