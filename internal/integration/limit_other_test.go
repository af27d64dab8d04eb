//go:build !unix

package integration_test

func limitDescriptors(uint64) error { return nil }
