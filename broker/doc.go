// Package broker is one country's sovereign NATS: it turns a [Plan], which
// follows from the agreements, into the text of a stock nats-server
// configuration, runs that text in an embedded server, and keeps streams and
// consumers as the plan wants them.
//
// It must never know content: it imports nothing that can open a sealed part
// (no age, no seal, no gateway keys), and nothing of what it writes down, logs
// or counts goes beyond ids of parties and channels, words for types and kinds,
// and numbers. It must never delete a stream or a message, and never give a
// partner more than "give me the next", "ack" and the link service.
//
// What two brokers expose to each other is specified in docs/spec/federation.md.
package broker
