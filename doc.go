// Package cmdstream is a placeholder.
package cmdstream
