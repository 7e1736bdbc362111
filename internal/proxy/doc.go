// Package proxy carries connections made to a local plaintext address over
// mutual TLS to a live member of an etcd cluster.
//
// The rule it keeps: requests are answered by etcd itself, so every RPC works,
// nothing is cached, and no read is staler than etcd would give it. A connection's
// first bytes say whether the client speaks HTTP/2 (gRPC) or HTTP/1.
//
// HTTP/2 passes through unchanged. Only the headers of frames are looked at, to
// carry in one packet what belongs together; all but the PINGs of grpc-go's bandwidth
// estimator keep their order.
//
// HTTP/1 is what browsers speak in plaintext, and a page in one must neither read
// nor write the cluster: each request is looked at, and one that a page may have
// caused is refused. The others are forwarded as they were.
//
// The proxy decides one thing besides: which member a new connection goes to, and
// when a connection has lost its member and must be closed so that the client
// comes back and lands on a live one.
//
// Who the members are is the configuration's to say, and where their client
// URLs are the configuration's too if it does; otherwise the members are asked
// on their peer URLs. Configuration and credentials are followed on disk and
// need no restart; listen addresses do.
package proxy
