// Package alert knows what an alert is: how it stands in a file, which rules it
// must keep, and what of it is personal data.
//
// Read alerts from YAML or JSON with [Parse], write them with [MarshalYAML] and
// [MarshalJSON]; both sides of a border judge them with [Validate] (the rules of
// the schema in proto/karaula/v1, and those that a schema cannot state) and
// [Check] (the limits of the agreement's clause). [PersonalData] lists the
// fields that hold personal data, by the marks of the schema and never by a flag
// that the sender sets.
//
// In a file a field has the name that it has in the schema. An enum value is a
// short lower-case word ("stop-and-report"; "H1" and "M1" stay as the field's
// people write them), a time is RFC 3339, bytes are hexadecimal. What is not
// known is left out.
//
// The package must never put the value of a field into an error, a finding or a
// log: they end in terminals and signed refusals. It opens no key and asks no
// network.
package alert
