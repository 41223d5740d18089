#pragma once
/// @file
/// The one place that knows which Catch2 is there: version 2 is a single header, version 3 a library.
///
/// Its assertions must be used by one thread at a time. On fibers, which may be on any, use verify().

#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
#else
#include <catch2/catch.hpp>
#endif
