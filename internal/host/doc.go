// Package host does what operator decides, on the machine and in the cluster, and looks at both.
// The rule it keeps: nothing is remembered that can be looked at. What runs is read from the live
// process, whose data lies here from the data itself, and what is written from the files. No marker
// says that something was done. So every step may be cut off at any point and done again. Data that
// served is never deleted unless an administrator names it (purge): data that must go is moved
// aside.
package host
