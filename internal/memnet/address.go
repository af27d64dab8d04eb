package memnet

import (
	"fmt"
	"sync/atomic"
)

// network is the name of the network in addresses and errors.
const network = "mem"

// address is a net.Addr. Each listener and each client end has its own.
type address int64

var lastAddress atomic.Int64

func newAddress() address {
	return address(lastAddress.Add(1))
}

func (a address) Network() string { return network }

func (a address) String() string { return fmt.Sprintf("%s:%d", network, int64(a)) }
