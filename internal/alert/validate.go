package alert

import (
	"errors"
	"sync"
	"time"

	"buf.build/go/protovalidate"

	karaulav1 "karaula/proto/gen/karaula/v1"
)

// validator judges the rules that stand in the schema. It is made once and
// compiles each message's rules when it first meets them.
var validator = sync.OnceValues(func() (protovalidate.Validator, error) { return protovalidate.New() })

// Validate says which rules the alert breaks: those of the schema and those
// that a schema cannot state. now is when the alert is said: the sender's clock,
// at the receiver Statement.said_at. Warnings do not stop it.
func Validate(a *karaulav1.Alert, now time.Time) Findings {
	if a == nil {
		return Findings{fault("", "alert", "there is no alert")}
	}
	found := schemaFindings(a)
	if detailsType(a) == 0 && !withdrawn(a) {
		return found
	}
	now = now.UTC() // years and months are counted from it
	w := look(a, now)
	found = append(found, w.found...)
	found = append(found, lifeFindings(a, now)...)
	found = append(found, personFindings(a, w.personal)...)
	found = append(found, textFindings(a)...)
	return append(found, detailFindings(a, now)...)
}

// schemaFindings gives what the schema's rules say.
func schemaFindings(a *karaulav1.Alert) Findings {
	v, err := validator()
	if err == nil {
		err = v.Validate(a)
	}
	if err == nil {
		return nil
	}
	var broken *protovalidate.ValidationError
	if !errors.As(err, &broken) {
		// Only a rule that does not compile or run ends here; a test keeps it from happening.
		return Findings{fault("", "schema", "the rules of the schema could not be judged")}
	}
	var out Findings
	for _, v := range broken.Violations {
		text := v.Proto.GetMessage()
		if v.FieldDescriptor != nil && v.RuleDescriptor != nil && v.RuleDescriptor.Name() == "pattern" {
			text = "must be " + markOf(v.FieldDescriptor).GetForm() // a test says that every pattern has one
		}
		out = append(out, fault(protovalidate.FieldPathString(v.Proto.GetField()), ruleName(v.Proto.GetRuleId()), text))
	}
	return out
}

// fault makes a finding that stops the alert because its content breaks a rule.
func fault(field, rule, text string) Finding {
	return Finding{Field: field, Rule: rule, Text: text, Severity: Error, Code: karaulav1.Code_CODE_INVALID_CONTENT}
}

// warning makes a finding that does not stop the alert.
func warning(field, rule, text string) Finding {
	return Finding{Field: field, Rule: rule, Text: text, Severity: Warning}
}
