package bench

import (
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"karaula/deploy/examples"
	"karaula/gateway/book"
	"karaula/gateway/desk"
	"karaula/internal/alert"
	"karaula/internal/problem"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// filler is what alerts are filled up with: words, because text that no
// officer would write might take another way through the checks.
const filler = "Invented text: a dark car with a dent in the left rear door was seen near the lake. "

// alerts makes n alerts of size bytes: the example of a stolen vehicle, each
// with its own plate and id.
func alerts(n, size int) ([]*karaulav1.Alert, error) {
	file, ok := examples.Alert("vehicle")
	if !ok {
		return nil, problem.New(problem.Failed, "the example alert is not in this program")
	}
	list, err := alert.ParseBytes(file, "vehicle.yaml")
	if err != nil {
		return nil, err
	}
	model := list[0]
	model.Version = 1
	if err := fillUp(model, size); err != nil {
		return nil, err
	}
	out := make([]*karaulav1.Alert, n)
	for i := range out {
		a, _ := proto.Clone(model).(*karaulav1.Alert) // a clone has the type of its original
		a.Id = book.IDText(desk.NewAlertID(time.Now()))
		a.GetVehicle().GetPlates()[0].Number = fmt.Sprintf("ZZ %06d", i)
		out[i] = a
	}
	return out, nil
}

// fillUp gives an alert a text with which it is size bytes long, with id and plate.
func fillUp(a *karaulav1.Alert, size int) error {
	a.Id = book.IDText(desk.NewAlertID(time.Now()))
	a.GetVehicle().GetPlates()[0].Number = "ZZ 000000"
	text := &karaulav1.Text{Language: "en", Text: "x"}
	a.Texts = []*karaulav1.Text{text}
	for n := 1; n < len(filler)*50; n++ {
		text.Text = strings.TrimSpace(strings.Repeat(filler, n/len(filler)+1)[:n])
		if proto.Size(a) >= size {
			return nil
		}
	}
	return problem.New(problem.Invalid, "no alert of %d bytes can be made", size)
}
