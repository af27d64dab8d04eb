module github.com/cmdstream/cmdstream/internal/replaceable

go 1.26.0

require github.com/cmdstream/cmdstream v0.0.0

replace github.com/cmdstream/cmdstream => ../..
