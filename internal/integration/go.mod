module github.com/cmdstream/cmdstream/internal/integration

go 1.26.0

require github.com/cmdstream/cmdstream v0.0.0

require github.com/anishathalye/porcupine v1.3.1

replace github.com/cmdstream/cmdstream => ../..
