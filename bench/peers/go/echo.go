package main

// The echo server of W11 and W15 to W17: see echo.hpp.

import (
	"fmt"
	"net"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	echoBuffer  = 1024
	stallPeriod = 20 * time.Millisecond
	stallWork   = 6500000
)

var stallSum atomic.Uint64 // so that the compiler cannot leave the computation out

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func echo(conn net.Conn) {
	defer conn.Close()
	buffer := make([]byte, echoBuffer)
	for {
		n, err := conn.Read(buffer)
		if err != nil {
			return
		}
		if _, err = conn.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// stallWorker computes for about 10 ms of every 20.
func stallWorker() {
	for deadline := time.Now(); ; deadline = deadline.Add(stallPeriod) {
		time.Sleep(time.Until(deadline))
		stallSum.Add(compute(1, stallWork))
	}
}

func echoServer(workers int, port string, stall bool) {
	var limit syscall.Rlimit
	must(syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit))
	limit.Cur = limit.Max
	must(syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit))
	listener, err := net.Listen("tcp", "127.0.0.1:"+port)
	must(err)
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM)
	go func() {
		for {
			conn, err := listener.Accept() // has TCP_NODELAY set, as all in Go
			if err != nil {
				return
			}
			go echo(conn)
		}
	}()
	if stall {
		for i := 0; i < workers; i++ {
			go stallWorker()
		}
	}
	fmt.Println("port", listener.Addr().(*net.TCPAddr).Port)
	<-end
	listener.Close()
}
