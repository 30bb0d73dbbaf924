// Package sweep overwrites what a nats-server has noted as deleted and has not
// overwritten. nats-server 2.15 erases a message in two steps (server/filestore.go,
// removeMsgFromBlock): it writes a tombstone, and then the message's block anew, with
// random bytes in the message's place. Killed between the two, or where the second one
// fails, it takes the message for deleted from then on, and never overwrites it. What
// it was to write anew may also lie beside the block, in a file that it never looks at
// again.
//
// The same goes for what it has deleted without a tombstone, which only its memory of an
// orderly stop knows: by a stream's limits, and, in a server of a cluster that was away
// when the others erased it, when it was told so later.
//
// It is for a store in which no server runs, before one opens it. It must never change
// anything but the records of what is deleted, never cut or mend a block, which
// the server does by itself, and never touch the servers' own logs (the folders _js_).
package sweep
