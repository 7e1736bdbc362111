package proxy

// Variant is how bytes are carried. The charm's proxy is Shipped. The others leave parts of it out:
// benchmarks show what those parts save, and tests that they change nothing else.
type Variant string

// All variants.
const (
	Shipped  Variant = "shipped"  // frames sorted, on raw sockets
	Unsorted Variant = "unsorted" // bytes as they come, on raw sockets
	Plain    Variant = "plain"    // bytes as they come, on Go's own connections
)

// socket makes the connection that bytes are carried on.
func (v Variant) socket(c streamConn) (socket, error) {
	if v == Plain {
		return c, nil
	}
	return newRawSocket(c)
}
