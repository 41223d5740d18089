// W2 to W10, W13, W14 and W19 in Go, and its small costs: see workload.hpp for the command line and the exit statuses.
package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// size is the number in the environment variable name, or usual without one.
func size(name string, usual int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return usual
}

func metric(name string, value float64, unit string) { fmt.Printf("%s %.6g %s\n", name, value, unit) }

func check(right bool, what string) {
	if !right {
		fmt.Fprintln(os.Stderr, "wrong result:", what)
		os.Exit(3)
	}
}

func perOperation(d time.Duration, operations int) float64 {
	return float64(d.Nanoseconds()) / float64(operations)
}

func milliseconds(d time.Duration) float64 { return d.Seconds() * 1e3 }

// memoryBytes is a field such as VmRSS of /proc/self/status.
func memoryBytes(field string) int {
	status, _ := os.ReadFile("/proc/self/status")
	for _, line := range strings.Split(string(status), "\n") {
		if words := strings.Fields(line); len(words) >= 2 && words[0] == field+":" {
			kib, _ := strconv.Atoi(words[1])
			return kib * 1024
		}
	}
	return 0
}

// cpuSeconds is user plus system time of this process.
func cpuSeconds() float64 {
	var usage syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return float64(usage.Utime.Nano()+usage.Stime.Nano()) * 1e-9
}

func yield() {
	const tasks = 1000
	yields := size("W2_N", 1000)
	var begin, end time.Time
	var entered atomic.Bool
	var left, total atomic.Int64
	var all sync.WaitGroup
	all.Add(tasks)
	for i := 0; i < tasks; i++ {
		go func() {
			defer all.Done()
			if entered.CompareAndSwap(false, true) {
				begin = time.Now()
			}
			n := 0
			for ; n < yields; n++ {
				runtime.Gosched()
			}
			total.Add(int64(n))
			if left.Add(1) == tasks {
				end = time.Now()
			}
		}()
	}
	all.Wait()
	check(total.Load() == int64(tasks*yields), "yields")
	metric("ns_per_yield", perOperation(end.Sub(begin), tasks*yields), "ns")
}

func spawnJoin() {
	const batch = 1000
	batches := size("W3_N", 1000)
	slots := make([]int, batch)
	start := time.Now()
	for b := 0; b < batches; b++ {
		var all sync.WaitGroup
		all.Add(batch)
		for i := 0; i < batch; i++ {
			go func(i int) {
				slots[i] += i + 1
				all.Done()
			}(i)
		}
		all.Wait()
	}
	elapsed := time.Since(start)
	sum := 0
	for _, slot := range slots {
		sum += slot
	}
	check(sum == batches*500500, "sum of the slots")
	metric("ns_per_spawn_join", perOperation(elapsed, batches*batch), "ns")
}

func parked() {
	count := size("W8_N", 1000000)
	event := make(chan struct{})
	allParked := make(chan struct{})
	var waiting, woken atomic.Int64
	var all sync.WaitGroup
	before := memoryBytes("VmRSS")

	start := time.Now()
	all.Add(count)
	for i := 0; i < count; i++ {
		go func() {
			if waiting.Add(1) == int64(count) {
				close(allParked)
			}
			<-event
			woken.Add(1)
			all.Done()
		}()
	}
	<-allParked
	create := time.Since(start)
	peak := memoryBytes("VmHWM")

	start = time.Now()
	close(event)
	all.Wait()
	wake := time.Since(start)
	check(woken.Load() == int64(count), "woken")
	metric("create_park_ms", milliseconds(create), "ms")
	metric("wake_join_ms", milliseconds(wake), "ms")
	metric("rss_bytes_per_fiber", float64(peak-before)/float64(count), "B")
}

func timers() {
	count := size("W9_N", 1000000)
	var done atomic.Int64
	var all sync.WaitGroup
	cpuBefore := cpuSeconds()
	start := time.Now()
	all.Add(count)
	for i := 0; i < count; i++ {
		go func(i int) {
			time.Sleep(time.Duration(uint32(i)*7919%1001) * time.Millisecond)
			done.Add(1)
			all.Done()
		}(i)
	}
	all.Wait()
	wall := time.Since(start)
	cpu := cpuSeconds() - cpuBefore
	check(done.Load() == int64(count), "sleepers")
	metric("over_1s_ms", milliseconds(wall)-1000, "ms")
	metric("cpu_s", cpu, "s")
	metric("peak_rss_mib", float64(memoryBytes("VmHWM"))/(1<<20), "MiB")
}

func plainFib(n int) int {
	if n < 2 {
		return n
	}
	return plainFib(n-1) + plainFib(n-2)
}

func fib(n int) int {
	if n <= 10 {
		return plainFib(n)
	}
	a := make(chan int, 1)
	go func() { a <- fib(n - 1) }()
	b := fib(n - 2)
	return <-a + b
}

func forkJoin() {
	repeats := size("W10_N", 20)
	check(fib(30) == 832040, "fib")
	start := time.Now()
	for n := 0; n < repeats; n++ {
		check(fib(30) == 832040, "fib")
	}
	metric("wall_ms", milliseconds(time.Since(start))/float64(repeats), "ms")
}

func main() {
	workloads := map[string]func(){"W2": yield, "W3": spawnJoin, "W4": skynet, "W5": pingpong, "W6": mpmcChannel,
		"W7": mutex, "W8": parked, "W9": timers, "W10": forkJoin, "W13": stall, "W14": offload, "W19": processes, "small_costs": smallCosts}
	if len(os.Args) >= 4 && os.Args[1] == "echo" { // WORKERS PORT [stall]
		workers, _ := strconv.Atoi(os.Args[2])
		runtime.GOMAXPROCS(workers)
		echoServer(workers, os.Args[3], len(os.Args) == 5 && os.Args[4] == "stall")
		return
	}
	if len(os.Args) != 3 || workloads[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "not known:", os.Args[1:])
		os.Exit(2)
	}
	workers, _ := strconv.Atoi(os.Args[2])
	runtime.GOMAXPROCS(workers)
	workloads[os.Args[1]]()
}
