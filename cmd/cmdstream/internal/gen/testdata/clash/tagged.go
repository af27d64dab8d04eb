//go:build !special

package codec

// Tagged is an error type that is not always there.
type Tagged struct{}

// Error returns nothing.
func (Tagged) Error() string { return "" }
