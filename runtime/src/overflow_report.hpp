#pragma once
/// @file
/// What a fiber that runs off its stack leaves behind: a line on stderr with its name and the remedy, before the fault
/// in the guard ends the process. The stack that overflowed has no room for a signal handler, so each worker's thread
/// has another one for that.

namespace weft::inline v0::detail {

/// An alternate stack for the calling thread's signal handlers, for as long as this lives.
class signal_stack {
public:
  /// Does nothing if the thread has one already, or if there is no memory: overflow then ends the process unreported.
  signal_stack() noexcept;
  signal_stack(signal_stack const&) = delete;
  ~signal_stack();

private:
  void* memory_ = nullptr;
};

/// Handles the process's SIGSEGV and SIGBUS while any of these lives. What is no overflow of a fiber's stack, and what
/// is, after the report, goes to whoever handled it before.
class overflow_report {
public:
  overflow_report() noexcept;
  overflow_report(overflow_report const&) = delete;
  ~overflow_report();
};

}  // namespace weft::inline v0::detail
