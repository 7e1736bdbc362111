// Package proxy carries connections made to a local plaintext address over
// mutual TLS to a live member of an etcd cluster.
//
// The rule it keeps: bytes pass through unchanged, and are answered by etcd
// itself, so every RPC works, nothing is cached, and no read is staler than etcd
// would give it. Only what says how to carry them is looked at: the first bytes,
// to learn whether the client speaks HTTP/2 (gRPC) or HTTP/1.1, and the headers
// of HTTP/2's frames, to carry in one packet what belongs together; all but PINGs
// keep their order. The proxy decides one thing alone: which member a new
// connection goes to, and when a connection has lost its member and must be
// closed so that the client comes back and lands on a live one.
//
// Who the members are is the configuration's to say, and where their client
// URLs are the configuration's too if it does; otherwise the members are asked
// on their peer URLs. Configuration and credentials are followed on disk and
// need no restart; listen addresses do.
package proxy
