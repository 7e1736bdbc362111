// Package host does what operator decides, on the machine and in the cluster, and looks at both. The rule it keeps:
// nothing is remembered that can be looked at. What runs is read from the live process, whose data lies here from
// the data itself, what is written from the files; no marker says that something was done. So every deed may be cut
// off at any point and done again, and nothing is ever deleted: data that must go is moved aside.
package host
