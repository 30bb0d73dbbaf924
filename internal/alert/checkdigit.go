package alert

import "strings"

// vinWeights are the weights of the 17 positions (49 CFR 565.15).
var vinWeights = [17]int{8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2}

// vinValues gives A to Z their values; I, O and Q have none and stand as 0.
const vinValues = "12345678012345070923456789"

// validVIN reports whether the check digit at position 9 fits. Only North
// America obliges makers to set one, so that no alert is refused for it.
func validVIN(vin string) bool {
	sum := 0
	for i := range len(vin) {
		c := vin[i]
		switch {
		case c >= '0' && c <= '9':
			sum += int(c-'0') * vinWeights[i]
		case c >= 'A' && c <= 'Z':
			sum += int(vinValues[c-'A']-'0') * vinWeights[i]
		default:
			return false
		}
	}
	return vin[8] == "0123456789X"[sum%11]
}

// containerValues gives the letters their values: from 10, without the
// multiples of 11 (ISO 6346, 3.1.2).
var containerValues = func() (v [26]int) {
	n := 10
	for i := range v {
		if n%11 == 0 {
			n++
		}
		v[i] = n
		n++
	}
	return v
}()

// validContainer reports whether the last digit of a container's number fits:
// position i weighs 2^i, the sum modulo 11, 10 stands as 0 (ISO 6346).
func validContainer(s string) bool {
	sum, last := 0, len(s)-1
	for i := range last {
		var value int
		switch c := s[i]; {
		case c >= 'A' && c <= 'Z':
			value = containerValues[c-'A']
		case c >= '0' && c <= '9':
			value = int(c - '0')
		default:
			return false
		}
		sum += value << i
	}
	return strings.IndexByte("0123456789", s[last]) == sum%11%10
}
