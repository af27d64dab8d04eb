package main

import (
	"fmt"
	"regexp"
	"strings"
)

// What kong says of a flag without a value, and of one that it does not know.
var (
	noValue     = regexp.MustCompile(`^(--[\w-]+): expected (\w+) value but got "(.*)" \((<EOL>|long flag|short flag)\)`)
	unknownFlag = regexp.MustCompile(`^unknown flag (-\w)\b`)
)

// misunderstood says what is wrong with a command line, in words that tell what to do where
// those of kong do not.
func misunderstood(args []string, err error) string {
	text := err.Error()
	if found := unknownFlag.FindStringSubmatch(text); found != nil && args[0] == "gen" {
		return fmt.Sprintf("unknown flag %s: those of gen are -type, -out and -help", found[1])
	}
	found := noValue.FindStringSubmatch(text)
	if found == nil {
		return text
	}
	flag, kind, got := found[1], found[2], found[3]
	switch {
	case found[4] == "<EOL>":
		return flag + " needs a value"
	case kind != "string" && kind != "file" && strings.ContainsAny(got[:min(len(got), 2)], "0123456789."):
		return fmt.Sprintf("%s is %s: it can't be negative", flag, got)
	}
	return fmt.Sprintf("%s needs a value, and %s looks like a flag: if it is the value, say %[1]s=%[2]s", flag, got)
}
