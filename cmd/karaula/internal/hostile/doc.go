// Package hostile is a partner that means harm, with complete and valid keys: it
// makes three real nodes, al, me and xk, runs al and me as processes of their own,
// and takes the place of xk, as what may speak to al, as what al fetches from, and
// as the server that al dials. A stranger without keys is there, too.
//
// Everything is tried against al. After every try the same is asked: nothing was
// accepted and no officer saw anything, al's process lives, its memory and disk
// stay within bounds, what it counts names the try by its code, and alerts between
// al and me go on. The figures are printed.
//
// Its test is the short form; `make hostile` makes it long. Single statements are
// listed in testworld.Tries, which the border check's own tests share.
//
// It must never be imported by the program, and never believe al about itself
// where the operating system can be asked.
package hostile
