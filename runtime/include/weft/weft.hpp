#pragma once
/// @file
/// Everything.

#include <weft/runtime/config.hpp>
#include <weft/runtime/error.hpp>
#include <weft/runtime/fiber.hpp>
#include <weft/runtime/fiber_local.hpp>
#include <weft/runtime/future.hpp>
#include <weft/runtime/offload.hpp>
#include <weft/runtime/pin.hpp>
#include <weft/runtime/runtime.hpp>
#include <weft/runtime/spawn.hpp>
#include <weft/runtime/task.hpp>
#include <weft/runtime/this_fiber.hpp>
#include <weft/runtime/timer.hpp>
#include <weft/runtime/waiter.hpp>
#include <weft/sync/event.hpp>
