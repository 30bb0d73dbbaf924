package alert

import (
	"regexp"
	"slices"

	"karaula/internal/searchkey"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// plateForms are the ordinary plates of a country in the form in which both
// sides compare them: capitals and digits alone. Plates of diplomats, of the
// army, of customs, for trial and for trade look otherwise, and older series are
// still in use: a plate of another form is only warned of.
var plateForms = map[string]*regexp.Regexp{
	"AL": regexp.MustCompile(`^([A-Z]{2}\d{3}[A-Z]{2}|[A-Z]{2}\d{4}[A-Z])$`),
	"BA": regexp.MustCompile(`^([A-Z]\d{2}[A-Z]\d{3}|\d{3}[A-Z]\d{3})$`),
	"XK": regexp.MustCompile(`^(0[1-7]\d{3}[A-Z]{2}|\d{3}KS\d{3})$`),
	"MK": regexp.MustCompile(`^[A-Z]{2}\d{3,4}[A-Z]{2}$`),
	"ME": regexp.MustCompile(`^[A-Z]{2}[A-Z]{2}\d{3}$`),
	"RS": regexp.MustCompile(`^\p{Lu}{2}\d{3,5}\p{Lu}{2}$`),
}

// plateSigns are the distinguishing signs that a country's plates bear or bore.
var plateSigns = map[string][]string{
	"AL": {"AL"}, "BA": {"BIH", "BA"}, "XK": {"RKS", "KS"}, "MK": {"NMK", "MK"}, "ME": {"MNE"}, "RS": {"SRB"},
}

// plate holds a plate against the forms of its country.
func (w *looker) plate(p *karaulav1.Plate) {
	number := searchkey.Number(p.GetNumber())
	if number == "" {
		w.faultAt("number", "plate", "holds no letter and no digit")
		return
	}
	if form := plateForms[p.GetCountry()]; form != nil && !form.MatchString(number) {
		w.warnAt("number", "plate-form", "is not in the form of an ordinary plate of its country")
	}
	signs, sign := plateSigns[p.GetCountry()], p.GetSignAsPrinted()
	if signs != nil && sign != "" && !slices.Contains(signs, sign) {
		w.warnAt("sign_as_printed", "plate-sign", "is not the sign of the country")
	}
}
