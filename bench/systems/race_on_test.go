//go:build race

package systems_test

const race = true
