//go:build !unix

package attacks

import "time"

func cpuTime() time.Duration { return 0 }
