module github.com/cmdstream/cmdstream/codec/mus

go 1.26.0

require (
	github.com/cmdstream/cmdstream v0.0.0
	github.com/mus-format/common-go v0.0.0-20251026152644-9f5ac6728d8a
	github.com/mus-format/mus-stream-go v0.7.2
)

require golang.org/x/exp v0.0.0-20230515195305-f3d0a9c9a5cc // indirect

replace github.com/cmdstream/cmdstream => ../..
