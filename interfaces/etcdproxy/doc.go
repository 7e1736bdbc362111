// Package etcdproxy is the etcd-proxy relation interface, both sides of it: what a unit of an etcd
// cluster publishes for a proxy, and what the proxy's charm reads. This charm uses it on both
// sides, and any other charm written in Go can use it: a provider publishes what Encode returns, a
// requirer looks with NewRequires.
//
// The rule it keeps: only what is whole and valid passes. A cluster string is published valid or
// not at all, credentials are three or none, nothing is ever published empty, and what a reader
// gets has been checked: each certificate against its key and the clock. Every state is computed
// from the bags at hand; none is remembered, so none can be out of date.
//
// # The protocol
//
// Every unit of the provider writes the same settings into its own unit's bag; the requirer writes
// nothing.
//
//	cluster       etcd0=https://10.0.0.5:2380,etcd1=https://10.0.0.6:2380
//	client_cert   PEM: certificate of a client of the cluster
//	client_key    PEM: its private key
//	client_ca     PEM: the authorities to check the servers against
//
// cluster lists etcd's member names, one peer URL each, without spaces: the form of etcd's own
// --initial-cluster. A provider without TLS publishes only cluster, with http URLs. Readers in the
// field take the first non-empty value of any unit that has joined, or read one unit at random; so
// every unit publishes the same.
//
// Three more settings are this package's own, and optional:
//
//	client_urls   https://10.0.0.5:2379,https://10.0.0.6:2379   sorted
//	version       3.7.3, etcd's version
//	schema        1; a reader that knows no other ignores client_urls and version
//	              under any other
//
// Sources: the interface layer interface-etcd-proxy by C. Butler and M. Bruzek (juju-solutions on
// GitHub, 2016 and after), its README.md for the states, its provides.py and requires.py for the
// keys. The first commits called the key cluster_string; it has been cluster in every released
// charm, and only that is read here. Its requires side meant to clear the states on
// "-relation-{broken, departed}": because of the extra space the handler never ran on departed, and
// states stayed on for units that were long gone. Here they go with the last unit.
//
// # States
//
// They have had these names since 2016, after the endpoint's name: "<endpoint>.connected" once a
// unit of the other side has joined (the old layers set it in joined, not before); on the requires
// side also "<endpoint>.available" when there is a cluster string, and "<endpoint>.tls.available"
// when there are also all three credentials.
//
// The package opens nothing and reads no clock: the time is an argument in seconds since the Unix
// epoch. It writes no files either: the charm decides what to do with the credentials.
package etcdproxy
