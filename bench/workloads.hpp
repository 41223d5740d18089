#pragma once
/// @file
/// weft's workloads that have a file of their own. Each runs on a fiber.

#include <weft/runtime/options.hpp>

/// W4: a tree of fibers, each of which sends the sum of its ten children up by a channel.
void skynet(weft::start start);
/// W5: two fibers send a number to and fro by channels that hold nothing.
void pingpong();
/// W6: four fibers send to four by one channel.
void mpmc_channel();
/// W7: tasks that count together under one mutex.
void mutex();
/// W13: how late tasks run that a timer or an event has woken, while others compute.
void stall();
/// W14: a call on a pool's thread and back, one at a time and a hundred at a time.
void offload();
/// W18: pieces of a file, read by one fiber and by 64.
void read_files();
