package gen

import (
	"strings"
	"testing"
)

// Whatever a file holds, it is refused, or its tags are 1 to n, each of one method.
func FuzzReadTags(f *testing.F) {
	const whole = `
package mine

func UsersCommands(format codec.Format) *codec.Set[Users] {
	set := codec.NewSet[Users](format)
	codec.Unary[usersACommand](set, 1)  // A
	// reserved 2: B
	codec.Stream[usersCCommand](set, 3) // C
	return set
}

type usersACommand struct{}
type usersCCommand struct{ P1 int }
`
	for _, seed := range []string{
		whole, strings.Replace(whole, "3", "2", 1), strings.Replace(whole, "// C", "// A", 1), whole[:200], whole + whole,
		strings.Replace(whole, "func ", "func (users) ", 1), strings.ReplaceAll(whole, "\n", "\r\n"), "\n", "",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		known, err := readTags("users_cmdstream.go", []byte(header("Users")+"\n"+text), "Users")
		if err != nil {
			if strings.Contains(err.Error(), "\n") || !strings.HasPrefix(err.Error(), "users_cmdstream.go:") {
				t.Errorf("not a line with its place: %q", err)
			}
			return
		}
		taken := make(map[int]bool)
		for _, tag := range known.of {
			taken[tag] = true
		}
		for tag := range known.gone {
			taken[tag] = true
		}
		for tag := 1; tag < known.next(); tag++ {
			if !taken[tag] {
				t.Errorf("the tag %d is nobody's: %v", tag, known)
			}
		}
		if len(taken) != known.next()-1 {
			t.Errorf("%d tags, the next is %d", len(taken), known.next())
		}
	})
}
