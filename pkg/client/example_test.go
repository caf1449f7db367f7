package client_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/gometheus/gometheus/pkg/client"
	"github.com/gometheus/gometheus/pkg/request"
)

// A program counts its jobs and tells how long its queue is.
func Example() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNoContent)
	}))
	defer server.Close()

	c, err := client.New(server.URL, client.WithKey([]byte("secret")))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()

	labels := map[string]string{"instance": "worker-1"}
	err = c.Push(context.Background(),
		request.Counter("jobs_done", 3).With(labels),
		request.Gauge("queue_length", 12).With(labels),
	)
	fmt.Println("pushed:", err)
	// Output: pushed: <nil>
}

// A program that can wait keeps the batch until the server has it: the
// increments count once, however often it is sent.
func ExampleClient_Send() {
	tries := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if tries++; tries == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	defer server.Close()

	c, err := client.New(server.URL, client.WithProducer("worker-1.42"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()

	batch, err := c.NewBatch([]request.Metric{request.Counter("jobs_done", 1)})
	if err != nil {
		fmt.Println(err)
		return
	}
	res, err := c.Send(context.Background(), batch)
	if e, ok := errors.AsType[*client.Error](err); ok && e.Permanent() {
		fmt.Println("refused:", e.Problem.Detail)
		return
	}
	fmt.Println(batch.Key, "attempts:", res.Attempts, "error:", err)
	// Output: "worker-1.42/1" attempts: 2 error: <nil>
}
