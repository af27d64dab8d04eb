module github.com/cmdstream/cmdstream/codec/protobuf

go 1.26.0

require (
	github.com/cmdstream/cmdstream v0.0.0
	google.golang.org/protobuf v1.36.12
)

replace github.com/cmdstream/cmdstream => ../..
