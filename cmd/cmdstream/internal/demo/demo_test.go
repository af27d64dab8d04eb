package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"strings"
	"testing"
	"time"
)

// What the demo shows as the code of its commands is the code.
func TestSourceIsTrue(t *testing.T) {
	bank, err := os.ReadFile("bank.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range source[:2] {
		if !strings.Contains(string(bank), line) {
			t.Errorf("bank.go lacks %s", line)
		}
	}
}

func TestCheckOfTheBooks(t *testing.T) {
	told := func() *tally {
		return &tally{succeeded: []int{1, 2}, unknown: []int{3, 4}, notRun: []int{5}, balances: []int{10, 11}}
	}
	ran, err := told().check(map[int]int{1: 1, 2: 1, 3: 1, 9: 1})
	if ran != 1 || err != nil {
		t.Errorf("got %d of the unknown and %v, want 1 and no error", ran, err)
	}
	sameBalance := told()
	sameBalance.balances[1] = 10
	for name, test := range map[string]struct {
		told  *tally
		books map[int]int
		want  string
	}{
		"a success that is not there": {told(), map[int]int{1: 1}, "command 2, which succeeded"},
		"a success twice":             {told(), map[int]int{1: 1, 2: 2}, "command 2 2 times"},
		"an unknown twice":            {told(), map[int]int{1: 1, 2: 1, 4: 2}, "command 4 2 times"},
		"one that was not sent":       {told(), map[int]int{1: 1, 2: 1, 5: 1}, "command 5, which was not sent"},
		"two with one balance":        {sameBalance, map[int]int{1: 1, 2: 1}, "two deposits gave 10"},
	} {
		if _, err := test.told.check(test.books); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", name, err, test.want)
		}
	}
}

func TestServeEnds(t *testing.T) {
	own, err := selfSigned("test")
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(order{Certificate: own.Certificate[0]})
	if err != nil {
		t.Fatal(err)
	}
	for name, end := range map[string]func(cancel func(), in io.Closer){
		"with its input": func(_ func(), in io.Closer) { in.Close() },
		"with its ctx":   func(cancel func(), _ io.Closer) { cancel() },
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			in, toIn := io.Pipe()
			fromOut, out := io.Pipe()
			defer toIn.Close()
			ended := make(chan error, 1)
			go func() { ended <- Serve(ctx, in, out) }()
			if _, err := toIn.Write(text); err != nil {
				t.Fatal(err)
			}
			var n notice
			if err := json.NewDecoder(fromOut).Decode(&n); err != nil {
				t.Fatal(err)
			}
			if n.Bank == "" || n.SecureBank == "" || n.Echo == "" {
				t.Errorf("the notice lacks an address: %+v", n)
			}
			select {
			case err := <-ended:
				t.Fatalf("it ended too early: %v", err)
			default:
			}
			end(cancel, toIn)
			select {
			case err := <-ended:
				if err != nil {
					t.Error(err)
				}
			case <-time.After(5 * time.Second):
				t.Error("it goes on")
			}
		})
	}
}

func TestServeRefusesWrongOrders(t *testing.T) {
	for _, text := range []string{"", "nonsense", "{}"} {
		var out bytes.Buffer
		if err := Serve(t.Context(), strings.NewReader(text), &out); err == nil {
			t.Errorf("%q was taken", text)
		}
		if out.Len() > 0 {
			t.Errorf("%q got %q", text, out.String())
		}
	}
}

func TestStartProcessFails(t *testing.T) {
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, test := range map[string]struct {
		ctx     context.Context
		command string
	}{
		"no such program":          {t.Context(), "./there-is-no-such-program"},
		"a program that ends":      {t.Context(), "true"},
		"a program that is silent": {canceled, "cat"},
	} {
		p, err := startProcess(test.ctx, []string{test.command}, order{})
		if err == nil {
			p.kill()
			t.Errorf("%s: no error", name)
		}
	}
}

func TestWritten(t *testing.T) {
	for want, cmd := range map[string]any{
		"Deposit{ID:1, Amount:-2}": Deposit{1, -2},
		"Balance{}":                Balance{},
	} {
		if got := written(cmd); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
