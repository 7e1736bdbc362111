// Package databag is the one abstraction of Juju relation data: a bag of settings, a relation with
// the bags that a unit sees in it, and the change from one bag to another.
//
// The rule it keeps: a bag is a value, and its contents are never printed. Bags carry private keys,
// so formatting, logging and every error of this package show keys and lengths, and nothing of the
// values. (One gap cannot be closed here: package fmt does not call methods of values in unexported
// struct fields. Keep a Bag in an exported field, or do not print the struct that holds it.)
//
// In Juju a setting with an empty value does not exist: relation-set removes it
// (worker/uniter/runner/jujuc/relation-set.go: "Setting an empty string causes
// the setting to be removed"). So everywhere here an empty value and an absent key
// are the same: Equal, Diff and Keys make no difference between them.
//
// The package uses the standard library only and touches nothing: no file, no
// clock, no network, no environment.
package databag
