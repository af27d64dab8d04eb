module github.com/cmdstream/cmdstream/compress/zstd

go 1.26.0

require github.com/cmdstream/cmdstream v0.0.0

require github.com/klauspost/compress v1.20.4

replace github.com/cmdstream/cmdstream => ../..
