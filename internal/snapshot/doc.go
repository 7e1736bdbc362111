// Package snapshot keeps copies of an etcd database in a directory: it takes them from a running member, verifies them,
// lists them, and says which may go.
//
// A snapshot counts only once it has been verified: the hash that the server sends at the end of the stream, a guard
// against files that are cut off, and etcd's own check of every page and key. The last runs in a child process, because
// bbolt maps the file, and a file that is shorter than it says kills whoever reads it (SIGBUS).
//
// A snapshot is two files: NAME.db.zst, which zstd and etcdutl read too, and NAME.json, which says what it is. One that
// failed has the second alone.
package snapshot
