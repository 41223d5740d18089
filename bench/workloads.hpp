#pragma once
/// @file
/// weft's workloads that have a file of their own. Each runs on a fiber.

/// W7: tasks that count together under one mutex.
void mutex();
/// W13: how late tasks run that a timer or an event has woken, while others compute.
void stall();
/// W14: a call on a pool's thread and back, one at a time and a hundred at a time.
void offload();
