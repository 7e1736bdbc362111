// Package proxy carries connections made to a local plaintext address over mutual TLS to a live
// member of an etcd cluster: HTTP/1 request by request, HTTP/2 byte for byte, in fewer packets, and
// in order but for the PINGs of grpc-go's bandwidth estimator.
//
// The rule it keeps: requests are answered by etcd itself, so every RPC works, nothing is cached,
// and no read is staler than etcd would give it. A connection's first bytes show whether the client
// speaks HTTP/2 (gRPC) or HTTP/1.
//
// Of HTTP/2 only the headers of frames are looked at: the parts of an answer are put together, and
// those PINGs may be overtaken. Package wire decides that, and is pure; its clock, its timers and
// the sockets are here.
//
// HTTP/1 is what browsers speak in plaintext, and a page in one must neither read nor write the
// cluster. So each request is looked at, and one that a page may have caused is refused. The others
// are forwarded unchanged.
//
// The proxy decides two more things: which member a new connection goes to, and when a connection
// has lost its member and must be closed, so that the client connects again and reaches a live one.
//
// A slow path is not a dead one: what works directly works through the proxy, only slower. A client
// that was cut off would have to start from nothing each time. These are the time-outs, what ends
// with them, and what they are at a round trip of one second (a connection takes two round trips:
// TCP's and TLS's handshake; gRPC one more):
//
//	patience            1 s    nothing: another member is tried beside the first, which goes on
//	dialTimeout         20 s   a connection to a member; grpc-go's own. 2 s, and 3 s with a lost packet
//	userTimeout         20 s   a connection whose bytes nobody acknowledges. 1 s; 10 s if lost twice
//	leastWait, mostWait 1-5 s  a round's wait for a member, twice what it took last; the check goes on
//	checkTimeout        20 s   a check of a member. 1 s, the first 4 s, and what the quorum needs
//	discoverTimeout     20 s   the question for the member list. 3 s
//	firstWait           2 s    nothing: the first clients are given guessed addresses
//	probeSilence        3 s    a probe for status, if nothing was heard meanwhile. 2 s at most
//	probeTimeout        15 s   that probe in all. 6 s
//	listWait            5 s    nothing: status probes guessed addresses. 3 s
//	refusalWait         1 s    nothing: status does not say why a member hangs up
//	sniffTimeout        5 min  a client that sends nothing; etcd's own for a request's head
//	headerTimeout       5 min  an HTTP/1 client that does not end its request's head; etcd's own
//	continueTimeout     1 s    nothing: an HTTP/1 body is sent although the member has not asked for it
//	halfClosedTimeout   30 s   the answer to a client that closed its half, if nothing more of it comes
//	flushPause          1 s    nothing: the rest of a request is sent before the half-close
//	abortTimeout        100 ms nothing: the log does not say why a member hung up
//	stopGrace           1 s    clients, when the proxy stops
//
// The configuration says which members there are, and may give their client URLs; otherwise the
// members are asked on their peer URLs. Meanwhile the proxy follows the cluster's own member list
// and keeps it for its next start: the agent that writes the configuration may be stopped while
// members move. Members that only the list has are used if no configured member can be. Members
// that the list has lost are not used. No address is dialled that leads back to this machine,
// wherever it comes from (package address). Configuration and credentials are followed on disk and
// need no restart; listen addresses do.
package proxy
