// Package datadir reads from a member's data directory what no server can be asked: where its log
// ends, and how far its database is.
//
// The rule it keeps: it only reads, in constant memory, and no file content can end the process. A
// database is read page by page and never mapped, so a page that is missing or cannot be read is an
// error.
package datadir
