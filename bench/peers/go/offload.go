package main

// W14: Go has no need of a pool: a call elsewhere is a goroutine, and its result comes through a channel.

import (
	"sync"
	"sync/atomic"
	"time"
)

func elsewhere(f func() int) int {
	result := make(chan int, 1)
	go func() { result <- f() }()
	return <-result
}

func offload() {
	const callers, factor = 100, 5
	calls := size("W14_N", 20000)
	n := 0
	start := time.Now()
	for i := 0; i < calls; i++ {
		n = elsewhere(func() int { return n + 1 })
	}
	roundTrip := perOperation(time.Since(start), calls)
	check(n == calls, "calls one at a time")

	each := calls * factor / callers
	var sum atomic.Int64
	var all sync.WaitGroup
	all.Add(callers)
	start = time.Now()
	for c := 0; c < callers; c++ {
		go func() {
			defer all.Done()
			mine := 0
			for i := 0; i < each; i++ {
				mine = elsewhere(func() int { return mine + 1 })
			}
			sum.Add(int64(mine))
		}()
	}
	all.Wait()
	perCall := perOperation(time.Since(start), each*callers)
	check(sum.Load() == int64(each*callers), "calls a hundred at a time")
	metric("ns_per_round_trip", roundTrip, "ns")
	metric("ns_per_call", perCall, "ns")
}
