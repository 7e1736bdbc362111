// Package proxy carries connections made to a local plaintext address over
// mutual TLS to a live member of an etcd cluster: HTTP/1 request by request, HTTP/2 byte for
// byte, in fewer packets, and in order but for the PINGs of grpc-go's bandwidth estimator.
//
// The rule it keeps: requests are answered by etcd itself, so every RPC works,
// nothing is cached, and no read is staler than etcd would give it. A connection's
// first bytes say whether the client speaks HTTP/2 (gRPC) or HTTP/1.
//
// Of HTTP/2 only the headers of frames are looked at: the parts of an answer are put
// together, and those PINGs may be overtaken (package wire, which is pure; here are its clock,
// its timers and the sockets).
//
// HTTP/1 is what browsers speak in plaintext, and a page in one must neither read
// nor write the cluster: each request is looked at, and one that a page may have
// caused is refused. The others are forwarded as they were.
//
// The proxy decides one thing besides: which member a new connection goes to, and
// when a connection has lost its member and must be closed so that the client
// comes back and lands on a live one.
//
// A path that is slow is not a dead one: what works directly works through the
// proxy, only slower, for the client would begin from nothing each time. These are
// the time-outs, what ends with them, and what they are at a round trip of one second
// (a connection takes two round trips: TCP's and TLS's handshake; gRPC one more):
//
//	patience            1 s    nothing: another member is tried beside the first, which goes on
//	dialTimeout         20 s   a connection to a member; grpc-go's own. 2 s, and 3 s with a lost packet
//	userTimeout         20 s   a connection whose bytes nobody acknowledges. 1 s; 10 s if lost twice
//	leastWait, mostWait 1-5 s  a round's wait for a member, twice what it took last; the look goes on
//	checkTimeout        20 s   a look at a member. 1 s, the first 4 s, and what the quorum needs
//	discoverTimeout     20 s   the question for the member list. 3 s
//	firstWait           2 s    nothing: the first clients are given guessed addresses
//	probeSilence        3 s    the look for status, if nothing was heard meanwhile. 2 s at most
//	probeTimeout        15 s   that look in all. 6 s
//	listWait            5 s    nothing: status looks at guessed addresses. 3 s
//	refusalWait         1 s    nothing: status does not say why a member hangs up
//	sniffTimeout        5 min  a client that says nothing; etcd's own for a request's head
//	headerTimeout       5 min  an HTTP/1 client that does not end its request's head; etcd's own
//	continueTimeout     1 s    nothing: an HTTP/1 body is sent without the member's word for it
//	halfClosedTimeout   30 s   the answer to a client that closed its half, if nothing more comes of it
//	flushPause          1 s    nothing: the rest of a request waits in front of the half-close
//	abortTimeout        100 ms nothing: the log does not say why a member hung up
//	stopGrace           1 s    clients, at a stop of the proxy
//
// Who the members are is the configuration's to say, and where their client
// URLs are the configuration's too if it does; otherwise the members are asked
// on their peer URLs. Meanwhile the proxy follows the cluster's own member list and
// keeps it for its next start: whoever writes the configuration may be stopped while
// members move. What the list adds is used when no configured member can be; what
// the list has lost is not. No address is dialled that leads back to this machine,
// whoever names it (package address). Configuration and credentials are followed on disk and
// need no restart; listen addresses do.
package proxy
