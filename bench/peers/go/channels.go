package main

// W4 to W7: channels and mutexes.

import (
	"sync"
	"time"
)

func skynetTask(to chan<- int, num, size int) {
	if size == 1 {
		to <- num
		return
	}
	from := make(chan int)
	for i := 0; i < 10; i++ {
		go skynetTask(from, num+i*(size/10), size/10)
	}
	sum := 0
	for i := 0; i < 10; i++ {
		sum += <-from
	}
	to <- sum
}

func skynet() {
	leaves := size("W4_N", 1000000)
	answer := make(chan int)
	start := time.Now()
	go skynetTask(answer, 0, leaves)
	sum := <-answer
	elapsed := time.Since(start)
	check(sum == leaves*(leaves-1)/2, "sum of the leaves")
	metric("wall_ms", milliseconds(elapsed), "ms")
	metric("peak_rss_mib", float64(memoryBytes("VmHWM"))/(1<<20), "MiB")
}

func pingpong() {
	rounds := size("W5_N", 1000000)
	ping, pong := make(chan int), make(chan int)
	sum := 0
	var all sync.WaitGroup
	all.Add(2)
	start := time.Now()
	go func() {
		defer all.Done()
		for i := 0; i < rounds; i++ {
			pong <- <-ping + 1
		}
	}()
	go func() {
		defer all.Done()
		for i := 0; i < rounds; i++ {
			ping <- i
			sum += <-pong
		}
	}()
	all.Wait()
	elapsed := time.Since(start)
	check(sum == rounds*(rounds+1)/2, "sum of the answers")
	metric("ns_per_round_trip", perOperation(elapsed, rounds), "ns")
}

func mpmcChannel() {
	const tasks = 4
	messages := size("W6_N", 4000000)
	channel := make(chan int, 128)
	sums := make([]int, tasks)
	var producers, consumers sync.WaitGroup
	producers.Add(tasks)
	consumers.Add(tasks)
	start := time.Now()
	for p := 0; p < tasks; p++ {
		go func(p int) {
			defer producers.Done()
			for i := p; i < messages; i += tasks {
				channel <- i
			}
		}(p)
	}
	for c := 0; c < tasks; c++ {
		go func(c int) {
			defer consumers.Done()
			mine := 0
			for value := range channel {
				mine += value
			}
			sums[c] = mine
		}(c)
	}
	producers.Wait()
	close(channel)
	consumers.Wait()
	elapsed := time.Since(start)
	sum := 0
	for _, s := range sums {
		sum += s
	}
	check(sum == messages*(messages-1)/2, "sum of the messages")
	metric("ns_per_message", perOperation(elapsed, messages), "ns")
}

func mutex() {
	const tasks = 64
	each := size("W7_N", 20000)
	var mutex sync.Mutex
	counter := 0
	var all sync.WaitGroup
	all.Add(tasks)
	start := time.Now()
	for t := 0; t < tasks; t++ {
		go func() {
			defer all.Done()
			for i := 0; i < each; i++ {
				mutex.Lock()
				counter++
				mutex.Unlock()
			}
		}()
	}
	all.Wait()
	elapsed := time.Since(start)
	check(counter == tasks*each, "counter")
	metric("ns_per_lock", perOperation(elapsed, tasks*each), "ns")
}
