// Package prove shows that a broker permits what the agreements say and nothing
// else. Three judges answer the same questions, each by its own means:
//
//   - [law] reads the agreements, and a table of what each local role is for;
//   - [config] reads the text of the compiled configuration with nats-server's
//     own parser, and judges with NATS's own matching of subjects;
//   - [trial] starts a broker from that text and tries, with the credentials of
//     each partner, each auditor and each local role.
//
// The live broker needs keys that the node does not have, so test keys take
// their place; that nothing else differs between the two texts is checked.
// Brokers of other parties are judged as they would be compiled from the same
// agreements.
//
// The package must never use the data structures that made the text to judge
// it, never touch the node's folder, its store or its running broker, and never
// see content: what it publishes is a word.
package prove
