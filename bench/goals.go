package main

type judged struct{}

func judge(*results) []judged { return nil }

func goalRows([]judged) [][]string { return nil }
