module github.com/cmdstream/cmdstream

go 1.26.0
