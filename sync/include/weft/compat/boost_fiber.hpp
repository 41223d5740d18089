#pragma once
/// @file
/// The names of Boost.Fiber, on weft. For a program that is written for Boost.Fiber, in place of its headers:
///
///     #include <weft/compat/boost_fiber.hpp>
///     namespace boost {
///     namespace fibers = weft::compat::fibers;
///     namespace this_fiber = weft::compat::this_fiber;
///     }
///
/// On a fiber of a weft runtime, they work in that runtime. A plain thread, `main` included, counts as a fiber, as
/// there: the fibers that it makes are its own, run on it alone and one at a time, whenever it waits by one of these
/// names, in the order of Boost's round robin. When the thread ends, it first runs them to their ends. What differs:
/// docs/from-boost-fiber.md.

#include <weft/compat/async.hpp>
#include <weft/compat/barrier.hpp>
#include <weft/compat/buffered_channel.hpp>
#include <weft/compat/channel_op_status.hpp>
#include <weft/compat/condition_variable.hpp>
#include <weft/compat/context.hpp>
#include <weft/compat/errors.hpp>
#include <weft/compat/fiber.hpp>
#include <weft/compat/fiber_specific_ptr.hpp>
#include <weft/compat/future.hpp>
#include <weft/compat/launch.hpp>
#include <weft/compat/mutex.hpp>
#include <weft/compat/packaged_task.hpp>
#include <weft/compat/promise.hpp>
#include <weft/compat/unbuffered_channel.hpp>
