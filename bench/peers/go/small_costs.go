package main

// What weft's micro-benchmarks of sync are shown beside: one operation that nobody else wants to do at the same time.

import (
	"sort"
	"sync"
	"time"
)

// median is that of five measurements of f(n), which does n operations.
func median(f func(n int)) float64 {
	const measurements = 5
	n := 1000
	for { // until a measurement is long enough
		start := time.Now()
		f(n)
		if time.Since(start) > 50*time.Millisecond {
			break
		}
		n *= 2
	}
	times := make([]float64, measurements)
	for i := range times {
		start := time.Now()
		f(n)
		times[i] = perOperation(time.Since(start), n)
	}
	sort.Float64s(times)
	return times[measurements/2]
}

func smallCosts() {
	var mutex sync.Mutex
	metric("mutex/lock_unlock/Go", median(func(n int) {
		for i := 0; i < n; i++ {
			mutex.Lock()
			mutex.Unlock()
		}
	}), "ns")
	// Go's semaphore is a channel that holds as many as there are permits.
	permits := make(chan struct{}, 1)
	metric("semaphore/acquire_release/Go", median(func(n int) {
		for i := 0; i < n; i++ {
			permits <- struct{}{}
			<-permits
		}
	}), "ns")
	channel := make(chan int, 128)
	sum := 0
	metric("channel/send_receive/Go", median(func(n int) {
		for i := 0; i < n; i++ {
			channel <- i
			sum += <-channel
		}
	}), "ns")
	check(sum != 0, "sum")
	// An event in Go is a channel that is closed; one that is used again is a new one.
	event := make(chan struct{})
	metric("event/set_reset/Go", median(func(n int) {
		for i := 0; i < n; i++ {
			close(event)
			event = make(chan struct{})
		}
	}), "ns")
	close(event)
	metric("event/wait_when_set/Go", median(func(n int) {
		for i := 0; i < n; i++ {
			<-event
		}
	}), "ns")
	// And one that wakes one is a channel that holds one, and is full if it is set.
	signal := make(chan struct{}, 1)
	metric("event/set_and_wait/Go", median(func(n int) {
		for i := 0; i < n; i++ {
			select {
			case signal <- struct{}{}:
			default:
			}
			<-signal
		}
	}), "ns")
}
