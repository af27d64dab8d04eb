package codec

import "errors"

var errLinux = errors.New("on Linux only")

var _ = errLinux
