package browsertest

import (
	"math"
	"strconv"
	"testing"
)

// luminance is the relative one of a color such as rgb(1, 2, 3).
func luminance(t *testing.T, color string) float64 {
	t.Helper()
	parts := rgb.FindStringSubmatch(color)
	if parts == nil {
		t.Fatalf("%s is no color", color)
	}
	sum := 0.0
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		n, err := strconv.Atoi(parts[i+1])
		if err != nil {
			t.Fatal(err)
		}
		v := float64(n) / 255
		if v <= 0.04045 {
			v /= 12.92
		} else {
			v = math.Pow((v+0.055)/1.055, 2.4)
		}
		sum += weight * v
	}
	return sum
}
