// Package archtest holds tests about the shape of the whole project: which room
// may import which, that every package says what it is for, and that every
// dependency has its reason in docs/dependencies.md.
//
// It must never hold anything that another package imports.
package archtest
