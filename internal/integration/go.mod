module github.com/cmdstream/cmdstream/internal/integration

go 1.26

require github.com/cmdstream/cmdstream v0.0.0

replace github.com/cmdstream/cmdstream => ../..
