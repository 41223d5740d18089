package main

// W13: how late goroutines run that a timer or a channel has woken, while others compute. See latency.hpp.

import (
	"math/bits"
	"sync"
	"sync/atomic"
	"time"
)

const (
	w13Timed        = 450
	w13Heavy        = 100
	w13Work         = 6500000
	w13Period       = 100 * time.Millisecond
	w13HeavyPeriods = 20
)

func compute(state uint64, steps int) uint64 {
	for i := 0; i < steps; i++ {
		state ^= state << 13
		state ^= state >> 7
		state ^= state << 17
	}
	return state
}

// histogram counts every value, in buckets of which 32 lie between two powers of two.
type histogram [64 * 32]atomic.Uint64

func (h *histogram) add(d time.Duration) {
	ns := uint64(0)
	if d > 0 {
		ns = uint64(d)
	}
	bucket := ns
	if ns >= 32 {
		shift := uint64(bits.Len64(ns)) - 6
		bucket = (shift+1)*32 + (ns >> shift) - 32
	}
	h[bucket].Add(1)
}

func (h *histogram) total() (sum uint64) {
	for i := range h {
		sum += h[i].Load()
	}
	return
}

func edge(bucket uint64) uint64 {
	if bucket < 32 {
		return bucket
	}
	return (bucket%32 + 32) << (bucket/32 - 1)
}

func (h *histogram) quantileUs(q float64) float64 {
	all, below := h.total(), uint64(0)
	for i := range h {
		below += h[i].Load()
		if float64(below) >= q*float64(all) {
			return float64(edge(uint64(i)+1)) / 1e3
		}
	}
	return 0
}

func (h *histogram) report(name string) {
	metric(name+"_p50_us", h.quantileUs(0.5), "us")
	metric(name+"_p99_us", h.quantileUs(0.99), "us")
	metric(name+"_p999_us", h.quantileUs(0.999), "us")
}

func stall() {
	rounds := size("W13_N", 60)
	heavyRounds := rounds / w13HeavyPeriods
	var timers, events histogram
	var sum atomic.Uint64
	var all sync.WaitGroup
	all.Add(2*w13Timed + w13Heavy)
	start := time.Now().Add(w13Period)
	for i := 0; i < w13Timed; i++ {
		set := make(chan time.Time, rounds)
		go func(i int) {
			defer all.Done()
			deadline := start.Add(w13Period * time.Duration(i) / w13Timed)
			for round := 0; round < rounds; round++ {
				time.Sleep(time.Until(deadline))
				timers.add(time.Since(deadline))
				set <- time.Now()
				deadline = deadline.Add(w13Period)
			}
		}(i)
		go func() {
			defer all.Done()
			for round := 0; round < rounds; round++ {
				at := <-set
				events.add(time.Since(at))
				sum.Add(compute(uint64(round)+1, 10))
			}
		}()
	}
	for i := 0; i < w13Heavy; i++ {
		go func(i int) {
			defer all.Done()
			period := w13Period * w13HeavyPeriods
			deadline := start.Add(period * time.Duration(i) / w13Heavy)
			for round := 0; round < heavyRounds; round++ {
				time.Sleep(time.Until(deadline))
				timers.add(time.Since(deadline))
				sum.Add(compute(uint64(round)+1, w13Work))
				deadline = deadline.Add(period)
			}
		}(i)
	}
	all.Wait()
	check(timers.total() == uint64(w13Timed*rounds+w13Heavy*heavyRounds), "timers")
	check(events.total() == uint64(w13Timed*rounds) && sum.Load() != 0, "events")
	timers.report("timer")
	events.report("event")
	metric("cpu_s", cpuSeconds(), "s")
}
