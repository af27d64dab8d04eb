//go:build race

package group_test

const race = true
