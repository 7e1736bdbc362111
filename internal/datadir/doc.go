// Package datadir reads what a member's data directory says while no server can be asked: where its log ends, and how far
// its database is.
//
// The rule it keeps: it only reads, in constant memory, and nothing that lies there can end the process. A database that
// is cut off is refused before it is mapped, and a fault in a mapped page is an error.
package datadir
