// Package snapshot keeps copies of an etcd database in a directory: it takes them from a running
// member, verifies them, lists them, and says which may be deleted.
//
// A snapshot counts only once it has been verified: by the hash that the server sends at the end of
// the stream, by a guard against files that are cut off, and by etcd's own check of every page and
// key. That check runs in a child process, because bbolt maps the file, and a file that is shorter
// than its header says kills the process that reads it (SIGBUS).
//
// A snapshot is two files: NAME.db.zst, which zstd and etcdutl can read too, and NAME.json, which
// describes it. A snapshot that failed has only the second.
package snapshot
