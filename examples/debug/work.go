package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/cmdstream/cmdstream"
	"github.com/cmdstream/cmdstream/debug"
)

// once sends a few commands, and prints what the page says of them.
func once(ctx context.Context, w io.Writer, c cmdstream.Client[Calc], url string) error {
	for n := range 100 {
		if _, err := cmdstream.Do(ctx, c, Add{n, n}); err != nil {
			return err
		}
	}
	for n := range 3 {
		cmdstream.Do(ctx, c, Divide{n, 0}) // the page has the error
	}
	seen, err := fetch(ctx, url+"?format=json")
	if err != nil {
		return err
	}
	for _, s := range seen.Servers {
		fmt.Fprintf(w, "server %s: %d connection\n", s.Name, len(s.Connections))
	}
	for _, one := range seen.Commands {
		if one.Side != debug.ClientSide {
			continue
		}
		fmt.Fprintf(w, "%s: %d succeeded, %d failed\n", one.Name, one.Succeeded, one.Failed)
		if len(one.Failures) > 0 {
			fmt.Fprintf(w, "\tthe last one: %s\n", one.Failures[0].Text)
		}
	}
	return nil
}

// fetch gets the page's JSON.
func fetch(ctx context.Context, url string) (*debug.Snapshot, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", url, answer.Status)
	}
	seen := new(debug.Snapshot)
	return seen, json.NewDecoder(answer.Body).Decode(seen)
}

// always sends commands of all kinds until ctx ends.
func always(ctx context.Context, w io.Writer, c cmdstream.Client[Calc], url string) error {
	fmt.Fprintln(w, url)
	var callers sync.WaitGroup
	for range 4 {
		callers.Go(func() {
			for ctx.Err() == nil {
				n := rand.IntN(1000)
				switch {
				case n < 20:
					cmdstream.Do(ctx, c, Divide{n, n % 4}) // one in four fails
				case n < 60:
					cmdstream.Do(ctx, c, Factor{n, 1 + rand.IntN(200)})
				default:
					cmdstream.Do(ctx, c, Add{n, n})
				}
				time.Sleep(time.Duration(rand.IntN(10)) * time.Millisecond)
			}
		})
	}
	callers.Wait()
	return nil
}
