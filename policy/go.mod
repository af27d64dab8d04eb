module github.com/cmdstream/cmdstream/policy

go 1.26.0

require (
	github.com/cmdstream/cmdstream v0.0.0
	github.com/failsafe-go/failsafe-go v0.9.8
)

require github.com/bits-and-blooms/bitset v1.24.4 // indirect

replace github.com/cmdstream/cmdstream => ..
