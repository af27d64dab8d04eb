package transport

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const rulesFile = "../docs/rules.md"

// The table of rules has each rule of the specification, in its order, and no other;
// and the tests that it names exist.
func TestRulesNamesATestForEachRule(t *testing.T) {
	spec, _ := specification(t)
	table, err := os.ReadFile(rulesFile)
	if err != nil {
		t.Fatal(err)
	}
	var rules, rows []string
	for _, rule := range regexp.MustCompile(`(?m)^- \*\*([A-Z]\d+)\*\*`).FindAllStringSubmatch(spec, -1) {
		rules = append(rules, rule[1])
	}
	named := regexp.MustCompile("`([a-z/]+)\\.((?:Test|Fuzz)\\w+)`")
	for _, line := range regexp.MustCompile(`(?m)^\| ([A-Z]\d+) \| ([^|]+) \| ([^|]+) \|$`).FindAllStringSubmatch(string(table), -1) {
		rule, tests := line[1], named.FindAllStringSubmatch(line[3], -1)
		rows = append(rows, rule)
		if len(tests) == 0 || len(tests) != strings.Count(line[3], "`")/2 {
			t.Errorf("%s has the tests %q", rule, line[3])
		}
		for _, test := range tests {
			if !hasTest(t, test[1], test[2]) {
				t.Errorf("%s is said to be shown by %s of %s, which is not there", rule, test[2], test[1])
			}
		}
	}
	if got, want := strings.Join(rows, " "), strings.Join(rules, " "); got != want || len(rules) < 30 {
		t.Errorf("%s has the rules\n%s, the specification\n%s", rulesFile, got, want)
	}
}

// hasTest tells whether a package, named by its folder, has a test.
func hasTest(t *testing.T, folder, test string) bool {
	t.Helper()
	if folder == "cmdstream" {
		folder = "." // the root
	}
	files, err := filepath.Glob(filepath.Join("..", folder, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(source), "\nfunc "+test+"(") {
			return true
		}
	}
	return false
}

// F7: what a later version may say more is not looked at.
func TestFramedIgnoresWhatItNeedNotKnow(t *testing.T) {
	got, err := readAll(framedServer(), []byte{
		0x40, 5, 2, 0xff, 0xff, // a cancel with a payload
		0x90, 7, 1, 0, // a goaway with a slot
		0,
	})
	wantEnd(t, err)
	var kinds []Kind
	for _, m := range got {
		kinds = append(kinds, m.Kind)
	}
	if !slices.Equal(kinds, []Kind{Cancel, Goaway, Ping}) || got[0].Slot != 5 {
		t.Errorf("read as %+v", got)
	}
}
