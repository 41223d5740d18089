package main

// W19 with os/exec.

import (
	"os/exec"
	"sync"
	"sync/atomic"
	"time"
)

func runOne() bool { return exec.Command("/bin/true").Run() == nil }

func processes() {
	const atATime = 16
	count := size("W19_N", 1000)
	ran := 0
	start := time.Now()
	for i := 0; i < count; i++ {
		if runOne() {
			ran++
		}
	}
	alone := perOperation(time.Since(start), count) / 1000
	check(ran == count, "processes one at a time")

	each := count / atATime
	var together atomic.Int64
	var all sync.WaitGroup
	all.Add(atATime)
	start = time.Now()
	for t := 0; t < atATime; t++ {
		go func() {
			defer all.Done()
			for i := 0; i < each; i++ {
				if runOne() {
					together.Add(1)
				}
			}
		}()
	}
	all.Wait()
	beside := perOperation(time.Since(start), each*atATime) / 1000
	check(together.Load() == int64(each*atATime), "processes sixteen at a time")
	metric("us_per_process", alone, "us")
	metric("us_per_process_of_16", beside, "us")
}
