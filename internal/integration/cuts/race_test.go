//go:build race

package cuts

const raced = true
